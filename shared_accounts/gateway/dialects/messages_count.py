"""How many tokens a Messages body will probably take, before anybody has counted them. Pure.

Anthropic Messages API, "Count tokens in a Message".
"""

from __future__ import annotations

from typing import Any

from shared_accounts.gateway.dialects.messages_fields import objects, required, wrong
from shared_accounts.quotas import pricing

_A_PICTURE: dict[str, str] = {"type": "image"}
_DOCUMENT = [_A_PICTURE] * 10
"""Pages arrive at the model as pictures and text; how many there are cannot be seen from outside."""
_WORDS = {"text": ("text",), "thinking": ("thinking",), "tool_use": ("name", "input")}
"""Which fields of a block the model reads."""


def estimate(body: dict[str, Any]) -> int:
    """Estimate the prompt as `pricing.estimate_prompt` does a chat's: images and documents count flat.

    It takes any body, also one that only a native upstream can serve; raises `RecursionError` for one that is
    nested too deeply.
    """
    turns = body.get("messages")
    messages = [{"content": _flat(turn.get("content"))} for turn in _dicts(turns)]
    if system := body.get("system"):
        messages.append({"content": _flat(system)})
    extras = {"tools": body.get("tools"), "response_format": body.get("output_config")}
    return pricing.estimate_prompt({"messages": messages, **extras})


def count_tokens(body: dict[str, Any]) -> dict[str, int]:
    """Answer a count; raises `InvalidRequest` when there is no model or no message to count for."""
    required(body, "model", str)
    turns = required(body, "messages", list)
    if not list(objects(turns, "messages")):
        raise wrong("messages", "a non-empty list")
    try:
        return {"input_tokens": estimate(body)}
    except RecursionError:
        raise wrong("messages", "nested less deeply") from None


def _flat(content: object) -> list[object]:
    """Return a content's texts, and a picture for each image in it."""
    if isinstance(content, str):
        return [content]
    return [part for block in _dicts(content) for part in _parts(block)]


def _parts(block: dict[str, Any]) -> list[object]:
    kind = block.get("type")
    if isinstance(kind, str) and kind in _WORDS:
        return [str(block.get(name)) for name in _WORDS[kind]]
    if kind == "image":
        return [_A_PICTURE]
    if kind == "document":
        return _document(block.get("source"))
    return _flat(block.get("content"))


def _document(source: object) -> list[object]:
    source = source if isinstance(source, dict) else {}
    if source.get("type") == "text":
        return [source.get("data")]
    return _flat(source.get("content")) if source.get("type") == "content" else list(_DOCUMENT)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
