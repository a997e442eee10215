"""What every door of the gateway does: know the caller, open an exchange, and hand its answer over as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, cast

from flask import Response, current_app
from redis import RedisError

from shared_accounts import clockwork, requests_in, tasks
from shared_accounts.asked import Asked, asked
from shared_accounts.auth import guards, throttle
from shared_accounts.auth.guards import Credential
from shared_accounts.errors import Forbidden, ModelNotFound, NotProvisioned, UserSilenced
from shared_accounts.extensions import limiter
from shared_accounts.gateway import key_limits, upstream
from shared_accounts.gateway.attempts import open_exchange
from shared_accounts.gateway.calls import Call, Dialect, Sender
from shared_accounts.gateway.exchange import Exchange
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.idempotency import HEADER
from shared_accounts.gateway.idempotency_api import serve_once
from shared_accounts.gateway.key_limits import KeyChanged
from shared_accounts.gateway.verdicts import CallersFault
from shared_accounts.plugin import bindings
from shared_accounts.plugin.parts import Plugin
from shared_accounts.requests_in import limits_now
from shared_accounts.users.roster import Caller

_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_REPEATABLE = f"HTTP_{HEADER.upper().replace('-', '_')}"
_FINAL = {"x-should-retry": "false"}
_LONGEST_APP = 64


class Passed(Response):
    """An upstream's answer on its way: bytes all through, its headers final, so nothing needs a look piece by piece.

    Werkzeug would correct the headers and lead each piece through two more generators.
    """

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ARG002
        """Begin to answer, and be what is sent."""
        start_response(self.status, self.headers.to_wsgi_list())
        return self

    def __iter__(self) -> Iterator[bytes]:
        """Return the pieces."""
        return iter(self.response)  # type: ignore[arg-type]


def serve(read: Callable[[bytes, Gateway], Call], *, body: bytes | None = None, exchange_id: str = "") -> Response:
    """Serve the request whose body `read` understands; its docstring says what a client sees when nobody does.

    A door that has to know the exchange's id brings one; one whose request's body is something else, the body.
    """
    request, gateway = asked(), cast("Gateway", current_app.extensions["gateway"])
    caller = recognised(gateway, guards.credential())
    if caller.requests_per_minute:
        _count_chat(caller.user_id, caller.requests_per_minute)
    body = requests_in.body() if body is None else body
    call = read(body, gateway)
    caller = _let_in(gateway, caller, call)
    if _REPEATABLE in request.environ:
        return serve_once(caller.user_id, body, lambda fixed_id: _serve(gateway, caller, call, fixed_id))
    return _serve(gateway, caller, call, exchange_id)


def _serve(gateway: Gateway, caller: Caller, call: Call, exchange_id: str = "") -> Response:
    try:
        exchange = _open(gateway, caller, call, exchange_id)
    except ModelNotFound:
        _see_to_plugin(caller)
        raise
    except CallersFault as fault:
        if fault.body is None:
            raise
        return Response(_reworded(fault, call.dialect), fault.status, _FINAL, mimetype="application/json")
    return _answer(exchange)


def recognised(gateway: Gateway, credential: Credential) -> Caller:
    """Return who calls, from memory if she came a moment ago: the statement that opens the exchange is the judge."""
    handle = credential.fingerprint or credential.session_id
    caller = gateway.callers.get(handle)
    if caller is None:
        caller = guards.caller()
        if caller.state == "silenced":
            raise UserSilenced
        gateway.callers.put(handle, caller)
    return caller


def _let_in(gateway: Gateway, caller: Caller, call: Call) -> Caller:
    """Return the caller if her key may ask for this from here; what is remembered of the key refuses nothing."""
    try:
        key_limits.refuse(caller, asked().remote_addr, call.model)
    except Forbidden:
        gateway.callers.forget(caller.fingerprint)
        caller = recognised(gateway, guards.credential())
        key_limits.refuse(caller, asked().remote_addr, call.model)
    return caller


def _open(gateway: Gateway, caller: Caller, call: Call, exchange_id: str) -> Exchange:
    """Open the exchange within what the caller's key may do; a key that was changed meanwhile is read anew, once."""
    request = asked()
    sender = Sender(str(request.url_rule), _client_app(request), request.environ.get("gunicorn.socket"))
    try:
        return open_exchange(gateway, key_limits.count(caller, call), call, sender, exchange_id=exchange_id)
    except KeyChanged:
        caller = _let_in(gateway, recognised(gateway, guards.credential()), call)
        return open_exchange(gateway, key_limits.count(caller, call), call, sender, exchange_id=exchange_id)


def _client_app(request: Asked) -> str | None:
    """Return which program asks, by its `X-App` header; what is no short printable text is none."""
    said = request.environ.get("HTTP_X_APP", "").strip()
    return said if said.isprintable() and 0 < len(said) <= _LONGEST_APP else None


def _count_chat(user_id: int, per_minute: int) -> None:
    """Count a chat against what her trust level allows, and tell in the answer how much of it is left."""
    try:
        throttle.chat(user_id, per_minute)
    finally:
        with suppress(RedisError):  # it is away: the count is the worker's own, and nobody can ask how it stands
            for used in limiter.current_limits[-1:]:
                seconds = max(0.0, used.reset_at - time.time())
                limits_now("requests", limit=per_minute, remaining=used.remaining, seconds=seconds)


def _answer(exchange: Exchange) -> Response:
    if exchange.call.stream:
        response = Passed(exchange.relay(), mimetype="text/event-stream", headers=_STREAM_HEADERS)
    else:
        exchange.finish("served", status=200)
        response = Passed(exchange.voice.whole(exchange.body), content_type=exchange.content_type)
    response.call_on_close(exchange.close)
    return response


def _reworded(fault: CallersFault, dialect: Dialect | None) -> bytes:
    """Return what the upstream found wrong, in the words of the client's dialect."""
    said = upstream.parsed(fault.body or b"") or {}
    if dialect is None or dialect.says_errors_like_openai or "type" in said:
        return fault.body or b""
    error = said.get("error")
    found = error if isinstance(error, dict) else {"message": error}
    return dialect.refusal(
        int(fault.status),
        str(found.get("message") or "The upstream refused this request."),
        type=str(found.get("type") or "invalid_request_error"),
        code=None,
        param=None,
        request_id=asked().id,
    )


def _see_to_plugin(caller: Caller) -> None:
    """Hasten the Plug-in's part of somebody who is not there yet: what she asks for may be there."""
    plugin: Plugin | None = current_app.extensions["plugin"]
    if plugin is None or bindings.is_ready(caller.user_id):
        return
    if plugin.may_hasten(caller.user_id):
        clockwork.soon(tasks.provision_plugin_user, caller.user_id)
    raise NotProvisioned
