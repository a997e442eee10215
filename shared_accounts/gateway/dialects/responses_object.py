"""The response object (OpenAI Responses API, `Response`). Pure.

Nothing of the request is kept for the answer, so the fields that would repeat it have their neutral values, or, where
none is neutral, are not there.
"""

from __future__ import annotations

from typing import Any


def response(*, usage: dict[str, Any] | None, **facts: object) -> dict[str, Any]:
    """Return a response object from its facts and a chat's usage, if there is one."""
    return {
        "id": None,
        "object": "response",
        "created_at": None,
        "status": None,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": None,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": None,
        "store": False,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        **({"usage": _usage(usage)} if usage else {}),
        **facts,
    }


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Return a chat's usage in the words of a response; what is missing or no count is none."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    read, written = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": _count(read, "cached_tokens"),
            "cache_write_tokens": _count(read, "cache_write_tokens"),
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": _count(written, "reasoning_tokens")},
        "total_tokens": prompt + completion,
    }


def _count(counts: object, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
