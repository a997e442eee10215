"""Read a Messages request's fields by type: a refusal names the field as Anthropic does, and repeats no value. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from shared_accounts.errors import InvalidRequest

T = TypeVar("T", str, bool, int, float, dict[str, Any], list[Any])

_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


def wrong(at: str, must: str) -> InvalidRequest:
    """Return the refusal of the field at this path: `messages.0.content must be ...`."""
    return InvalidRequest(f"{at} must be {must}.", field=at)


def required(owner: dict[str, Any], name: str, kind: type[T], at: str = "") -> T:
    """Return a field that has to be there; raises `InvalidRequest`."""
    value = optional(owner, name, kind, at)
    if value is None:
        raise InvalidRequest(f"{at}{name} is required.", field=f"{at}{name}")
    return value


def optional(owner: dict[str, Any], name: str, kind: type[T], at: str = "") -> T | None:
    """Return a field, None when it is missing or null; raises `InvalidRequest` when it is of another type."""
    value = owner.get(name)
    if value is not None and not _is(value, kind):
        raise wrong(f"{at}{name}", _KINDS[kind])
    return value


def objects(value: list[Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk a list of objects, each with its path; raises `InvalidRequest` at what is none."""
    for place, one in enumerate(value):
        if not isinstance(one, dict):
            raise wrong(f"{at}.{place}", "an object")
        yield f"{at}.{place}", one


def blocks(value: object, at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk content blocks, each with its path; a string is short for one text block."""
    if isinstance(value, str):
        value = [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise wrong(at, "a string or a list of content blocks")
    return objects(value, at)


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
