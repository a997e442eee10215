"""A whole chat completion as a Messages answer, and a refusal in Anthropic's words. Pure.

Anthropic Messages API, the Message object; "Errors".
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson

from shared_accounts.gateway.dialects.messages_keepsakes import wrapped
from shared_accounts.gateway.dialects.messages_turns import ORIGIN
from shared_accounts.gateway.dialects.messages_words import (
    DIRECT,
    calls_of,
    error_type,
    message_id,
    stop_of,
    text_of,
    thought_of,
    usage_of,
    written,
)


def from_completion(completion: dict[str, Any], *, model: str) -> dict[str, Any]:
    """Return the Message that says the same; `model` is the name the client asked for."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    said = choice.get("message")
    name = message_id(completion.get("id"), uuid4().hex)
    content = _content(said, name) if isinstance(said, dict) else []
    called = any(block["type"] == "tool_use" for block in content)
    finish = "content_filter" if isinstance(said, dict) and said.get("refusal") else choice.get("finish_reason")
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **stop_of(finish, called=called, stopped_at=choice.get("stop_reason")),
        "usage": usage_of(completion.get("usage")),
    }


def refusal(
    status: int,
    message: str,
    *,
    type: str,  # noqa: A002
    code: str | None,
    param: str | None,
    request_id: str,
) -> dict[str, Any]:
    """Return the error body for a refusal told in OpenAI's words; the message names the field, as Anthropic's do."""
    words = f"{param}: {message}" if param and param not in message else message
    error = {"type": error_type((code, type), status), "message": words}
    return {"type": "error", "error": error, "request_id": request_id}


def arguments_of(function: dict[str, Any]) -> str:
    """Return a call's arguments as the JSON text they should be; some upstreams send the object itself."""
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        return written(arguments).decode()
    return arguments if isinstance(arguments, str) else ""


def _content(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if thought := thought_of(said):
        blocks.append({"type": "thinking", "thinking": thought, "signature": ORIGIN})
    if text := text_of(said.get("content")) + text_of(said.get("refusal")):
        blocks.append({"type": "text", "text": text, "citations": None})
    for place, call in enumerate(calls_of(said)):
        function = call.get("function")
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            ident = call["id"] if isinstance(call.get("id"), str) and call["id"] else f"toolu_{name}_{place}"
            if keepsake := wrapped(call, ident):
                blocks.append(keepsake)
            use = {"type": "tool_use", "id": ident, "name": function["name"], "input": _input(function)}
            blocks.append({**use, "caller": DIRECT})
    return blocks


def _input(function: dict[str, Any]) -> dict[str, Any]:
    """Return a call's arguments as an object; broken ones stay visible, so that no tool runs as if it had none."""
    arguments = arguments_of(function)
    try:
        parsed = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"arguments": arguments}
