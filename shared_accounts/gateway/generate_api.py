"""The doors for Gemini's own clients, at Google's paths; answered by accounts whose upstreams speak their API.

Google's clients say `/v1beta` up to their second version, and `/v1` from the third on: both are the same doors.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from shared_accounts import refusals
from shared_accounts.accounts import generating
from shared_accounts.auth import guards
from shared_accounts.errors import ModelNotFound, ServiceError
from shared_accounts.gateway import key_limits
from shared_accounts.gateway.dialects import generate
from shared_accounts.gateway.dialects.generate_words import refusal
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.serving_api import serve

blueprint = Blueprint("generate", __name__)

_VERBS = ["generateContent", "streamGenerateContent"]


@blueprint.get("/v1beta/models")
def models() -> Response:
    """List the models the caller can ask for in Gemini's own words."""
    return jsonify({"models": [_model(name) for name in _names()]})


@blueprint.get("/v1beta/models/<path:name>")
def model(name: str) -> Response:
    """Show one of them."""
    if name not in _names():
        raise ModelNotFound
    return jsonify(_model(name))


def _names() -> list[str]:
    caller = guards.caller()
    gateway: Gateway = current_app.extensions["gateway"]
    served = generating.models_for(caller)
    allowed = key_limits.models_for(caller, request.remote_addr)
    return [one.name for one in allowed if gateway.rules.of(one.name).model in served]


@blueprint.post("/v1/models/<path:model>:generateContent")
@blueprint.post("/v1beta/models/<path:model>:generateContent")
def generate_content(model: str) -> Response:
    """Answer a request in Gemini's own words."""
    return _generate(model, streams=False)


@blueprint.post("/v1/models/<path:model>:streamGenerateContent")
@blueprint.post("/v1beta/models/<path:model>:streamGenerateContent")
def stream_generate_content(model: str) -> Response:
    """Answer in events with `alt=sse`, else with one JSON list."""
    return _generate(model, streams=True)


def _generate(model: str, *, streams: bool) -> Response:
    as_events = request.args.get("alt") == "sse"
    return serve(
        lambda raw, gateway: generate.read(
            raw, model, streams=streams, as_events=as_events, most=gateway.settings.default_completion_tokens
        )
    )


def _model(name: str) -> dict[str, Any]:
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": _VERBS}


def _in_googles_words(error: ServiceError) -> dict[str, Any]:
    more = {**error.details}
    told = more.pop("details", None)  # the name is Google's for something else
    more |= told if isinstance(told, dict) else {}
    return refusal(int(error.status), error.message, field=error.field, retry_after=error.retry_after, **more)


refusals.SHAPES["/v1beta"] = _in_googles_words
