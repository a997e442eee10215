"""What chat completions and Messages call the same thing: reasons to stop, usage, errors, ids. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson

from shared_accounts.gateway.sse import tokens_of

_OVERLOADED = 529
_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.PAYMENT_REQUIRED: "billing_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_TIMEOUT: "timeout_error",
    HTTPStatus.CONFLICT: "conflict_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
    _OVERLOADED: "overloaded_error",
}
_BY_WORD = {
    "account_withdrawn": "overloaded_error",
    "insufficient_quota": "rate_limit_error",
    "invalid_api_key": "authentication_error",
    "model_not_found": "not_found_error",
    "no_account_available": "overloaded_error",
    "rate_limit_exceeded": "rate_limit_error",
    "requests": "rate_limit_error",
    "server_restarting": "overloaded_error",
    "tokens": "rate_limit_error",
    "upstream_timeout": "timeout_error",
}
_UNTOLD = {"stop_details": None, "container": None}
"""What goes with the reason to stop, and no chat tells."""
DIRECT = {"type": "direct"}
"""Who calls a tool: the model itself, no code of its own."""
_OWN_WORDS = {"invalid_request_error", "api_error", *_BY_STATUS.values()}


def stop_of(finish: object, *, called: bool, stopped_at: object = None) -> dict[str, Any]:
    """Return `stop_reason`, `stop_sequence` and what goes with them.

    `called`: whether the answer calls tools. Many upstreams say `stop` then (OpenAI does when the tool was forced),
    but clients run tools only for `tool_use`. `stopped_at`: the stop sequence met, from upstreams that tell it.
    """
    reason = _STOPS.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"
    if called and reason == "end_turn":
        reason = "tool_use"
    stopped = stopped_at if reason == "end_turn" and isinstance(stopped_at, str) else None
    return {"stop_reason": "stop_sequence" if stopped else reason, "stop_sequence": stopped, **_UNTOLD}


def unstopped() -> dict[str, Any]:
    """Return the same of an answer that has just begun."""
    return {"stop_reason": None, "stop_sequence": None, **_UNTOLD}


def usage_of(usage: object) -> dict[str, Any]:
    """Return a chat's usage as Messages counts it: cached tokens stand beside the input, not in it.

    A usage that is missing or not to be believed is all zeros: every SDK needs the numbers. What only Anthropic's own
    servers know is there, and null.
    """
    tokens = tokens_of(usage)
    prompt, completion = (tokens.prompt, tokens.completion) if tokens else (0, 0)
    cached = min(tokens.cached, prompt) if tokens else 0
    stored = min(_detail(usage, "prompt_tokens_details", "cache_write_tokens"), prompt - cached)
    thought = min(_detail(usage, "completion_tokens_details", "reasoning_tokens"), completion)
    return {
        "input_tokens": prompt - cached - stored,
        "cache_creation_input_tokens": stored,
        "cache_read_input_tokens": cached,
        "output_tokens": completion,
        "output_tokens_details": {"thinking_tokens": thought},
        "cache_creation": None,
        "server_tool_use": None,
        "service_tier": None,
        "inference_geo": None,
    }


def error_type(words: Iterable[object], status: int | None = None) -> str:
    """Return Anthropic's type of an error: by its HTTP status, else by OpenAI's `type` and `code`, else `api_error`."""
    if status is not None and status >= HTTPStatus.BAD_REQUEST:
        fallback = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        return _BY_STATUS.get(status, fallback)
    named = [word for word in words if isinstance(word, str)]
    return next((_BY_WORD.get(word, word) for word in named if word in _BY_WORD or word in _OWN_WORDS), "api_error")


def written(value: dict[str, Any]) -> bytes:
    """Return an object as JSON, also one that holds halves of characters, which stay the escapes they came as."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value).encode()


def message_id(completion_id: object, otherwise: str) -> str:
    """Return a message's id, made of the chat's."""
    named = completion_id if isinstance(completion_id, str) and completion_id else otherwise
    return "msg_" + named.removeprefix("chatcmpl-")


def text_of(content: object) -> str:
    """Return the text of a chat message's content, which may be a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def thought_of(message: dict[str, Any]) -> str:
    """Return the reasoning that a chat message or delta carries, under either of its usual names."""
    return text_of(message.get("reasoning_content") or message.get("reasoning"))


def calls_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tool calls of a chat message or delta."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _detail(usage: object, group: str, name: str) -> int:
    details = usage.get(group) if isinstance(usage, dict) else None
    count = details.get(name) if isinstance(details, dict) else None
    return max(count, 0) if isinstance(count, int) and not isinstance(count, bool) else 0
