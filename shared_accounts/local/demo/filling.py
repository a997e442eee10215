"""An instance of a JSON schema, made of the numbers and the quoted words of a text."""

from __future__ import annotations

import re
from typing import Any

_QUOTED = re.compile(r"`([^`]+)`|\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)|“([^”]+)”|「([^」]+)」")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_DEEPEST = 12
_LONGEST = 200


def quoted(text: str) -> list[str]:
    """Return what stands in quotes in a text."""
    return [next(filter(None, found)) for found in _QUOTED.findall(text)]


class Filler:
    """Takes each number and each quoted phrase of a text once, in its order; then the whole text has to do."""

    def __init__(self, text: str) -> None:
        self._phrases = iter(quoted(text))
        self._numbers = iter(_NUMBER.findall(_QUOTED.sub(" ", text)))
        self._text = " ".join(text.split())[:_LONGEST] or "demo"

    def fill(self, schema: dict[str, Any]) -> Any:
        """Return something that fits a schema; of an object, what it requires."""
        return self._value(schema, schema, 0)

    def _value(self, schema: Any, root: dict[str, Any], depth: int) -> Any:
        schema = _resolved(schema, root)
        for fixed in ("const", "default"):
            if fixed in schema:
                return schema[fixed]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = _kind(schema)
        if depth > _DEEPEST:
            return None
        if kind == "object":
            properties = schema.get("properties") or {}
            wanted = [name for name in properties if name in (schema.get("required") or ())]
            return {name: self._value(properties[name], root, depth + 1) for name in wanted}
        if kind == "array":
            return [self._value(schema.get("items") or {}, root, depth + 1)]
        return self._scalar(kind, schema)

    def _scalar(self, kind: str, schema: dict[str, Any]) -> Any:
        if kind in {"integer", "number"}:
            number = float(next(self._numbers, 0))
            number = float(min(max(number, schema.get("minimum", number)), schema.get("maximum", number)))
            return int(number) if kind == "integer" or number.is_integer() else number
        if kind in {"boolean", "null"}:
            return False if kind == "boolean" else None
        return next(self._phrases, self._text)[: schema.get("maxLength", _LONGEST)]


def _resolved(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """Follow references inside the document, and take the first of several ways."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict):
            return {}
        ways = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if "$ref" in schema:
            schema = _at(root, str(schema["$ref"]))
        elif ways:
            schema = ways[0]
        else:
            return schema
    return {}


def _at(root: dict[str, Any], pointer: str) -> Any:
    found: Any = root
    for step in pointer.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if isinstance(found, dict) and step else found
    return found


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return kind if isinstance(kind, str) else "object" if "properties" in schema else "string"
