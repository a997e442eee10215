"""A chat request: the few fields we read; everything else passes through untouched, to the byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from shared_accounts.errors import InvalidRequest
from shared_accounts.quotas import pricing

_LONGEST_MODEL = 200
_MOST_TOKENS = 10_000_000
_MOST_CHOICES = 128


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the gateway needs to know of a chat body, and the bytes to send on."""

    model: str
    stream: bool
    show_usage: bool
    """Whether the client asked for the usage frame; we always ask the upstream for it."""
    prompt_tokens: int
    """An estimate, for the reservation and for calls whose usage never comes."""
    most_completion_tokens: int
    body: bytes


def parse(raw: bytes, *, stream_by_default: bool, default_completion_tokens: int) -> ChatRequest:
    """Read a chat body; raises `InvalidRequest` naming the field that cannot be used."""
    body = _object(raw)
    model = body.get("model")
    if not isinstance(model, str) or not 1 <= len(model) <= _LONGEST_MODEL or "\x00" in model:
        raise InvalidRequest(f"model must be a string of 1 to {_LONGEST_MODEL} characters.", field="model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise InvalidRequest("messages must be a non-empty list of objects.", field="messages")
    stream = _boolean(body, "stream", default=stream_by_default)
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("stream_options must be an object.", field="stream_options")
    return ChatRequest(
        model=model,
        stream=stream,
        show_usage=bool(options and options.get("include_usage")),
        prompt_tokens=pricing.estimate_prompt(body),
        most_completion_tokens=_most_completion_tokens(body, default_completion_tokens),
        body=_to_send(raw, body, stream=stream),
    )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return body


def _boolean(body: dict[str, Any], name: str, *, default: bool) -> bool:
    value = body.get(name, default)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false.", field=name)
    return value


def _most_completion_tokens(body: dict[str, Any], default: int) -> int:
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    return _count(body, name, default, _MOST_TOKENS) * _count(body, "n", 1, _MOST_CHOICES)


def _count(body: dict[str, Any], name: str, default: int, most: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(f"{name} must be a whole number from 1 to {most}.", field=name)
    return value


def _to_send(raw: bytes, body: dict[str, Any], *, stream: bool) -> bytes:
    """Return the client's bytes, with the missing fields spliced in; rewritten only if one must change."""
    missing: dict[str, Any] = {}
    if "stream" not in body and stream:
        missing["stream"] = True
    if stream and "stream_options" not in body:
        missing["stream_options"] = {"include_usage": True}
    elif stream and not (body["stream_options"] or {}).get("include_usage"):
        return orjson.dumps({**body, **missing, "stream_options": {**(body["stream_options"] or {}), "include_usage": True}})
    if not missing:
        return raw
    start = raw.index(b"{") + 1
    return raw[:start] + orjson.dumps(missing)[1:-1] + b"," + raw[start:]
