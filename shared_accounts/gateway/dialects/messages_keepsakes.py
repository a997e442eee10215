"""Carry what an upstream wants back with a tool call through clients that have no field for it. Pure.

Gemini refuses the next turn unless a call's `extra_content` comes back with it (Gemini API, "Thought signatures",
OpenAI compatibility). Messages clients return `redacted_thinking` blocks as they got them, so it travels in one.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

_OURS = "extra_content."


def wrapped(call: dict[str, Any], ident: str) -> dict[str, Any] | None:
    """Return the block that goes before a tool call and keeps its `extra_content`; None when it has none."""
    extra = call.get("extra_content")
    if not isinstance(extra, dict) or not extra:
        return None
    data = urlsafe_b64encode(json.dumps([ident, extra]).encode()).decode()
    return {"type": "redacted_thinking", "data": _OURS + data}


def is_keepsake(block: dict[str, Any]) -> bool:
    """Tell whether a block is one of ours."""
    data = block.get("data")
    return isinstance(data, str) and data.startswith(_OURS)


def unwrapped(block: dict[str, Any]) -> dict[str, Any]:
    """Return what a block keeps, by its tool call's id; nothing for a block that is not ours."""
    if not is_keepsake(block):
        return {}
    try:
        ident, extra = json.loads(urlsafe_b64decode(block["data"].removeprefix(_OURS)))
    except (ValueError, RecursionError):
        return {}
    return {ident: extra} if isinstance(ident, str) and isinstance(extra, dict) else {}
