"""How a refusal looks: in OpenAI's shape under `/v1`, in ours elsewhere; never an exception's text.

Specification section 4. flask-smorest installs an application-wide handler of its own that knows one shape
and drops headers, so these are registered after it and replace it.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify, request
from flask_limiter import RateLimitExceeded
from psycopg2 import Error as DriverError
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from shared_accounts.errors import BodyTooLarge, DatabaseUnavailable, ServiceError, TooManyRequests

log = logging.getLogger(__name__)

_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


def register(app: Flask) -> None:
    """Install the renderers; must come after flask-smorest has installed its own."""
    app.register_error_handler(ServiceError, render)
    app.register_error_handler(HTTPException, _render_http)
    app.register_error_handler(RateLimitExceeded, _render_limit)
    app.register_error_handler(DBAPIError, _render_database)
    app.register_error_handler(PoolTimeoutError, _render_database)
    app.register_error_handler(DriverError, _render_database)
    app.register_error_handler(Exception, _render_bug)


def render(error: ServiceError) -> Response:
    """Answer a refusal in the shape the path asks for, with the headers clients act on."""
    body = openai_body(error) if _speaks_openai() else _our_body(error)
    response = jsonify(body)
    response.status_code = error.status
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, error.retry_after))
    if error.openai_type == "insufficient_quota":
        # SDKs would try three times; the next try cannot succeed sooner than the refill.
        response.headers["x-should-retry"] = "false"
    return response


def openai_body(error: ServiceError) -> dict[str, Any]:
    """The error object every OpenAI SDK understands; all four keys are required."""
    body: dict[str, Any] = {
        "message": error.message,
        "type": error.openai_type,
        "param": error.field,
        "code": error.openai_code,
    }
    return {"error": {**body, **error.details}}


def _our_body(error: ServiceError) -> dict[str, Any]:
    body: dict[str, Any] = {
        "code": int(error.status),
        "status": error.status.phrase,
        "message": error.message,
        "detail": error.message,
        "error_code": error.code,
        **error.details,
    }
    if error.field:
        body["errors"] = {"json": {error.field: [error.message]}}
    return body


def _speaks_openai() -> bool:
    return request.path == "/v1" or request.path.startswith("/v1/")


def _render_http(error: HTTPException) -> Response:
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return render(BodyTooLarge())
    refusal = _from_http(error)
    response = render(refusal)
    for name, value in error.get_headers():
        if name in _KEPT_HEADERS:
            response.headers[name] = value
    return response


def _from_http(error: HTTPException) -> ServiceError:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    data: dict[str, Any] = getattr(error, "data", None) or {}
    messages = data.get("messages")
    refusal = ServiceError(_sentence(status, messages))
    refusal.status = status
    refusal.code = "VALIDATION_ERROR" if messages else status.name
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        refusal.openai_type = "server_error"
    if messages:
        refusal.details = {"errors": messages}
    return refusal


def _sentence(status: HTTPStatus, messages: dict[str, Any] | None) -> str:
    if not messages:
        return status.description or status.phrase
    fields = [name for place in messages.values() if isinstance(place, dict) for name in place]
    return "These fields cannot be used: " + ", ".join(sorted(map(str, fields))) + "." if fields else status.phrase


def _render_limit(error: RateLimitExceeded) -> Response:
    response = render(TooManyRequests(retry_after=60))
    for name, value in error.get_headers():
        if name == "Retry-After":
            response.headers[name] = value
    return response


def _render_database(error: Exception) -> Response:
    log.error("database unavailable", extra={"error": type(error).__name__, "request_id": g.get("request_id")})
    if isinstance(error, DBAPIError) and not error.connection_invalidated and not _is_overload(error):
        return _render_bug(error)
    return render(DatabaseUnavailable())


def _is_overload(error: DBAPIError) -> bool:
    return type(error).__name__ in {"OperationalError", "InterfaceError"}


def _render_bug(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error, extra={"request_id": g.get("request_id")})
    refusal = ServiceError("Something went wrong here; the request id finds it in the log.")
    refusal.status, refusal.code, refusal.openai_type = HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "server_error"
    return render(refusal)
