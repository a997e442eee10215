"""A Messages request for an upstream that speaks Messages: as it came, less what is not for it. Pure.

Out go the client's name for its user (nothing of our people reaches an upstream), and the blocks we made for answers
of other upstreams: thoughts signed by us, which Anthropic's own check of signatures refuses, and keepsakes.
"""

from __future__ import annotations

from typing import Any

import orjson

from shared_accounts.gateway.dialects.messages_keepsakes import is_keepsake
from shared_accounts.gateway.dialects.messages_turns import ORIGIN

_MARKS = (b'"user_id"', ORIGIN.encode(), b'"redacted_thinking"')


def native(raw: bytes) -> bytes:
    """Return the body to send; the very bytes when there is nothing to take out."""
    if not any(mark in raw for mark in _MARKS):
        return raw
    body = orjson.loads(raw)
    metadata, messages = body.get("metadata"), body.get("messages")
    if isinstance(metadata, dict):
        metadata.pop("user_id", None)
    if isinstance(messages, list):
        for message in messages:
            _lighten(message)
        body["messages"] = [message for message in messages if not _is_empty(message)]
    return orjson.dumps(body)


def _lighten(message: object) -> None:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content[:] = [block for block in content if not _is_ours(block)]


def _is_empty(message: object) -> bool:
    return isinstance(message, dict) and message.get("content") == []


def _is_ours(block: object) -> bool:
    if not isinstance(block, dict):
        return False
    is_ours: dict[Any, bool] = {
        "thinking": block.get("signature") == ORIGIN,
        "redacted_thinking": is_keepsake(block),
    }
    return is_ours.get(block.get("type"), False)
