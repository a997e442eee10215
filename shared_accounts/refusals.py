"""How a refusal looks: in OpenAI's shape under `/v1`, in ours elsewhere; never an exception's text.

Specification section 4. flask-smorest installs an application-wide handler of its own that knows one shape
and drops headers, so these are registered after it and replace it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_limiter import RateLimitExceeded
from psycopg2 import Error as DriverError
from psycopg2 import InterfaceError, OperationalError
from psycopg2.errors import ReadOnlySqlTransaction
from redis import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from shared_accounts.asked import asked
from shared_accounts.errors import BodyTooLarge, DatabaseUnavailable, ServiceError, TooManyRequests
from shared_accounts.extensions import limiter
from shared_accounts.requests_in import is_call, speaks_google

log = logging.getLogger(__name__)

SHAPES: dict[str, Callable[[ServiceError], dict[str, Any]]] = {}
"""How a refusal looks below other paths, whose clients have words of their own for it."""

_A_MINUTE = 60
_AWAY = (OperationalError, InterfaceError, ReadOnlySqlTransaction)
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
_TIMED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.GATEWAY_TIMEOUT,
    *_TIMED,
}
_LONGEST_WAIT = 120  # above that OpenAI's SDKs give up, or try again at once
_V1_TWICE = "There is nothing under /v1/v1: the base URL already ends in /v1, and this tool adds one. Leave yours out."


class _BugError(ServiceError):
    """Nothing the caller did: a mistake of ours."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "INTERNAL_ERROR"
    message = "Something went wrong here; the request id finds it in the log."
    openai_type = "server_error"


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
    where = "/v1beta" if speaks_google() else request.path
    shape = next((shape for prefix, shape in SHAPES.items() if where.startswith(prefix)), None)
    body = shape(error) if shape else openai_body(error) if _speaks_openai() else _our_body(error)
    response = jsonify(body)
    response.status_code = error.status
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    is_untimed = is_call() and error.retry_after is None and error.status in _TIMED
    wait = _A_MINUTE if is_untimed else error.retry_after
    if wait is not None:
        response.headers["Retry-After"] = str(max(1, wait))
    if is_call():
        response.headers["x-should-retry"] = "true" if _may_pass_soon(error, wait) else "false"
    return response


def _may_pass_soon(error: ServiceError, wait: int | None) -> bool:
    """Tell whether the same request, sent again, may be served: what SDKs go by before they look at the status.

    Without a word they would send a request that quota does not hold three times, and none that finds its key in use.
    """
    if error.openai_type == "insufficient_quota" or (wait or 0) > _LONGEST_WAIT:
        return False
    return error.status in _PASSING or error.retry_after is not None


def openai_body(error: ServiceError) -> dict[str, Any]:
    """Return the error object every OpenAI SDK understands; all four keys are required."""
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
    if status == HTTPStatus.NOT_FOUND and request.path.startswith("/v1/v1/"):
        refusal.message = _V1_TWICE
    return refusal


def _sentence(status: HTTPStatus, messages: dict[str, Any] | None) -> str:
    if not messages:
        return status.description or status.phrase
    fields = [name for place in messages.values() if isinstance(place, dict) for name in place]
    if fields:
        return "These fields cannot be used: " + ", ".join(sorted(map(str, fields))) + "."
    return " ".join(str(sentence) for place in messages.values() for sentence in place)


def _render_limit(_: RateLimitExceeded) -> Response:
    return render(TooManyRequests(retry_after=_seconds_left()))


def _seconds_left() -> int:
    """Return when the window that was exceeded ends."""
    try:
        exceeded = limiter.current_limit
        return max(1, exceeded.reset_at - int(time.time())) if exceeded else _A_MINUTE
    except RedisError:
        return _A_MINUTE


def _render_database(error: Exception) -> Response:
    if not _is_outage(error):
        return _render_bug(error)
    log.error("database unavailable", extra={"error": type(error).__name__, "request_id": asked().id})
    return render(DatabaseUnavailable())


def _is_outage(error: Exception) -> bool:
    """Tell a database that is away, locked or overloaded from a statement of ours that is wrong."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error.orig, _AWAY)
    return isinstance(error, (PoolTimeoutError, *_AWAY))


def _render_bug(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error, extra={"request_id": asked().id})
    return render(_BugError())
