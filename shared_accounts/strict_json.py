"""JSON as the database can hold it: no member twice, no absurd number, no text that PostgreSQL refuses.

Invariant: what `parse` returns can be stored. Duplicate members, numbers beyond a bigint, NUL and lone surrogates
(PostgreSQL refuses both) and absurd nesting are refused, with the name of the field.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from shared_accounts.errors import InvalidRequest, Unprocessable

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_DEEPEST = 32
_LARGEST = 2**63 - 1
_LONGEST_NAME = 100


def parse(body: bytes) -> dict[str, Any]:
    """Read a JSON object; raises `InvalidRequest` or `Unprocessable`, naming the field where there is one."""
    try:
        data = json.loads(body.decode(), object_pairs_hook=_members, parse_int=_whole, parse_constant=_no_constant)
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.") from error
    except ValueError as error:
        raise InvalidRequest("The body is not valid JSON.") from error
    if not isinstance(data, dict):
        raise InvalidRequest("The body must be a JSON object.")
    _inspect(data, "", 0)
    return data


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise InvalidRequest("A member is given twice.", field=short(name))
        members[name] = value
    return members


def _whole(digits: str) -> float:
    # Infinity stands for "absurdly long", so that `_inspect` can say where it is.
    return int(digits) if len(digits) <= len(str(-_LARGEST)) else math.inf


def _no_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _inspect(value: Any, path: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidRequest("The body is nested too deeply.", field=path.partition(".")[0])
    if isinstance(value, str) and UNSTORABLE.search(value):
        raise Unprocessable("A text contains characters that cannot be stored.", field=path)
    if isinstance(value, int | float) and not -_LARGEST <= value <= _LARGEST:
        raise InvalidRequest("A number is out of range.", field=path)
    if isinstance(value, list):
        for item in value:
            _inspect(item, path, depth + 1)
    elif isinstance(value, dict):
        for name, member in value.items():
            _inspect(name, short(name), depth)
            _inspect(member, f"{path}.{short(name)}" if path else short(name), depth + 1)


def short(name: str) -> str:
    """Return a name that somebody sent as far as it may be repeated."""
    return name[:_LONGEST_NAME]
