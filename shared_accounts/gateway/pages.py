"""The gateway's part of the API's description: its routes are plain ones, which flask-smorest does not know."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import Flask
from flask_smorest.utils import load_info_from_docstring
from marshmallow import Schema

from shared_accounts.extensions import api
from shared_accounts.gateway import page_dialects as spoken
from shared_accounts.gateway import page_schemas as told
from shared_accounts.gateway import page_status as stood
from shared_accounts.json_bodies import Refusal

_JSON, _FORM, _EVENTS = "application/json", "multipart/form-data", "text/event-stream"
_READING = (401, 403, 503)
_CALLING = (400, 401, 403, 404, 413, 429, 502, 503, 504)
_BYTES = {"type": "string", "format": "binary"}

_WHY = {
    400: "The body cannot be used. What an upstream finds wrong with it comes back in its words, with its status.",
    401: "No usable API key or token came with the request.",
    403: "The user has been disabled or, for a chat, silenced.",
    404: "Nobody here serves this model to this caller, or nobody who does offers this endpoint.",
    413: "The body is over the limit.",
    429: "Your quota does not hold this request, or every account is at its upstream's limit; see `Retry-After`.",
    502: "Every account that was tried failed.",
    503: "No account can serve right now, or the database is away; see `Retry-After`.",
    504: "No upstream answered in time.",
}


class _Route(NamedTuple):
    """What a route answers and takes, by media type, and with which statuses it refuses."""

    answers: dict[str, type[Schema] | dict[str, str]]
    statuses: tuple[int, ...] = _CALLING
    takes: dict[str, type[Schema]] | None = None


_TEXT: dict[str, type[Schema] | dict[str, str]] = {_JSON: told.UpstreamAnswer, "text/plain": {"type": "string"}}
_CHAT = _Route({_JSON: told.ChatCompletion, _EVENTS: told.ChatCompletionChunk}, takes={_JSON: told.ChatRequest})
_GATEWAY = {
    "v1.models": _Route({_JSON: told.ModelList}, _READING),
    "v1.model": _Route({_JSON: told.Model}, (*_READING, 404)),
    "status.usage": _Route({_JSON: stood.UsageStatus}, _READING),
    "v1.chat_completions": _CHAT,
    "v1.plugin_chat_completions": _CHAT,
    "v1.responses": _Route(
        {_JSON: told.UpstreamAnswer, _EVENTS: told.UpstreamAnswer}, takes={_JSON: spoken.ResponsesRequest}
    ),
    "v1.messages": _Route(
        {_JSON: told.UpstreamAnswer, _EVENTS: told.UpstreamAnswer}, takes={_JSON: spoken.MessagesRequest}
    ),
    "v1.count_tokens": _Route({_JSON: spoken.TokenCount}, (400, *_READING, 413), takes={_JSON: spoken.CountRequest}),
    "passthrough.completions": _Route(
        {_JSON: told.UpstreamAnswer, _EVENTS: told.UpstreamAnswer}, takes={_JSON: told.CompletionRequest}
    ),
    "passthrough.embeddings": _Route({_JSON: told.UpstreamAnswer}, takes={_JSON: told.InputRequest}),
    "passthrough.moderations": _Route({_JSON: told.UpstreamAnswer}, takes={_JSON: told.InputRequest}),
    "passthrough.rerank": _Route({_JSON: told.UpstreamAnswer}, takes={_JSON: told.RerankRequest}),
    "passthrough.images": _Route(
        {_JSON: told.UpstreamAnswer, _EVENTS: told.UpstreamAnswer}, takes={_JSON: told.ImageRequest}
    ),
    "passthrough.image_edits": _Route(
        {_JSON: told.UpstreamAnswer, _EVENTS: told.UpstreamAnswer},
        takes={_FORM: told.ImageChangeForm, _JSON: told.ImageChange},
    ),
    "passthrough.image_variations": _Route({_JSON: told.UpstreamAnswer}, takes={_FORM: told.ImageForm}),
    "passthrough.speech": _Route({"audio/*": _BYTES, _EVENTS: told.UpstreamAnswer}, takes={_JSON: told.SpeechRequest}),
    "passthrough.transcriptions": _Route({**_TEXT, _EVENTS: told.UpstreamAnswer}, takes={_FORM: told.TranscriptForm}),
    "passthrough.translations": _Route(_TEXT, takes={_FORM: told.AudioForm}),
    "generate.models": _Route({_JSON: spoken.GeminiModelList}, _READING),
    "generate.model": _Route({_JSON: spoken.GeminiModel}, (*_READING, 404)),
    "generate.generate_content": _Route({_JSON: told.UpstreamAnswer}, takes={_JSON: spoken.GenerateRequest}),
    "generate.stream_generate_content": _Route(
        {_JSON: told.UpstreamAnswer, _EVENTS: told.UpstreamAnswer}, takes={_JSON: spoken.GenerateRequest}
    ),
}
_REFUSALS: dict[str, type[Schema]] = {
    "/v1/messages": spoken.MessagesRefusal,
    "/v1/models/<path:model>:": spoken.GoogleRefusal,
    "/v1beta/": spoken.GoogleRefusal,
    "/v1/": told.OpenAIRefusal,
}
"""How a refusal looks, by the beginning of its path."""


def describe(app: Flask) -> None:
    """Add the gateway's routes to the document; must come after they are registered."""
    key = {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An `sk-` key or a token"}
    api.spec.components.security_scheme("x-api-key", key)
    about = (
        "OpenAI's, Anthropic's and Gemini's APIs over everybody's accounts; bearer is a key or a token. "
        "From Gemini's clients it may come as `x-goog-api-key`, too."
    )
    api.spec.tag({"name": "gateway", "description": about})
    for rule in app.url_map.iter_rules():
        if route := _GATEWAY.get(rule.endpoint):
            says = load_info_from_docstring(app.view_functions[rule.endpoint].__doc__)
            method = "post" if "POST" in (rule.methods or ()) else "get"
            api.spec.path(rule=rule, operations={method: {**says, **_operation(route, rule.rule)}})


def _operation(route: _Route, path: str) -> dict[str, Any]:
    refusal = next((schema for start, schema in _REFUSALS.items() if path.startswith(start)), Refusal)
    refused = {
        status: {"description": _WHY[status], "content": _content({_JSON: refusal})} for status in route.statuses
    }
    operation: dict[str, Any] = {
        "tags": ["gateway"],
        "security": [{"bearer": []}, {"x-api-key": []}],
        "responses": {200: {"description": "OK", "content": _content(route.answers)}, **refused},
    }
    if route.takes:
        operation["requestBody"] = {"required": True, "content": _content(route.takes)}
    if path.endswith(":streamGenerateContent"):
        asked = {"name": "alt", "in": "query", "schema": {"type": "string"}, "example": "sse"}
        operation["parameters"] = [{**asked, "description": "`sse` asks for events, anything else for a list"}]
    return operation


def _content(schemas: dict[str, Any]) -> dict[str, Any]:
    return {media: {"schema": schema} for media, schema in schemas.items()}
