"""The API's own description, in development only: the document, Swagger UI and ReDoc, all served from here.

flask-smorest describes the doors it knows and renders both pages. The gateway's routes are plain ones, so they are
described here; and the pages' scripts come out of packages, since a page for developers has no business telling
strangers' servers who reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_from_directory
from flask_smorest.utils import load_info_from_docstring
from marshmallow import INCLUDE, Schema, fields

from shared_accounts.config import Settings
from shared_accounts.extensions import api
from shared_accounts.json_bodies import Refusal

# `img-src` keeps ReDoc from fetching its logo from elsewhere; `worker-src` is for the worker it searches with.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
)


class _Open(Schema):
    """Fields we do not know pass through."""

    class Meta:
        """The gateway looks at a few fields and leaves the rest to the upstream."""

        unknown = INCLUDE


class ErrorObject(Schema):
    """What went wrong, in OpenAI's words."""

    message = fields.String(metadata={"description": "A sentence for people"})
    type = fields.String(metadata={"description": "The kind of error, which SDKs map to their exceptions"})
    param = fields.String(allow_none=True, metadata={"description": "The field that cannot be used"})
    code = fields.String(allow_none=True, metadata={"description": "A stable word for programs"})


class OpenAIRefusal(Schema):
    """What every refusal under `/v1` looks like."""

    error = fields.Nested(ErrorObject)


class Model(Schema):
    """A model the caller can use."""

    id = fields.String()
    object = fields.Constant("model", metadata={"type": "string"})
    created = fields.Integer(metadata={"description": "Since when an account here serves it, in Unix seconds"})
    owned_by = fields.String()


class ModelList(Schema):
    """The models the caller can use."""

    object = fields.Constant("list", metadata={"type": "string"})
    data = fields.List(fields.Nested(Model))


class ChatRequest(_Open):
    """A chat, as OpenAI's API has it; every field beside these goes to the upstream untouched."""

    model = fields.String(required=True)
    messages = fields.List(fields.Dict(), required=True)
    stream = fields.Boolean()
    stream_options = fields.Dict()
    max_completion_tokens = fields.Integer(metadata={"description": "Bounds what is reserved from your quota"})
    max_tokens = fields.Integer(metadata={"description": "The older name of `max_completion_tokens`"})
    n = fields.Integer()


class TokenUsage(_Open):
    """What an exchange consumed, as the upstream counts."""

    prompt_tokens = fields.Integer()
    completion_tokens = fields.Integer()
    total_tokens = fields.Integer()


class ChatCompletion(_Open):
    """The upstream's answer, as it came."""

    id = fields.String()
    object = fields.String()
    created = fields.Integer()
    model = fields.String()
    choices = fields.List(fields.Dict())
    usage = fields.Nested(TokenUsage)


class ChatCompletionChunk(ChatCompletion):
    """The `data:` of one event; the stream ends with `data: [DONE]`, or without it when it broke off."""


_GATEWAY: dict[str, tuple[type[Schema], tuple[int, ...]]] = {
    "v1.models": (ModelList, (401, 403, 503)),
    "v1.model": (Model, (401, 403, 404, 503)),
    "v1.chat_completions": (ChatCompletion, (400, 401, 403, 404, 413, 429, 502, 503, 504)),
    "v1.plugin_chat_completions": (ChatCompletion, (400, 401, 403, 404, 413, 429, 502, 503, 504)),
}
"""What the gateway's plain routes answer, and how they refuse."""

_WHY = {
    400: "The body cannot be used. What an upstream finds wrong with it comes back in its words, with its status.",
    401: "No usable API key or token came with the request.",
    403: "The user has been disabled or, for a chat, silenced.",
    404: "Nobody here serves this model to this caller.",
    413: "The body is over the limit.",
    429: "Your quota does not hold this request, or every account is at its upstream's limit; see `Retry-After`.",
    502: "Every account that was tried failed.",
    503: "No account can serve right now, or the database is away; see `Retry-After`.",
    504: "No upstream answered in time.",
}


def configuration(settings: Settings) -> dict[str, Any]:
    """Return flask-smorest's settings for the pages; none of them outside development."""
    if not settings.docs_enabled:
        return {}
    return {
        "OPENAPI_URL_PREFIX": "/api",
        "OPENAPI_JSON_PATH": "openapi.json",
        "OPENAPI_SWAGGER_UI_PATH": "docs",
        "OPENAPI_SWAGGER_UI_URL": "/api/docs/",
        # Without this, Swagger UI would send the document's address to a validator on the internet.
        "OPENAPI_SWAGGER_UI_CONFIG": {"validatorUrl": None, "deepLinking": True},
        "OPENAPI_REDOC_PATH": "redoc",
        "OPENAPI_REDOC_URL": "/api/redoc/redoc.standalone.js",
    }


def register(app: Flask) -> None:
    """Describe the gateway's routes and serve the pages' scripts, in development; must come after the doors."""
    settings: Settings = app.extensions["settings"]
    if not settings.docs_enabled:
        return
    _describe_gateway(app)
    _serve_assets(app)
    app.after_request(_keep_to_ourselves)


def _describe_gateway(app: Flask) -> None:
    key = {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An `sk-` key or a token"}
    api.spec.components.security_scheme("x-api-key", key)
    api.spec.tag(
        {"name": "gateway", "description": "OpenAI's API over everybody's accounts; bearer is a key or a token"}
    )
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in _GATEWAY:
            continue
        says = load_info_from_docstring(app.view_functions[rule.endpoint].__doc__)
        method = "post" if "POST" in (rule.methods or ()) else "get"
        api.spec.path(rule=rule, operations={method: {**says, **_operation(rule.endpoint, rule.rule, method)}})


def _operation(endpoint: str, path: str, method: str) -> dict[str, Any]:
    answer, statuses = _GATEWAY[endpoint]
    good = _json(answer)
    operation: dict[str, Any] = {"tags": ["gateway"], "security": [{"bearer": []}, {"x-api-key": []}]}
    if method == "post":
        good["text/event-stream"] = {"schema": ChatCompletionChunk}
        operation["requestBody"] = {"required": True, "content": _json(ChatRequest)}
    refusal = OpenAIRefusal if path.startswith("/v1/") else Refusal
    refused = {status: {"description": _WHY[status], "content": _json(refusal)} for status in statuses}
    return {**operation, "responses": {200: {"description": "OK", "content": good}, **refused}}


def _json(schema: type[Schema]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _serve_assets(app: Flask) -> None:
    # Here, because production neither needs nor loads these packages.
    import flask_swagger_ui  # noqa: PLC0415
    from openapi_ui_bundles import redoc  # noqa: PLC0415

    folders = {"docs": Path(flask_swagger_ui.__file__).parent / "dist", "redoc": redoc.static_path}

    def asset(page: str, name: str) -> Response:
        return send_from_directory(folders[page], name)

    for page in folders:
        app.add_url_rule(f"/api/{page}/<path:name>", "api-docs.asset", asset, defaults={"page": page})


def _keep_to_ourselves(response: Response) -> Response:
    """Let the pages load nothing but what we serve."""
    if response.mimetype == "text/html" and (request.endpoint or "").startswith("api-docs."):
        response.headers["Content-Security-Policy"] = _POLICY
    return response
