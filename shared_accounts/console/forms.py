"""What a form sends, read by the same schemas as the API's bodies; and what is wrong with it, field by field.

Invariant: a password or a credential never comes back in a page, whatever is wrong with the rest.
"""

from __future__ import annotations

import re
from typing import Any

from flask import request
from marshmallow import EXCLUDE, Schema, ValidationError, fields

from shared_accounts.console.language import say_why
from shared_accounts.errors import InvalidRequest, ServiceError

Errors = dict[str, str]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LONGEST_NUMBER = 15


def values() -> dict[str, str]:
    """Return the fields that were filled in; raises `InvalidRequest` for what cannot be stored."""
    for name, value in request.form.items(multi=True):
        if _UNSTORABLE.search(value):
            raise InvalidRequest("A text contains characters that cannot be stored.", field=name[:100])
    return {name: value for name, value in request.form.items() if value.strip()}


def load(schema: Schema, given: dict[str, Any]) -> tuple[dict[str, Any], Errors]:
    """Return what a schema makes of a form, or a sentence for each field that it cannot use."""
    try:
        loaded: dict[str, Any] = schema.load(_numbers(schema, given), unknown=EXCLUDE)
    except ValidationError as error:
        messages: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        return {}, {str(name): _sentence(found, schema.fields.get(name)) for name, found in messages.items()}
    return loaded, {}


def filters(schema: Schema) -> dict[str, Any]:
    """Return what a list's query asks for; a filter that cannot be is none."""
    given = {name: value for name, value in request.args.items() if name in schema.fields and value.strip()}
    for name, value in given.items():
        if not _UNSTORABLE.search(value) and (loaded := load(schema, {name: value}))[0]:
            given[name] = loaded[0][name]
        else:
            given[name] = ""
    return {name: value for name, value in given.items() if value}


def wrong(refusal: ServiceError, *, otherwise: str) -> Errors:
    """Return a refusal by the field it is about."""
    return {refusal.field or otherwise: say_why(refusal.message)}


def number(name: str, default: int = 1) -> int:
    """Return a number of the query, of a page for example; what is none counts as the default."""
    text = request.args.get(name, "")
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER else default


def _numbers(schema: Schema, given: dict[str, Any]) -> dict[str, Any]:
    """Return the form with numbers for the fields that take nothing else."""
    whole = {name for name, field in schema.fields.items() if isinstance(field, fields.Integer)}
    return {
        name: int(value) if name in whole and isinstance(value, str) and _is_number(value) else value
        for name, value in given.items()
    }


def _is_number(text: str) -> bool:
    return text.isascii() and text.strip().isdecimal() and len(text) < _LONGEST_NUMBER


def _sentence(found: Any, field: Any) -> str:
    several = isinstance(field, fields.List) and not isinstance(found, dict)
    while isinstance(found, dict):
        found = next(iter(found.values()))
    return say_why(str(found[0]) if isinstance(found, list) else str(found), several=several)
