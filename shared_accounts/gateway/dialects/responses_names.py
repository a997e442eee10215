"""Names of tools, in a spelling that brings back what chat completions have no words for. Pure.

A Responses tool may live in a namespace, and it may take free text instead of JSON (`custom`); chat completions know
plain functions only. Nothing is remembered between a request and its answer, so the function's name says it:

    shell                                 a function
    free--apply_patch                     a custom tool
    ns11--mcp__github__search             `search` in the namespace `mcp__github`, whose name has 11 characters
    free--ns11--mcp__github__query        both

A client's own name that happens to look like one of these is put into the namespace without a name: `ns0--free--x`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HOME = "functions"
"""The namespace of tools that are in none."""

_FREE = "free--"
_PLACE = re.compile(r"ns(\d{1,4})--")
_JOINT = "__"


class ToolName(NamedTuple):
    """A tool as the client calls it."""

    name: str
    namespace: str | None = None
    is_freeform: bool = False

    def for_chat(self) -> str:
        """Spell it as the name of a function; `from_chat` reads it back."""
        name = self.name
        if self.namespace and self.namespace != HOME:
            name = f"ns{len(self.namespace)}--{self.namespace}{_JOINT}{name}"
        elif name.startswith(_FREE) or _PLACE.match(name):
            name = f"ns0--{name}"
        return _FREE + name if self.is_freeform else name


def from_chat(name: str) -> ToolName:
    """Read a function's name; one that no tool of ours has is taken as it stands."""
    rest = name.removeprefix(_FREE)
    is_freeform = rest != name
    found = _PLACE.match(rest)
    if not found:
        return ToolName(rest, None, is_freeform)
    start, end = found.end(), found.end() + int(found[1])
    if start == end:
        return ToolName(rest[start:], None, is_freeform)
    if not rest.startswith(_JOINT, end):
        return ToolName(rest, None, is_freeform)
    return ToolName(rest[end + len(_JOINT) :], rest[start:end], is_freeform)
