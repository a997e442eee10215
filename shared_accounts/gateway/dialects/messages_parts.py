"""What a content block says, as parts of an OpenAI chat message. Pure.

Anthropic Messages API, content blocks; OpenAI chat completions, content parts. Caching marks and citations
are dropped: they ask for nothing that a chat could answer.
"""

from __future__ import annotations

from typing import Any

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.messages_fields import blocks, optional, required

_BETWEEN = "\n\n"


def text(words: str) -> dict[str, Any]:
    """Return a part of text."""
    return {"type": "text", "text": words}


def words_of(parts: list[dict[str, Any]]) -> str:
    """Return the text of the parts that have any, as paragraphs."""
    return _BETWEEN.join(part["text"] for part in parts if part["type"] == "text")


def content_of(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return parts as a message's content: a string if it is all text, since not every upstream takes a list."""
    return words_of(parts) if all(part["type"] == "text" for part in parts) else parts


def of_content(content: object, at: str) -> list[dict[str, Any]]:
    """Return the parts of a string or of a list of blocks; raises `InvalidRequest`."""
    return [part for where, block in blocks(content, at) for part in of_block(block, where)]


def of_block(block: dict[str, Any], at: str) -> list[dict[str, Any]]:
    """Return the parts of one block: text, an image, a plain document, a search result; raises `InvalidRequest`."""
    kind = block.get("type")
    if kind == "text":
        return [text(required(block, "text", str, f"{at}."))]
    if kind == "image":
        return [_image(required(block, "source", dict, f"{at}."), f"{at}.source.")]
    if kind == "document":
        return _document(block, at)
    if kind == "search_result":
        return [_headed(block, at, required(block, "content", list, f"{at}."), "title", "source")]
    raise unsupported(at)


def unsupported(at: str) -> InvalidRequest:
    """Return the refusal of a block that no chat message can hold."""
    return InvalidRequest(f"{at}.type is not a kind of content that can be passed on here.", field=f"{at}.type")


def _image(source: dict[str, Any], at: str) -> dict[str, Any]:
    kind = source.get("type")
    if kind == "base64":
        media_type, data = required(source, "media_type", str, at), required(source, "data", str, at)
        return _image_at(f"data:{media_type};base64,{data}")
    if kind == "url":
        return _image_at(required(source, "url", str, at))
    raise InvalidRequest(f"{at}type must be base64 or url.", field=f"{at}type")


def _image_at(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: dict[str, Any], at: str) -> list[dict[str, Any]]:
    source = required(block, "source", dict, f"{at}.")
    if source.get("type") == "text":
        return [_headed(block, at, required(source, "data", str, f"{at}.source."), "title", "context")]
    if source.get("type") == "content":
        inside = of_content(source.get("content"), f"{at}.source.content")
        pictures = [part for part in inside if part["type"] != "text"]
        return [_headed(block, at, words_of(inside), "title", "context"), *pictures]
    field = f"{at}.source.type"
    raise InvalidRequest(f"{field} must be text or content: only plain documents can be passed on here.", field=field)


def _headed(block: dict[str, Any], at: str, body: str | list[Any], *names: str) -> dict[str, Any]:
    """Return what a block holds below what it is called."""
    heads = [head for name in names if (head := optional(block, name, str, f"{at}."))]
    words = body if isinstance(body, str) else words_of(of_content(body, f"{at}.content"))
    return text(_BETWEEN.join([*heads, words]))
