"""What happens to every request on its way in and out: an id, an honest body length, safe headers."""

from __future__ import annotations

import io
import os
from typing import Any

from flask import Flask, Request, Response, current_app, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import RequestTimeout

from shared_accounts.config import Settings
from shared_accounts.errors import BodyTooLarge, InvalidRequest

_CHUNK = 65536
_PATIENCE_SECONDS = 10.0
_CALLS = ("/v1/", "/v1beta/", "/api/plugin-api/chat/", "/api/plugin-api/v1beta/")


class PagesOnly(SecureCookieSessionInterface):
    """Cookie sessions for pages; the gateway neither reads nor writes cookies, and saves 4 % of a chat."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return no session under `/v1`."""
        return None if request.path.startswith("/v1/") else super().open_session(app, request)


class Body:
    """A request's body on its way in; one that stops coming, or is cut off, is never taken for a whole one.

    gunicorn waits for a body for ever, and hands on what came before the connection ended.
    """

    def __init__(self, stream: Any, client: Any, length: int | None) -> None:
        self._stream = stream
        self._client = client
        self._left = length

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, nothing at the end."""
        try:
            data: bytes = self._patiently(size)
        except TimeoutError:
            raise RequestTimeout from None
        except (OSError, ParseException):
            raise InvalidRequest("The body was cut off.") from None
        if self._left is not None:
            self._left -= len(data)
            if self._left and not data and size:
                raise InvalidRequest("The body was cut off.")
        return data

    def _patiently(self, size: int) -> bytes:
        # A limit of the socket's costs nothing while bytes are there; a timer costs 2 % of a chat.
        if self._client is None:
            return self._stream.read(size)  # type: ignore[no-any-return]
        self._client.settimeout(_PATIENCE_SECONDS)
        try:
            return self._stream.read(size)  # type: ignore[no-any-return]
        finally:
            self._client.settimeout(None)


def register(app: Flask) -> None:
    """Install the two hooks."""
    app.before_request(_receive)
    app.after_request(_send)


def settings() -> Settings:
    """Return the settings of the application that serves this request."""
    found: Settings = current_app.extensions["settings"]
    return found


def _receive() -> None:
    g.request_id = os.urandom(16).hex()
    limits = settings()
    is_call = request.path.startswith(_CALLS)
    limit = limits.max_body_bytes if is_call else limits.max_management_body_bytes
    environ, length = request.environ, request.content_length
    if (length or 0) > limit:
        raise BodyTooLarge
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        _count(Body(environ["wsgi.input"], environ.get("gunicorn.socket"), None), limit)
    elif length:
        environ["wsgi.input"] = Body(environ["wsgi.input"], environ.get("gunicorn.socket"), length)


def _count(stream: Body, limit: int) -> None:
    """Read a chunked body whole: Werkzeug would cut one that is over its limit, silently."""
    body = io.BytesIO()
    while piece := stream.read(_CHUNK):
        if body.tell() + len(piece) > limit:
            raise BodyTooLarge
        body.write(piece)
    length = body.tell()
    body.seek(0)
    request.environ["wsgi.input"] = body
    request.environ["CONTENT_LENGTH"] = str(length)
    del request.environ["HTTP_TRANSFER_ENCODING"]


def _send(response: Response) -> Response:
    response.headers["x-request-id"] = g.get("request_id", "")
    if request.path.startswith("/v1/messages"):
        response.headers["request-id"] = g.get("request_id", "")  # as Anthropic's SDKs look for it
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.mimetype == "application/json":
        response.headers.setdefault("Cache-Control", "no-store")
    return response
