"""What every request passes, in and out: it is noted, and perhaps something happens to it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import gevent
from flask import Response, g, request
from gevent.pywsgi import WSGIHandler
from werkzeug.exceptions import RequestEntityTooLarge

from shared_accounts.local.plugin_server.answers import as_json, as_page
from shared_accounts.local.plugin_server.control import Rule
from shared_accounts.local.plugin_server.turn import credential, the_state

_ASIDE = ("/_control", "/_google")
"""Not the Plug-in API's: neither noted nor disturbed."""
_SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization", "x-api-key"}
_HELD = 1_000_000
_SOCKET = "plugin_server.socket"


class Handler(WSGIHandler):
    """Lets the application break its own connection."""

    def get_environ(self) -> dict[str, Any]:
        """Hand the socket over with the rest."""
        return {**super().get_environ(), _SOCKET: self.socket}


def enter() -> Response | None:
    """Note a request; returns an answer when it shall get no further."""
    g.rule = g.noted = None
    if request.path.startswith(_ASIDE):
        return None
    state = the_state()
    text = _body()
    with state.lock:
        g.noted = _note(credential(state), text)
        state.switches.seen.append(g.noted)
        g.rule = state.switches.take_rule(request.method, request.path)
    return _disturb(g.rule) if g.rule else None


def leave(answer: Response) -> Response:
    """Note how it went, and perhaps keep the answer back."""
    answer.headers["X-Powered-By"] = "Express"
    rule, noted = g.get("rule"), g.get("noted")
    if noted:
        noted["status"] = answer.status_code
    if request.method != "GET":
        the_state().keep()
    if rule and rule.lose_answer:
        _hang_up()
    if rule and rule.frames is not None and answer.is_streamed:
        frames = cast("Iterator[str]", answer.response)
        answer.response = _interrupt(frames, rule, request.environ[_SOCKET])
    return answer


def _body() -> str:
    try:
        return request.get_data().decode(errors="replace")
    except RequestEntityTooLarge:
        return ""


def _note(whose: str, text: str) -> dict[str, Any]:
    """Write down what came; of a credential only whose it is, of a huge body only its beginning."""
    body: Any = text[:_HELD]
    with suppress(ValueError):
        body = json.loads(text) if len(text) <= _HELD else body
    headers = {name.lower(): value for name, value in request.headers.items()}
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query_string.decode(),
        "credential": whose,
        "headers": {name: "..." if name in _SECRET_HEADERS else value for name, value in headers.items()},
        "body": body,
        "status": None,
    }


def _disturb(rule: Rule) -> Response | None:
    gevent.sleep(rule.stall)
    if rule.refuse:
        _hang_up()
        return as_json({})
    if rule.status is None:
        return None
    body = {"error": "made up"} if rule.body is None else rule.body
    answer = as_page("Internal Server Error", rule.status) if rule.html else as_json(body, rule.status)
    answer.headers.update(rule.headers)
    return answer


def _interrupt(frames: Iterator[str], rule: Rule, connection: socket.socket) -> Iterator[str]:
    for number, frame in enumerate(frames):
        if number == rule.frames:
            if rule.pause is None:
                connection.shutdown(socket.SHUT_RDWR)
                return
            gevent.sleep(rule.pause)
        yield frame


def _hang_up() -> None:
    with suppress(OSError):
        request.environ[_SOCKET].shutdown(socket.SHUT_RDWR)
