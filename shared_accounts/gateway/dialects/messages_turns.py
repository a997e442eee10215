"""A Messages conversation as OpenAI chat messages. Pure.

Anthropic Messages API, `system` and `messages`. One user turn may hold several tool results and then words:
each result becomes a `tool` message and the words come after them, as OpenAI wants it.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from shared_accounts.gateway.dialects import messages_parts as parts
from shared_accounts.gateway.dialects.messages_fields import blocks, objects, optional, required, wrong
from shared_accounts.gateway.dialects.messages_keepsakes import unwrapped

ORIGIN = "reasoning_content"
"""The signature of thoughts that came from a chat's `reasoning_content`; thoughts signed otherwise are not ours."""

# Claude Code begins its system prompt with a line that changes with every request: kept, it would spoil every
# upstream's prompt cache, and make two turns of a conversation look like strangers.
_BILLING_LINE = re.compile(r"x-anthropic-billing-header:[^\n]*\n*")


def chat_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the system prompt and all turns, in order; raises `InvalidRequest` naming the field."""
    turns = required(body, "messages", list)
    if not turns:
        raise wrong("messages", "a non-empty list")
    messages = _system(body.get("system"), "system")
    for at, turn in objects(turns, "messages"):
        messages += _turn(turn, at)
    return messages


def _turn(turn: dict[str, Any], at: str) -> list[dict[str, Any]]:
    role, content, where = turn.get("role"), turn.get("content"), f"{at}.content"
    if role == "user":
        return _user(content, where)
    if role == "assistant":
        return [_assistant(content, where)]
    if role == "system":
        return _system(content, where)
    raise wrong(f"{at}.role", "user, assistant or system")


def _system(content: object, at: str) -> list[dict[str, Any]]:
    if content is None and at == "system":
        return []
    said = parts.of_content(content, at)
    if any(part["type"] != "text" for part in said):
        raise wrong(at, "text")
    kept = [_without_billing(part["text"]) for part in said]
    words = parts.words_of([parts.text(one) for one in kept if one])
    return [{"role": "system", "content": words}] if words else []


def _without_billing(words: str) -> str:
    found = _BILLING_LINE.match(words)
    return words[found.end() :] if found else words


def _user(content: object, at: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = []
    for where, block in blocks(content, at):
        if block.get("type") == "tool_result":
            result, pictures = _tool_result(block, where)
            results.append(result)
            said += pictures
        elif block.get("type") == "mid_conv_system":
            rules += _system(block.get("content"), f"{where}.content")
        else:
            said += parts.of_block(block, where)
    words = [{"role": "user", "content": parts.content_of(said)}] if said else []
    return results + words + rules


def _tool_result(block: dict[str, Any], at: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the `tool` message and the result's images, which only a user's message can hold."""
    call = required(block, "tool_use_id", str, f"{at}.")
    inside = parts.of_content(block.get("content") or "", f"{at}.content")
    pictures = [part for part in inside if part["type"] != "text"]
    words = parts.words_of(inside)
    if pictures:
        words = f"{words}\n\n(The images of this result follow in the next message.)".lstrip()
        pictures = [parts.text(f"Images of the result of tool call {call}:"), *pictures]
    if optional(block, "is_error", bool, f"{at}."):
        words = f"Error: {words}"
    return {"role": "tool", "tool_call_id": call, "content": words}, pictures


def _assistant(content: object, at: str) -> dict[str, Any]:
    words, thoughts, calls = "", "", []
    kept: dict[str, Any] = {}
    for where, block in blocks(content, at):
        kind = block.get("type")
        if kind == "text":
            words += required(block, "text", str, f"{where}.")
        elif kind == "thinking":
            thoughts += _own_thought(block, where)
        elif kind == "tool_use":
            calls.append(_tool_call(block, f"{where}."))
        elif kind == "redacted_thinking":
            kept |= unwrapped(block)
        else:
            raise parts.unsupported(where)
    if not calls:
        return {"role": "assistant", "content": words}
    calls = [{**call, "extra_content": kept[call["id"]]} if call["id"] in kept else call for call in calls]
    message = {"role": "assistant", "content": words or None, "tool_calls": calls}
    # Reasoning models want the thoughts that led to a call back (DeepSeek, Kimi); OpenAI takes none.
    return {**message, "reasoning_content": thoughts} if thoughts else message


def _own_thought(block: dict[str, Any], at: str) -> str:
    thought = required(block, "thinking", str, f"{at}.")
    return thought if block.get("signature") == ORIGIN else ""


def _tool_call(block: dict[str, Any], at: str) -> dict[str, Any]:
    try:
        arguments = orjson.dumps(required(block, "input", dict, at)).decode()
    except orjson.JSONEncodeError:
        raise wrong(f"{at}input", "nested less deeply") from None
    function = {"name": required(block, "name", str, at), "arguments": arguments}
    return {"id": required(block, "id", str, at), "type": "function", "function": function}
