"""The doors beside the chats: OpenAI's other endpoints, metered, and passed on as they are.

Bodies and answers belong to the upstream: what it takes and gives for a model is between the client and it.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from shared_accounts.gateway import passthrough
from shared_accounts.gateway.passthrough import Endpoint
from shared_accounts.gateway.serving_api import serve

blueprint = Blueprint("passthrough", __name__)


@blueprint.post("/v1/completions")
def completions() -> Response:
    """Continue a text, whole or as a stream: the forerunner of chats."""
    return _pass(passthrough.COMPLETIONS)


@blueprint.post("/v1/embeddings")
def embeddings() -> Response:
    """Turn texts into vectors."""
    return _pass(passthrough.EMBEDDINGS)


@blueprint.post("/v1/moderations")
def moderations() -> Response:
    """Judge whether texts and pictures are harmful."""
    return _pass(passthrough.MODERATIONS)


@blueprint.post("/v1/rerank")
def rerank() -> Response:
    """Order documents by how well they answer a query."""
    return _pass(passthrough.RERANK)


@blueprint.post("/v1/images/generations")
def images() -> Response:
    """Make pictures from words."""
    return _pass(passthrough.PICTURES)


@blueprint.post("/v1/images/edits")
def image_edits() -> Response:
    """Change pictures as words say."""
    return _pass(passthrough.CHANGED_PICTURES)


@blueprint.post("/v1/images/variations")
def image_variations() -> Response:
    """Make pictures like another one."""
    return _pass(passthrough.VARIED_PICTURES)


@blueprint.post("/v1/audio/speech")
def speech() -> Response:
    """Read a text aloud; the answer is sound, or events that carry it."""
    return _pass(passthrough.SPEECH)


@blueprint.post("/v1/audio/transcriptions")
def transcriptions() -> Response:
    """Write a recording down, as JSON, as text or as a stream."""
    return _pass(passthrough.TRANSCRIPTS)


@blueprint.post("/v1/audio/translations")
def translations() -> Response:
    """Write a recording down in English."""
    return _pass(passthrough.TRANSLATIONS)


def _pass(endpoint: Endpoint) -> Response:
    said = request.content_type or ""
    return serve(lambda raw, gateway: passthrough.read(endpoint, raw, said, gateway.settings.default_completion_tokens))
