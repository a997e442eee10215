"""Who may call from a web page (Fetch standard, section 3.3): everybody with a key of hers, `/api` from listed origins.

Under `/v1` and `/v1beta` nothing is taken from cookies, so any page may call: no origin is singled out and no
credential of the browser's is let in. Under `/api` only the origins in `CORS_ORIGINS` may, with credentials. Refusals
carry the same headers as answers, or a page would learn of nothing but a network error.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from flask import Flask, Response

from shared_accounts.asked import Asked, asked
from shared_accounts.lean import CALLS
from shared_accounts.requests_in import settings

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)  # RFC 9110 section 5.6.2
_MOST_NAMES = 64
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_MAX_AGE = "7200"
_ASKED = "Access-Control-Request-Headers"
# `*` would not cover Authorization, hence the names.
_USUAL = (
    "authorization, content-type, x-api-key, api-key, x-goog-api-key, anthropic-version, anthropic-beta,"
    " anthropic-dangerous-direct-browser-access, openai-organization, openai-project, idempotency-key"
)
_FIGURES = ", ".join(
    f"x-ratelimit-{figure}-{what}" for what in ("requests", "tokens") for figure in ("limit", "remaining", "reset")
)
_EXPOSED_CALLS = (
    "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, openai-processing-ms, openai-version,"
    f" {_FIGURES}"
)
_FOR_EVERYBODY = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", _EXPOSED_CALLS))
_EXPOSED_MANAGEMENT = "X-Pagination, x-request-id, Retry-After"


def register(app: Flask) -> None:
    """Install the hooks; after the one that gives each request its id, before whatever asks who is there."""
    app.before_request(_preflight)
    app.after_request(_allow)


def _preflight() -> Response | None:
    """Answer what a browser asks before the call itself, which never carries a credential."""
    request = asked()
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers or not _origin(request):
        return None
    response = Response(status=HTTPStatus.NO_CONTENT)
    response.headers["Access-Control-Allow-Methods"] = _METHODS
    response.headers["Access-Control-Allow-Headers"] = _names(request.headers.get(_ASKED, "")) or _USUAL
    response.headers["Access-Control-Max-Age"] = _MAX_AGE
    if not _is_call(request):
        response.vary.add(_ASKED)
    return response


def _allow(response: Response) -> Response:
    request, headers = asked(), response.headers
    if _is_call(request):
        headers.extend(_FOR_EVERYBODY)
    elif settings().cors_origins and request.path.startswith("/api/"):
        response.vary.add("Origin")
        if origin := _origin(request):
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Allow-Credentials"] = "true"
            headers["Access-Control-Expose-Headers"] = _EXPOSED_MANAGEMENT
    return response


def _origin(request: Asked) -> str | None:
    """Return the origin that may call here: any, one that is listed, or nothing when this one may not."""
    if _is_call(request):
        return "*"
    origin = request.headers.get("Origin")
    return origin if request.path.startswith("/api/") and origin in settings().cors_origins else None


def _is_call(request: Asked) -> bool:
    path = request.path
    return path.startswith(CALLS) or path in {"/v1", "/v1beta"}


def _names(asked: str) -> str:
    """Return the header names that a browser asks for, those that are none left out."""
    names = (name.strip() for name in asked.split(",")[:_MOST_NAMES])
    return ", ".join(name for name in names if _TOKEN.fullmatch(name))
