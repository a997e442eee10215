"""OpenAI's endpoints beside the chats: which there are, and how a request to one becomes a call. Pure.

Read is what has to be known to find an account and to set quota aside; every other byte passes as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway import chat, estimates, multipart
from shared_accounts.gateway.calls import Call
from shared_accounts.gateway.estimates import Estimate

_LONGEST_MODEL = 200
_YES, _NO = {"true", "1"}, {"false", "0", ""}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: its path below the base URL, and what its requests and answers are."""

    path: str
    estimate: Callable[[dict[str, Any], int], Estimate]
    by_json: bool = True
    by_form: bool = False
    streams: bool = False
    """Whether `stream` asks for events."""
    needs_json: bool = True
    """Whether an answer is always JSON."""
    is_prose: bool = False
    """Whether the answer is text whose length tells its cost."""


COMPLETIONS = Endpoint("/completions", estimates.completions, streams=True, is_prose=True)
EMBEDDINGS = Endpoint("/embeddings", estimates.vectors)
MODERATIONS = Endpoint("/moderations", estimates.moderations)
RERANK = Endpoint("/rerank", estimates.ranking)
PICTURES = Endpoint("/images/generations", estimates.pictures, streams=True)
CHANGED_PICTURES = Endpoint("/images/edits", estimates.changed_pictures, by_form=True, streams=True)
VARIED_PICTURES = Endpoint("/images/variations", estimates.varied_pictures, by_json=False, by_form=True)
SPEECH = Endpoint("/audio/speech", estimates.speech, needs_json=False)
TRANSCRIPTS = Endpoint(
    "/audio/transcriptions", estimates.transcripts, by_json=False, by_form=True, streams=True, needs_json=False
)
TRANSLATIONS = Endpoint("/audio/translations", estimates.transcripts, by_json=False, by_form=True, needs_json=False)


def read(endpoint: Endpoint, raw: bytes, content_type: str, default_completion_tokens: int) -> Call:
    """Read a body; raises `InvalidRequest` naming the field that cannot be used."""
    is_form = endpoint.by_form and content_type.strip().lower().startswith(multipart.MEDIA_TYPE)
    if not (is_form or endpoint.by_json):
        raise InvalidRequest("The body must be multipart/form-data.", field="Content-Type")
    body = multipart.fields(raw, content_type) if is_form else chat.parsed(raw)
    model = _model(body)
    stream = _is_stream(endpoint, body)
    estimate = endpoint.estimate(body, default_completion_tokens)
    options = body.get("stream_options")
    return Call(
        model=model,
        stream=stream,
        show_usage=not endpoint.is_prose or (isinstance(options, dict) and bool(options.get("include_usage"))),
        prompt_tokens=estimate.prompt,
        most_completion_tokens=estimate.completion,
        body=_to_send(endpoint, raw, body, stream=stream),
        is_bounded=body.get("max_tokens") is not None,
        path=endpoint.path,
        content_type=multipart.content_type(content_type) if is_form else "application/json",
        is_chat=False,
        is_prose=endpoint.is_prose,
        needs_json=endpoint.needs_json,
    )


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not 1 <= len(model) <= _LONGEST_MODEL or "\x00" in model:
        raise InvalidRequest(f"model must be a string of 1 to {_LONGEST_MODEL} characters.", field="model")
    return model


def _is_stream(endpoint: Endpoint, body: dict[str, Any]) -> bool:
    """Tell whether events are asked for; in a form `stream` comes as text, and speech has a word of its own for it."""
    if endpoint is SPEECH:
        return body.get("stream_format") == "sse"
    value = body.get("stream") if endpoint.streams else None
    said = value.lower() if isinstance(value, str) and endpoint.by_form else value
    if said is None or isinstance(said, bool):
        return bool(said)
    if not isinstance(said, str) or said not in _YES | _NO:
        raise InvalidRequest("stream must be true or false.", field="stream")
    return said in _YES


def _to_send(endpoint: Endpoint, raw: bytes, body: dict[str, Any], *, stream: bool) -> bytes:
    """Return the body; a stream of text is asked for its usage, too."""
    options = body.get("stream_options")
    if endpoint.is_prose and options is not None and not isinstance(options, dict):
        raise InvalidRequest("stream_options must be an object.", field="stream_options")
    return chat.to_send(raw, body, stream=True) if endpoint.is_prose and stream else raw  # spliced as a chat is
