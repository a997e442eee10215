"""Fields of what the gateway takes, as far as it looks at them; for the gateway's description only."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

_MOST_TOKENS = 10_000_000
_A_TEXT = {"type": "string", "minLength": 1}
_TOKENS = {"type": "array", "items": {"type": "integer"}}
_BOUNDS = "Bounds what is reserved from your quota"


def model_name() -> fields.String:
    """Make a field for the model that is asked for."""
    return fields.String(required=True, validate=validate.Length(1, 200), metadata={"pattern": r"^[^\u0000]*$"})


def most(largest: int, says: str, *, allow_none: bool = True) -> fields.Integer:
    """Make a field for a number that bounds something; null, of which forms know nothing, is as if left out."""
    return fields.Integer(allow_none=allow_none, validate=validate.Range(1, largest), metadata={"description": says})


def most_tokens(says: str = _BOUNDS) -> fields.Integer:
    """Make a field for how many tokens an answer may take."""
    return most(_MOST_TOKENS, says)


def switch() -> fields.Boolean:
    """Make a field for what is on or off; null is off."""
    return fields.Boolean(allow_none=True)


def turns() -> fields.List[Any]:
    """Make a field for what was said so far, of which there must be something."""
    return fields.List(fields.Dict(), required=True, validate=validate.Length(min=1))


def either(*kinds: dict[str, Any], says: str) -> fields.Raw:
    """Make a field that has to be of one of these kinds."""
    return fields.Raw(required=True, metadata={"anyOf": list(kinds), "description": says})


def some(*kinds: dict[str, Any]) -> dict[str, Any]:
    """Return the kind of a list of these, which is not empty."""
    return {"type": "array", "items": {"anyOf": list(kinds)}, "minItems": 1}


def texts(says: str) -> fields.Raw:
    """Make a field for what is counted as text, in any of the forms it comes in."""
    return either(_A_TEXT, some({"type": "string"}, {"type": "integer"}, _TOKENS, {"type": "object"}), says=says)
