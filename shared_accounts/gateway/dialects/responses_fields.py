"""Read the fields of a Responses body: the right type, or a refusal that names the field and never its value."""

from __future__ import annotations

from typing import Any, TypeVar

from shared_accounts.errors import InvalidRequest

T = TypeVar("T")

_WORDS: dict[type, str] = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a string",
}


def need(value: object, kind: type[T], field: str) -> T:
    """Return a value of this kind; a whole number is a number too, true and false are none."""
    kinds: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise InvalidRequest(f"{field} must be {_WORDS[kind]}.", field=field)
    return value  # type: ignore[return-value]  # a whole number where any number will do


def may(value: object, kind: type[T], field: str) -> T | None:
    """Return a value of this kind, or nothing for null and what is missing."""
    return None if value is None else need(value, kind, field)


def objects(value: object, field: str) -> list[tuple[str, dict[str, Any]]]:
    """Return a list's objects, each with the name of its place."""
    places = ((f"{field}[{number}]", one) for number, one in enumerate(need(value, list, field)))
    return [(place, need(one, dict, place)) for place, one in places]
