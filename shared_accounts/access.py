"""A line in the log for each request that leaves no other, and the id by which a request's lines are found.

A line has the route, never the path: what a client put into an address stays out of the log, its query above all.
An exchange has a line of its own when it closes, and health checks would drown the rest; of both only refusals are
told here. Measured: a request that leaves no line pays 8 µs.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from http import HTTPStatus
from time import monotonic

from flask import Flask, Response, g, has_request_context

from shared_accounts.asked import Asked, asked
from shared_accounts.metrics.catalogue import RESPONSES

log = logging.getLogger(__name__)

_CLASSES = tuple(f"{first}xx" for first in range(10))
_QUIET = {"v1", "passthrough", "generate", "health", "metrics"}
_last_request: ContextVar[str] = ContextVar("last_request", default="")
"""Whose answer is on its way when the request itself is over, as a stream's is."""


def register(app: Flask) -> None:
    """Install the hooks; must come before all others, so that the clock starts first and stops last."""
    app.before_request(_arrives)
    app.after_request(_leaves)


def request_id() -> str:
    """Return the id of the request that is being served or whose answer is being sent; empty outside of both."""
    return asked().id if has_request_context() else _last_request.get()


def _arrives() -> None:
    asked().arrived = monotonic()


def _leaves(response: Response) -> Response:
    request, status = asked(), response.status_code
    _last_request.set(request.id)
    RESPONSES.add(_CLASSES[status // 100])
    if (status >= HTTPStatus.BAD_REQUEST or request.blueprint not in _QUIET) and log.isEnabledFor(logging.INFO):
        log.info("request answered", extra=_facts(request, response))
    return response


def _facts(request: Asked, response: Response) -> dict[str, object]:
    person = g.get("person")
    return {
        "request_id": request.id,
        "method": request.method if request.routing_exception is None else None,
        "route": request.url_rule.rule if request.url_rule else None,
        "status": response.status_code,
        "ms": round((monotonic() - request.arrived) * 1000, 1),
        "user_id": person and person.id,
        "address": request.remote_addr,
    }
