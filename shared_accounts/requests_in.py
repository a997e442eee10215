"""What happens to every request on its way in and out: an id, an honest body length, safe headers."""

from __future__ import annotations

import io
import os
from time import monotonic
from typing import Any, Literal

from flask import Flask, Request, Response, current_app
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import RequestTimeout

from shared_accounts.asked import Asked, asked
from shared_accounts.config import Settings
from shared_accounts.errors import BodyTooLarge, InvalidRequest
from shared_accounts.lean import CALLS

_CHUNK = 65536
_PATIENCE_SECONDS = 10.0
_CALLS = (*CALLS, "/api/plugin-api/chat/", "/api/plugin-api/v1beta/")
_GOOGLES_KEY = "x-goog-api-key"
_GOOGLES_VERBS = (":generateContent", ":streamGenerateContent")
_OPENAI_VERSION = "2020-10-01"
_A_MINUTE = 60


class PagesOnly(SecureCookieSessionInterface):
    """Cookie sessions for pages; the gateway neither reads nor writes cookies, and saves 4 % of a chat."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return no session under `/v1`."""
        return None if request.path.startswith(CALLS) else super().open_session(app, request)


def speaks_google() -> bool:
    """Tell whether a client of Gemini's own API asks: at paths of its own, or, the later ones, at `/v1/models`."""
    request = asked()
    if request.path.startswith("/v1/models"):
        return _GOOGLES_KEY in request.headers or request.path.endswith(_GOOGLES_VERBS)
    return request.path.startswith("/v1beta/")


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


def body() -> bytes:
    """Return the request's body, which is read once. Werkzeug's way to it costs a chat 2 %."""
    environ = asked().environ
    stream, said = environ["wsgi.input"], environ.get("CONTENT_LENGTH", "")
    length = int(said) if said.isdecimal() else 0  # of one that came in chunks it is known by now
    data: bytes = stream.read(length) if length else b""
    while len(data) < length:
        if not (more := stream.read(length - len(data))):
            raise InvalidRequest("The body was cut off.")  # or somebody has read it before: never wait for ever
        data += more
    return data


def is_call() -> bool:
    """Tell whether this request is one to the gateway, whose clients are SDKs."""
    return asked().path.startswith(_CALLS)


def limits_now(what: Literal["requests", "tokens"], *, limit: int, remaining: int, seconds: float) -> None:
    """Have the answer, whatever it is, say how a limit stands: of several of a kind the one with the least left.

    `seconds` is how long until all of it is there again.
    """
    known = asked().limits = asked().limits or {}
    if what not in known or remaining < known[what]["remaining"]:
        known[what] = {"limit": limit, "remaining": remaining, "reset": duration(seconds)}


def duration(seconds: float) -> str:
    """Write a time as OpenAI does in its headers: `12ms`, `7.5s`, `6m0s`, `1h0m0s`."""
    milliseconds = max(0, round(seconds * 1000))
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds}ms"
    if round(seconds, 1) < _A_MINUTE:
        return f"{round(seconds, 1):g}s"
    minutes, rest = divmod(round(seconds), _A_MINUTE)
    hours, minutes = divmod(minutes, _A_MINUTE)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def _receive() -> None:
    request, limits = asked(), settings()
    request.id = os.urandom(16).hex()
    limit = limits.max_body_bytes if request.path.startswith(_CALLS) else limits.max_management_body_bytes
    environ, length = request.environ, request.content_length
    if (length or 0) > limit:
        raise BodyTooLarge
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        _count(environ, Body(environ["wsgi.input"], environ.get("gunicorn.socket"), None), limit)
    elif length:
        environ["wsgi.input"] = Body(environ["wsgi.input"], environ.get("gunicorn.socket"), length)


def _count(environ: dict[str, Any], stream: Body, limit: int) -> None:
    """Read a chunked body whole: Werkzeug would cut one that is over its limit, silently."""
    body = io.BytesIO()
    while piece := stream.read(_CHUNK):
        if body.tell() + len(piece) > limit:
            raise BodyTooLarge
        body.write(piece)
    length = body.tell()
    body.seek(0)
    environ["wsgi.input"] = body
    environ["CONTENT_LENGTH"] = str(length)
    del environ["HTTP_TRANSFER_ENCODING"]


def _send(response: Response) -> Response:
    request = asked()
    response.headers["x-request-id"] = request.id
    if request.path.startswith(CALLS):
        _speak_openai(request, response)
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.mimetype == "application/json":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _speak_openai(request: Asked, response: Response) -> None:
    """Add the headers that OpenAI's clients read; of a stream the time counts until it begins."""
    headers = response.headers
    if request.path.startswith("/v1/messages"):
        headers["request-id"] = request.id  # as Anthropic's SDKs look for it
    headers.add("openai-version", _OPENAI_VERSION)
    headers.add("openai-processing-ms", str(round((monotonic() - request.arrived) * 1000)))
    for what, figures in (request.limits or {}).items():
        for name, value in figures.items():
            headers.setdefault(f"x-ratelimit-{name}-{what}", str(value))
