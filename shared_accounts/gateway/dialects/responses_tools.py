"""The tools of a Responses body, as chat completions know them (OpenAI Responses API, `tools` and `tool_choice`). Pure.

Functions pass, flat become nested. A custom tool becomes a function with one string, `input`; its grammar, which chat
completions cannot enforce, is told to the model. A namespace's tools pass one by one. What only OpenAI's own servers
can run (web_search, file_search, code_interpreter, local_shell, mcp and the like) is an offer nobody here can make, so
the model does not hear of it; a `tool_choice` that insists on one is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.responses_fields import may, need, objects
from shared_accounts.gateway.dialects.responses_names import ToolName

_CHOICES = {"none", "auto", "required"}
_CALLABLE = {"function", "custom"}
_FREE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}

Tools = dict[str, dict[str, Any]]


def translate(body: dict[str, Any]) -> dict[str, Any]:
    """Return chat's `tools`, `tool_choice` and `parallel_tool_calls`; nothing when no tool is left to offer.

    Raises `InvalidRequest` for a malformed tool, and for a choice that cannot be kept.
    """
    tools = {tool["function"]["name"]: tool for tool in _offers(body)}
    choice = _choice(body.get("tool_choice"), tools)
    parallel = may(body.get("parallel_tool_calls"), bool, "parallel_tool_calls")
    if not tools:
        return {}
    fields = {"tools": list(tools.values()), "tool_choice": choice, "parallel_tool_calls": parallel}
    return {name: value for name, value in fields.items() if value is not None}


def _offers(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each tool that can be passed on: the body's, and those that came later, as items of the input."""
    for field, tool in objects(body.get("tools") or [], "tools"):
        yield from _functions(tool, field)
    items = body.get("input")
    for number, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and item.get("type") == "additional_tools":
            for field, tool in objects(item.get("tools"), f"input[{number}].tools"):
                yield from _functions(tool, field)


def _functions(tool: dict[str, Any], field: str, namespace: str | None = None) -> Iterator[dict[str, Any]]:
    kind = need(tool.get("type"), str, f"{field}.type")
    if kind == "namespace" and namespace is None:
        name = need(tool.get("name"), str, f"{field}.name")
        for place, inner in objects(tool.get("tools"), f"{field}.tools"):
            yield from _functions(inner, place, name)
    elif kind in _CALLABLE:
        name = ToolName(need(tool.get("name"), str, f"{field}.name"), namespace, kind == "custom").for_chat()
        told = _free_text(tool, field) if kind == "custom" else _json(tool, field)
        yield {"type": "function", "function": {"name": name, **told}}


def _json(tool: dict[str, Any], field: str) -> dict[str, Any]:
    told = {
        "description": may(tool.get("description"), str, f"{field}.description"),
        "parameters": may(tool.get("parameters"), dict, f"{field}.parameters"),
        "strict": may(tool.get("strict"), bool, f"{field}.strict"),
    }
    return {name: value for name, value in told.items() if value is not None}


def _free_text(tool: dict[str, Any], field: str) -> dict[str, Any]:
    description = may(tool.get("description"), str, f"{field}.description") or ""
    form = may(tool.get("format"), dict, f"{field}.format") or {}
    if form.get("type") == "grammar":
        syntax = need(form.get("syntax"), str, f"{field}.format.syntax")
        definition = need(form.get("definition"), str, f"{field}.format.definition")
        description += f"\n\nThe input must follow this {syntax} grammar:\n{definition}"
    return {"description": description.strip(), "parameters": _FREE_TEXT}


def _choice(choice: object, tools: Tools) -> str | dict[str, Any] | None:
    """Return the choice in chat's words; an `allowed_tools` choice takes the others out of the offer."""
    if isinstance(choice, dict):
        if choice.get("type") != "allowed_tools":
            return {"type": "function", "function": {"name": _name(choice, "tool_choice", tools)}}
        allowed = {_name(tool, field, tools) for field, tool in _callable(choice.get("tools"))}
        for name in tools.keys() - allowed:
            del tools[name]
        choice = choice.get("mode")
    mode = may(choice, str, "tool_choice")
    if mode is not None and mode not in _CHOICES:
        raise InvalidRequest("tool_choice must be none, auto, required or an object.", field="tool_choice")
    if mode == "required" and not tools:
        raise InvalidRequest(
            "tool_choice asks for a tool, but none is offered that can be called.", field="tool_choice"
        )
    return mode


def _callable(tools: object) -> Iterator[tuple[str, dict[str, Any]]]:
    for field, tool in objects(tools, "tool_choice.tools"):
        if tool.get("type") in _CALLABLE:
            yield field, tool


def _name(tool: dict[str, Any], field: str, tools: Tools) -> str:
    """Return the name, in the chat, of a tool that is insisted on."""
    if need(tool.get("type"), str, f"{field}.type") not in _CALLABLE:
        raise InvalidRequest(f"{field} is of a type that only its provider can run.", field=field)
    namespace = may(tool.get("namespace"), str, f"{field}.namespace")
    called = ToolName(need(tool.get("name"), str, f"{field}.name"), namespace, tool["type"] == "custom").for_chat()
    if called not in tools:
        raise InvalidRequest(f"{field} names no tool that is offered.", field=f"{field}.name")
    return called
