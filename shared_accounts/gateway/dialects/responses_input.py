"""The input of a Responses body, as the messages of a chat (OpenAI Responses API, `input` and `instructions`). Pure.

Messages, calls, their results and what was thought pass. Notes that providers keep for themselves (their own tools'
calls, sealed reasoning, compacted history) mean nothing to another model and are left out. Anything else is refused:
an input must not lose a part in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.responses_fields import may, need, objects
from shared_accounts.gateway.dialects.responses_history import History, Message
from shared_accounts.gateway.dialects.responses_names import ToolName
from shared_accounts.gateway.dialects.responses_parts import parts_of, text_of

Item = dict[str, Any]

_LEFT_OUT = {
    "additional_tools",  # read with the tools
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
}


def messages_of(body: Item) -> list[Message]:
    """Return the chat's messages; raises `InvalidRequest` naming the item and field that cannot be used."""
    history = History()
    if instructions := may(body.get("instructions"), str, "instructions"):
        history.instruct(instructions)
    given = body.get("input")
    if isinstance(given, str):
        history.ask(parts_of(given, "input"))
    elif isinstance(given, list):
        for field, item in objects(given, "input"):
            _take(history, item, field)
    else:
        raise InvalidRequest("input must be a string or a list of items.", field="input")
    messages = history.messages()
    if not messages:
        raise InvalidRequest("input must not be empty.", field="input")
    return messages


def _take(history: History, item: Item, field: str) -> None:
    kind = need(item.get("type") or "message", str, f"{field}.type")
    if kind in _LEFT_OUT:
        return
    if kind not in _TAKERS:
        raise InvalidRequest(f"{field}.type is of no kind that can be passed on.", field=f"{field}.type")
    _TAKERS[kind](history, item, field)


def _message(history: History, item: Item, field: str) -> None:
    role, content, place = item.get("role"), item.get("content"), f"{field}.content"
    if role == "user":
        history.ask(parts_of(content, place))
    elif role == "assistant":
        history.reply(text_of(content, place))
    elif role in {"system", "developer"}:  # what OpenAI renamed; the other upstreams know the old word only
        history.instruct(text_of(content, place))
    else:
        raise InvalidRequest(f"{field}.role must be user, assistant, system or developer.", field=f"{field}.role")


def _function_call(history: History, item: Item, field: str) -> None:
    history.call(_call_id(item, field), _name(item, field), need(item.get("arguments"), str, f"{field}.arguments"))


def _custom_call(history: History, item: Item, field: str) -> None:
    told = {"input": need(item.get("input"), str, f"{field}.input")}
    history.call(_call_id(item, field), _name(item, field, is_freeform=True), orjson.dumps(told).decode())


def _result(history: History, item: Item, field: str) -> None:
    call_id = _call_id(item, field)
    if not history.knows(call_id):
        raise InvalidRequest(f"{field}.call_id is of no call in the input before it.", field=f"{field}.call_id")
    history.result(call_id, parts_of(item.get("output"), f"{field}.output"))


def _reasoning(history: History, item: Item, field: str) -> None:
    """Take what can be read of a thought: its text, or else its summary."""
    name = "content" if item.get("content") else "summary"
    for place, part in objects(item.get(name) or [], f"{field}.{name}"):
        history.think(need(part.get("text"), str, f"{place}.text"))


def _call_id(item: Item, field: str) -> str:
    return need(item.get("call_id"), str, f"{field}.call_id")


def _name(item: Item, field: str, *, is_freeform: bool = False) -> str:
    namespace = may(item.get("namespace"), str, f"{field}.namespace")
    return ToolName(need(item.get("name"), str, f"{field}.name"), namespace, is_freeform).for_chat()


_TAKERS: dict[str, Callable[[History, Item, str], None]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _result,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _result,
    "reasoning": _reasoning,
}
