"""The doors that tools knock at: OpenAI's paths, and the same chat view under the plug-in's path.

A plain blueprint on purpose: a schema would drop the fields we do not know, and clients send fields we do not
know.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from shared_accounts.accounts import catalogue
from shared_accounts.auth import guards, throttle
from shared_accounts.auth.guards import Credential
from shared_accounts.errors import ModelNotFound, UserSilenced
from shared_accounts.gateway import chat as chats
from shared_accounts.gateway.attempts import open_exchange
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.verdicts import CallersFault
from shared_accounts.users.roster import Caller

blueprint = Blueprint("v1", __name__)

_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@blueprint.get("/v1/models")
@blueprint.get("/api/plugin-api/models")
def models() -> Response:
    """List the models the caller can use."""
    caller = guards.caller()
    return jsonify({"object": "list", "data": [_model(one) for one in catalogue.models_for(caller)]})


@blueprint.get("/v1/models/<path:name>")
def model(name: str) -> Response:
    """Show one model, if the caller can use it."""
    for found in catalogue.models_for(guards.caller()):
        if found.name == name:
            return jsonify(_model(found))
    raise ModelNotFound


@blueprint.post("/v1/chat/completions")
def chat_completions() -> Response:
    """Answer a chat; `stream` defaults to false, as OpenAI has it."""
    return _chat(stream_by_default=False)


@blueprint.post("/api/plugin-api/chat/completions")
def plugin_chat_completions() -> Response:
    """Answer a chat; `stream` defaults to true, as the Plug-in API has it."""
    return _chat(stream_by_default=True)


def _chat(*, stream_by_default: bool) -> Response:
    gateway: Gateway = current_app.extensions["gateway"]
    caller = _recognise(gateway, guards.credential())
    settings = gateway.settings
    if caller.requests_per_minute:
        throttle.chat(caller.user_id, caller.requests_per_minute)
    chat = chats.parse(
        request.get_data(cache=False),
        stream_by_default=stream_by_default,
        default_completion_tokens=settings.default_completion_tokens,
    )
    try:
        exchange = open_exchange(gateway, caller, chat, request.path, request.environ.get("gunicorn.socket"))
    except CallersFault as fault:
        if fault.body is None:
            raise
        return Response(fault.body, fault.status, mimetype="application/json")
    if chat.stream:
        response = Response(exchange.relay(), mimetype="text/event-stream", headers=_STREAM_HEADERS)
    else:
        exchange.finish("served", status=200)
        response = Response(exchange.body, mimetype="application/json")
    response.call_on_close(exchange.close)
    return response


def _recognise(gateway: Gateway, credential: Credential) -> Caller:
    handle = credential.fingerprint or credential.session_id
    caller = gateway.callers.get(handle)
    if caller is None:
        caller = guards.caller()
        if caller.state == "silenced":
            raise UserSilenced
        gateway.callers.put(handle, caller)
    return caller


def _model(found: catalogue.Model) -> dict[str, Any]:
    return {"id": found.name, "object": "model", "created": found.created, "owned_by": "shared_accounts"}
