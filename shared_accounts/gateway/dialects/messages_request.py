"""A Messages request as an OpenAI chat body. Pure.

Anthropic Messages API, "Create a Message". What a chat has no word for is dropped: `top_k`, `metadata` (whose
user id is nobody's business upstream), `service_tier`, `container`, `context_management`, caching marks.
"""

from __future__ import annotations

import re
from typing import Any

from shared_accounts.gateway.dialects.messages_fields import optional, required, wrong
from shared_accounts.gateway.dialects.messages_tools import response_format, tool_fields
from shared_accounts.gateway.dialects.messages_turns import chat_messages

_RENAMED_LIMIT = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9])")
"""OpenAI's reasoning models refuse `max_tokens`; most other servers know nothing else."""
_TAKES_EFFORT = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|oss)|gemini-(?:2\.5|[3-9]))")
"""Models documented to take `reasoning_effort`; others may refuse a request that has it."""
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_BUDGETS = ((4096, "low"), (16384, "medium"))
_SAMPLING = ("temperature", "top_p")


def to_chat(body: dict[str, Any]) -> dict[str, Any]:
    """Return the chat body that asks for the same; raises `InvalidRequest` naming the field that cannot be used."""
    model = required(body, "model", str)
    chat: dict[str, Any] = {"model": model, "messages": chat_messages(body), **_limit(body, model)}
    stream = optional(body, "stream", bool)
    if stream is not None:
        chat["stream"] = stream
    for name in _SAMPLING:
        if (value := optional(body, name, float)) is not None:
            chat[name] = value
    if stops := _stops(body):
        chat["stop"] = stops
    return {**chat, **tool_fields(body), **_output(body), **_reasoning(body, model)}


def _limit(body: dict[str, Any], model: str) -> dict[str, int]:
    most = required(body, "max_tokens", int)
    if most < 1:
        raise wrong("max_tokens", "a whole number from 1")
    return {"max_completion_tokens" if _RENAMED_LIMIT.match(model) else "max_tokens": most}


def _stops(body: dict[str, Any]) -> list[str]:
    stops = optional(body, "stop_sequences", list) or []
    if not all(isinstance(stop, str) for stop in stops):
        raise wrong("stop_sequences", "a list of strings")
    return stops


def _output(body: dict[str, Any]) -> dict[str, Any]:
    config = optional(body, "output_config", dict) or {}
    # `output_format` is what structured output was called before it had a place in `output_config`.
    at, asked = "output_config.format.", optional(config, "format", dict, "output_config.")
    if asked is None:
        at, asked = "output_format.", optional(body, "output_format", dict)
    if asked is None:
        return {}
    if asked.get("type") != "json_schema":
        raise wrong(f"{at}type", "json_schema")
    return {"response_format": response_format(required(asked, "schema", dict, at))}


def _reasoning(body: dict[str, Any], model: str) -> dict[str, str]:
    """Say how hard to think: by `output_config.effort`, else by the thinking budget, else not at all."""
    thinking = optional(body, "thinking", dict) or {}
    budget = optional(thinking, "budget_tokens", int, "thinking.")
    config = optional(body, "output_config", dict) or {}
    named = optional(config, "effort", str, "output_config.")
    if named is not None and named not in _EFFORTS:
        raise wrong("output_config.effort", "low, medium, high, xhigh or max")
    if not _TAKES_EFFORT.match(model) or thinking.get("type") == "disabled":
        return {}
    if named:
        return {"reasoning_effort": _EFFORTS[named]}
    if budget is None:
        return {}
    return {"reasoning_effort": next((effort for most, effort in _BUDGETS if budget < most), "high")}
