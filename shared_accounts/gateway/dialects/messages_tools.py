"""Tools, the choice among them and structured output, as OpenAI chat fields. Pure.

Anthropic Messages API, `tools`, `tool_choice` and `output_config.format`. Tools that run at Anthropic, or whose
schema only its models know (web_search_20250305, bash_20250124, ...), are refused: without them the model would
answer as if it had looked.
"""

from __future__ import annotations

from typing import Any

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.messages_fields import objects, optional, required, wrong

_OWN_KINDS = (None, "custom")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_HARMLESS = ("auto", "none")
"""What may be said of tools where there are none."""
_DEEPEST = 64


def tool_fields(body: dict[str, Any]) -> dict[str, Any]:
    """Return `tools`, `tool_choice` and `parallel_tool_calls`, as far as they were asked for."""
    if optional(body, "mcp_servers", list):
        raise InvalidRequest("mcp_servers cannot be used here: no model could reach them.", field="mcp_servers")
    choice = _choice(optional(body, "tool_choice", dict))
    tools = [_tool(tool, at) for at, tool in objects(optional(body, "tools", list) or [], "tools")]
    if not tools:
        if choice.get("tool_choice", "auto") not in _HARMLESS:
            raise InvalidRequest("tool_choice may only be specified while providing tools.", field="tool_choice")
        return {}
    return {"tools": tools, **choice}


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """Return OpenAI's way to ask for an answer by this schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **_strictness(schema)}}


def _tool(tool: dict[str, Any], at: str) -> dict[str, Any]:
    if tool.get("type") not in _OWN_KINDS:
        raise InvalidRequest(f"{at}.type names a tool that only Anthropic can run; leave it out.", field=f"{at}.type")
    schema = required(tool, "input_schema", dict, f"{at}.")
    function: dict[str, Any] = {"name": required(tool, "name", str, f"{at}.")}
    if description := optional(tool, "description", str, f"{at}."):
        function["description"] = description
    function["parameters"] = schema
    if optional(tool, "strict", bool, f"{at}."):
        function |= _strictness(schema)
    return {"type": "function", "function": function}


def _choice(choice: dict[str, Any] | None) -> dict[str, Any]:
    if choice is None:
        return {}
    alone = optional(choice, "disable_parallel_tool_use", bool, "tool_choice.")
    fields: dict[str, Any] = {"parallel_tool_calls": False} if alone else {}
    kind = required(choice, "type", str, "tool_choice.")
    if kind == "tool":
        named = {"name": required(choice, "name", str, "tool_choice.")}
        return {"tool_choice": {"type": "function", "function": named}, **fields}
    if kind not in _CHOICES:
        raise wrong("tool_choice.type", "auto, any, tool or none")
    return {"tool_choice": _CHOICES[kind], **fields}


def _strictness(schema: dict[str, Any]) -> dict[str, Any]:
    """Ask for strictness only where OpenAI grants it: elsewhere it refuses the whole request."""
    return {"strict": True} if _is_closed(schema) else {}


def _is_closed(schema: object, depth: int = 0) -> bool:
    """Tell whether every object in a schema requires all its properties and allows no others."""
    if isinstance(schema, list):
        return all(_is_closed(one, depth + 1) for one in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        names, needed = properties or {}, schema.get("required") or []
        if schema.get("additionalProperties") is not False or not isinstance(names, dict):
            return False
        if not isinstance(needed, list) or any(name not in needed for name in names):
            return False
    return depth < _DEEPEST and all(_is_closed(one, depth + 1) for one in schema.values())
