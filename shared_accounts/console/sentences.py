"""Sentences that come from below, where nobody knows who will read them: with their places filled, or a library's own.

Invariant: every sentence here that a reader gets to see is in the catalogues under its own name.
"""

from __future__ import annotations

import re
from functools import cache

_NO_API = "The upstream answered %(status)s: no OpenAI-compatible API was found there."
_COLUMNS = "The first row names the columns, separated by commas: %(columns)s."

FILLED = (
    "answered %(status)s",
    "answered %(status)s: it does not offer this",
    "answered %(status)s: the key is not valid",
    "The upstream cannot be reached: %(reason)s.",
    _NO_API,
    _NO_API + " If it keeps no list of models, name them.",
    "The upstream answered %(status)s: this credential is at its limit; try again later.",
    "This upstream keeps no list of models: name at most %(most)s, each will be tried.",
    "An account serves between 1 and %(most)s models; name them.",
    "A file holds between 1 and %(most)s accounts below its header.",
    "A file holds a list of 1 to %(most)s accounts.",
    "The file has no header. " + _COLUMNS,
    "Column %(place)s has a name that is not known. " + _COLUMNS,
    "The column %(name)s is there twice.",
    "Row %(row)s has this credential already.",
    "The address must hold one %(name)s.",
    "A password has at least %(least)s characters.",
    "A password has at most %(most)s bytes.",
    "A user name has %(least)s to %(most)s characters, none of them invisible.",
    "You may have %(most)s keys and have them already; delete one first.",
    "Of one model you may give %(limit)s units a day (UTC); %(left)s are left today.",
    "This pool owes %(owed)s units for accounts that were withdrawn, so it cannot give.",
    "Only %(free)s units are free.",
    "Only %(room)s units would fit into the receiver's pool.",
    "These fields cannot be used: %(names)s.",
)

_EMPTY = "Fill this in."
_NUMBER = "Write a number."

UNFIT = {
    "Missing data for required field.": _EMPTY,
    "Field may not be null.": _EMPTY,
    "Shorter than minimum length 1.": _EMPTY,
    "Not a valid integer.": "Write a whole number.",
    "Not a valid number.": _NUMBER,
    "Special numeric values (nan or infinity) are not permitted.": _NUMBER,
    "Number too large.": _NUMBER,
    "Must be greater than or equal to %(least)s and less than or equal to %(most)s.": (
        "Write a number from %(least)s to %(most)s."
    ),
    "Must be greater than or equal to %(least)s.": "Write a number, %(least)s at least.",
    "Must be less than or equal to %(most)s.": "Write a number, %(most)s at most.",
    "Longer than maximum length %(most)s.": "Shorten this: at most %(most)s characters fit.",
    "Shorter than minimum length %(least)s.": "Write at least %(least)s characters.",
    "Length must be between %(least)s and %(most)s.": "Write %(least)s to %(most)s characters.",
    "String does not match expected pattern.": (
        "This holds spaces or signs that do not belong there, or is too long. Copy it again."
    ),
    "Must be one of: %(choices)s.": "Choose one of those offered.",
}
"""What marshmallow says of a field, and what its reader does about it."""

SEVERAL = {
    "Longer than maximum length %(most)s.": "Leave some out: at most %(most)s fit.",
    "Shorter than minimum length %(least)s.": "Name at least %(least)s.",
    "Length must be between %(least)s and %(most)s.": "Name %(least)s to %(most)s.",
}
"""The same of a field that holds a list."""


def places(known: str, sentence: str) -> dict[str, str] | None:
    """Return what stands in the places of a sentence, or None if it is another one."""
    found = _pattern(known).fullmatch(sentence)
    return found.groupdict() if found else None


@cache
def _pattern(known: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>[^:]+)", re.escape(known)))
