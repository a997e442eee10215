"""Which tools the demo calls: those that are asked for, with arguments taken from what the user wrote."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

from shared_accounts.local.demo.filling import Filler

_ids = itertools.count(1)
_TELLING = 4
"""Shorter words of a tool's name (`get`, `set`, `my`) say nothing about what it is for."""


def calls(body: dict[str, Any], asked: str) -> list[dict[str, Any]]:
    """Return the calls a chat calls for; `asked` is what the user said last, empty where somebody else did."""
    tools = functions(body.get("tools") or [])
    names = _chosen(body.get("tool_choice") or "auto", list(tools), asked)
    if body.get("parallel_tool_calls") is False:
        names = names[:1]
    return [_call(name, Filler(asked).fill(tools[name].get("parameters") or {})) for name in names]


def functions(tools: list[Any]) -> dict[str, dict[str, Any]]:
    """Return what can be called by its name; what is no function with a name is left out."""
    found = [one.get("function") for one in tools if isinstance(one, dict)]
    return {one["name"]: one for one in found if isinstance(one, dict) and isinstance(one.get("name"), str)}


def _chosen(choice: Any, names: list[str], asked: str) -> list[str]:
    if isinstance(choice, dict):
        return [choice["function"]["name"]]
    named = [name for name in names if _is_named(name, asked)]
    if choice == "required":
        return named or names[:1]
    return named if choice == "auto" else []


def _is_named(name: str, asked: str) -> bool:
    """Say whether a text names a tool: `get_weather` is named by its name, and by asking for the weather."""
    if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", asked):
        return True
    parts = re.split(r"[_-]", name.lower())
    telling = {part for part in parts if len(part) >= _TELLING}
    return len(parts) > 1 and bool(telling) and telling <= set(re.findall(r"\w+", asked.lower()))


def _call(name: str, arguments: Any) -> dict[str, Any]:
    said = json.dumps(arguments, ensure_ascii=False)
    return {"id": f"call_demo_{next(_ids)}", "type": "function", "function": {"name": name, "arguments": said}}
