"""What happens to every request on its way in and out: an id, an honest body length, safe headers."""

from __future__ import annotations

import io
import os

from flask import Flask, Request, Response, current_app, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from shared_accounts.config import Settings
from shared_accounts.errors import BodyTooLarge

_CHUNK = 65536


class PagesOnly(SecureCookieSessionInterface):
    """Cookie sessions for pages; the gateway neither reads nor writes cookies, and saves 4 % of a chat."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return no session under `/v1`."""
        return None if request.path.startswith("/v1/") else super().open_session(app, request)


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
    is_chat = request.path.endswith(("/chat/completions",))
    limit = limits.max_body_bytes if is_chat else limits.max_management_body_bytes
    if (request.content_length or 0) > limit:
        raise BodyTooLarge
    if "chunked" in request.environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        _count(limit)


def _count(limit: int) -> None:
    """Read a chunked body whole: Werkzeug would cut one that is over its limit, silently."""
    stream, body = request.environ["wsgi.input"], io.BytesIO()
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
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.mimetype == "application/json":
        response.headers.setdefault("Cache-Control", "no-store")
    return response
