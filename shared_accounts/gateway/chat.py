"""A chat request: the few fields we read; everything else passes through untouched, to the byte."""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

import orjson

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.calls import Call
from shared_accounts.quotas import pricing

_LONGEST_MODEL = 200
_MOST_TOKENS = 10_000_000
_MOST_CHOICES = 128
_LIMITS = ("max_completion_tokens", "max_tokens")
_STREAM_OPTIONS = re.compile(rb'"stream_options"\s*:\s*(null|\{[^{}]*\})')


def parse(raw: bytes, *, stream_by_default: bool, default_completion_tokens: int) -> Call:
    """Read a chat body; raises `InvalidRequest` naming the field that cannot be used."""
    body = parsed(raw)
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
    return Call(
        model=model,
        stream=stream,
        show_usage=bool(options and options.get("include_usage")),
        prompt_tokens=_prompt_tokens(body),
        most_completion_tokens=_most_completion_tokens(body, default_completion_tokens),
        is_bounded=any(body.get(name) is not None for name in _LIMITS),
        body=to_send(raw, body, stream=stream),
        conversation=_conversation(body),
    )


def _conversation(body: dict[str, Any]) -> int | None:
    """Hash what stays the same: the client's own word for it, or everything up to the first answer."""
    named = body.get("prompt_cache_key")
    if isinstance(named, str) and named:
        return crc32(named.encode("utf-8", "surrogatepass"))
    messages = body["messages"]
    first = next((place for place, one in enumerate(messages) if one.get("role") == "assistant"), None)
    return None if first is None else crc32(orjson.dumps(messages[:first]))


def parsed(raw: bytes) -> dict[str, Any]:
    """Return a body's object; raises `InvalidRequest` when it is none."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return body


def _prompt_tokens(body: dict[str, Any]) -> int:
    try:
        return pricing.estimate_prompt(body)
    except RecursionError:  # the parser goes deeper than what writes it down again
        raise InvalidRequest("The body is nested too deeply.") from None


def _boolean(body: dict[str, Any], name: str, *, default: bool) -> bool:
    value = body.get(name, default)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false.", field=name)
    return value


def _most_completion_tokens(body: dict[str, Any], default: int) -> int:
    named = [_count(body, name, default, _MOST_TOKENS) for name in _LIMITS if body.get(name) is not None]
    return next(iter(named), default) * _count(body, "n", 1, _MOST_CHOICES)


def _count(body: dict[str, Any], name: str, default: int, most: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(f"{name} must be a whole number from 1 to {most}.", field=name)
    return value


def to_send(raw: bytes, body: dict[str, Any], *, stream: bool) -> bytes:
    """Return the client's bytes, with what is missing spliced in: nothing else of them changes."""
    missing: dict[str, Any] = {}
    if "stream" not in body and stream:
        missing["stream"] = True
    if stream and "stream_options" not in body:
        missing["stream_options"] = {"include_usage": True}
    elif stream and not (body["stream_options"] or {}).get("include_usage"):
        raw = _asking_for_usage(raw, body)
    if not missing:
        return raw
    start = raw.index(b"{") + 1
    return raw[:start] + orjson.dumps(missing)[1:-1] + b"," + raw[start:]


def _asking_for_usage(raw: bytes, body: dict[str, Any]) -> bytes:
    """Return a body whose stream options do ask; only an odd one is written anew as a whole."""
    asking = orjson.dumps({**(body["stream_options"] or {}), "include_usage": True})
    found = list(_STREAM_OPTIONS.finditer(raw))
    if len(found) == 1 and _says(found[0][1], body["stream_options"]):
        return raw[: found[0].start(1)] + asking + raw[found[0].end(1) :]
    return orjson.dumps({**body, "stream_options": orjson.Fragment(asking)})


def _says(text: bytes, value: object) -> bool:
    try:
        return bool(orjson.loads(text) == value)
    except orjson.JSONDecodeError:
        return False
