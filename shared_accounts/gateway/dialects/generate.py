"""Gemini's own API for clients (`/v1beta/models/{model}:generateContent`) and its upstreams. Pure.

Nothing is translated: such a request goes to upstreams that speak it, and to the Plug-in API, which answers either
verb with plain JSON.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from shared_accounts.accounts import generating, presets
from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway import chat
from shared_accounts.gateway.calls import Call
from shared_accounts.gateway.dialects.generate_words import parts, size, weight

_LONGEST_MODEL = 200
_MOST_TOKENS, _MOST_CANDIDATES = 10_000_000, 128
_WHOLE, _EVENTS, _LIST = ":generateContent", ":streamGenerateContent?alt=sse", ":streamGenerateContent"


class Place(NamedTuple):
    """Where at an account's origin a request goes, and with which headers."""

    path: str
    headers: dict[str, str]


def read(raw: bytes, model: str, *, streams: bool, as_events: bool, most: int) -> Call:
    """Read a body; raises `InvalidRequest` naming the field that cannot be used.

    A stream that is not asked for as events is a JSON list, and passes whole.
    """
    body = chat.parsed(raw)
    if not 1 <= len(model) <= _LONGEST_MODEL or "\x00" in model:
        raise InvalidRequest(f"model must have 1 to {_LONGEST_MODEL} characters.", field="model")
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents or not all(isinstance(one, dict) for one in contents):
        raise InvalidRequest("contents must be a non-empty list of objects.", field="contents")
    config = _either(body, "generationConfig", "generation_config")
    if config is not None and not isinstance(config, dict):
        raise InvalidRequest("generationConfig must be an object.", field="generationConfig")
    limit = _either(config or {}, "maxOutputTokens", "max_output_tokens")
    candidates = _either(config or {}, "candidateCount", "candidate_count")
    longest = _count("maxOutputTokens", limit, most, _MOST_TOKENS)
    return Call(
        model=model,
        stream=streams and as_events,
        show_usage=True,
        prompt_tokens=_prompt_tokens(body),
        most_completion_tokens=longest * _count("candidateCount", candidates, 1, _MOST_CANDIDATES),
        body=raw,
        is_bounded=limit is not None,
        path=(_EVENTS if as_events else _LIST) if streams else _WHOLE,
        is_chat=False,
        must_speak=generating.DIALECT,
    )


def place(call: Call, candidate: Candidate) -> Place:
    """Return where this account's upstream takes the call: beside its OpenAI-compatible base."""
    base, verb = candidate.target.path.removesuffix("/openai"), call.path
    headers = {"x-goog-api-key": candidate.credential}
    if candidate.preset == presets.PLUGIN:
        base, verb = f"{candidate.target.path.removesuffix('/v1')}/v1beta", _WHOLE
        headers = presets.BEARER.headers(candidate.credential)
    return Place(f"{base}/models/{quote(call.model, safe='')}{verb}", headers)


def _prompt_tokens(body: dict[str, Any]) -> int:
    system = _either(body, "systemInstruction", "system_instruction")
    try:
        told = sum(weight(part) for content in (*body["contents"], system) for part in parts(content))
        return told + (size(body["tools"]) if body.get("tools") else 0)
    except orjson.JSONEncodeError:  # the parser goes deeper than what writes it down again
        raise InvalidRequest("The body is nested too deeply.") from None


def _either(body: dict[str, Any], name: str, also: str) -> Any:
    """Return a field by either of the spellings that Google takes."""
    return body[name] if body.get(name) is not None else body.get(also)


def _count(name: str, value: object, default: int, most: int) -> int:
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(f"{name} must be a whole number from 1 to {most}.", field=name)
    return value
