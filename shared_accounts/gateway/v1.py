"""The doors that tools knock at: OpenAI's paths, and the same chat view under the plug-in's path.

A plain blueprint on purpose: a schema would drop the fields we do not know, and clients send fields we do not
know.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from shared_accounts import refusals
from shared_accounts.accounts import catalogue
from shared_accounts.asked import asked
from shared_accounts.auth import guards
from shared_accounts.errors import ModelNotFound, ServiceError
from shared_accounts.gateway import chat as chats
from shared_accounts.gateway import generate_api, key_limits, translating
from shared_accounts.gateway.calls import Call
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.serving_api import serve
from shared_accounts.requests_in import speaks_google

blueprint = Blueprint("v1", __name__)

_PASSED = ("anthropic-version", "anthropic-beta")


@blueprint.get("/v1/models")
@blueprint.get("/api/plugin-api/models")
def models() -> Response:
    """List the models the caller can use; to Anthropic's and Google's clients in their shapes."""
    if speaks_google():
        return generate_api.models()
    found = key_limits.models_for(guards.caller(), request.remote_addr)
    if "anthropic-version" in request.headers:
        names = [one.name for one in found]
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return jsonify({"data": [translating.shown(one.name, one.created) for one in found], "has_more": False, **ends})
    return jsonify({"object": "list", "data": [_model(one) for one in found]})


@blueprint.get("/v1/models/<path:name>")
def model(name: str) -> Response:
    """Show one model, if the caller can use it."""
    if speaks_google():
        return generate_api.model(name)
    for found in key_limits.models_for(guards.caller(), request.remote_addr):
        if found.name == name:
            is_anthropic = "anthropic-version" in request.headers
            return jsonify(translating.shown(found.name, found.created) if is_anthropic else _model(found))
    raise ModelNotFound


@blueprint.post("/v1/chat/completions")
def chat_completions() -> Response:
    """Answer a chat; `stream` defaults to false, as OpenAI has it."""
    return serve(lambda raw, gateway: _chat(raw, gateway, stream_by_default=False))


@blueprint.post("/api/plugin-api/chat/completions")
def plugin_chat_completions() -> Response:
    """Answer a chat; `stream` defaults to true, as the Plug-in API has it."""
    return serve(lambda raw, gateway: _chat(raw, gateway, stream_by_default=True))


@blueprint.post("/v1/responses")
def responses() -> Response:
    """Answer as OpenAI's Responses API does; translated where an upstream speaks only chat. Nothing is stored."""
    return serve(lambda raw, gateway: translating.read(translating.RESPONSES, raw, gateway))


@blueprint.post("/v1/messages")
def messages() -> Response:
    """Answer as Anthropic's Messages API does; translated where an upstream speaks only OpenAI's chat."""
    passed = {name: request.headers[name] for name in _PASSED if name in request.headers}
    return serve(lambda raw, gateway: translating.read(translating.MESSAGES, raw, gateway, passed))


@blueprint.post("/v1/messages/count_tokens")
def count_tokens() -> Response:
    """Estimate what a Messages request's prompt takes; nothing is sent, nothing is spent."""
    key_limits.refuse(guards.caller(), request.remote_addr)
    return jsonify(translating.MESSAGES.words.count_tokens(chats.parsed(request.get_data(cache=False))))


def _chat(raw: bytes, gateway: Gateway, *, stream_by_default: bool) -> Call:
    most = gateway.settings.default_completion_tokens
    return chats.parse(raw, stream_by_default=stream_by_default, default_completion_tokens=most)


def _model(found: catalogue.Model) -> dict[str, Any]:
    return {"id": found.name, "object": "model", "created": found.created, "owned_by": "shared_accounts"}


def _in_messages_words(error: ServiceError) -> dict[str, Any]:
    why = {"type": error.openai_type, "code": error.openai_code, "param": error.field, "request_id": asked().id}
    return {**translating.MESSAGES.words.refusal(int(error.status), error.message, **why), **error.details}


refusals.SHAPES["/v1/messages"] = _in_messages_words
