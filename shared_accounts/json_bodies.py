"""The frame of every management route: strict bodies, numbers the database can hold, documented refusals.

Invariant: a view behind a `Door` sees only values that can be stored. Duplicate members, numbers beyond a
bigint, NUL and lone surrogates (PostgreSQL refuses both) and absurd nesting are answered before it runs, with
a 4xx that names the field; members a schema does not know are a 422, marshmallow's own default.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from flask import Flask, Request
from flask_smorest import Blueprint
from marshmallow import Schema, fields, missing, validate
from webargs.flaskparser import FlaskParser, abort, is_json_request
from werkzeug.routing import IntegerConverter

from shared_accounts.errors import InvalidRequest, Unprocessable

View = TypeVar("View", bound=Callable[..., Any])

_DEEPEST = 32
_LARGEST = 2**63 - 1
_LONGEST_NAME = 100
_LONGEST_QUERY_NUMBER = 15  # times the largest page size it is still a bigint
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Text(fields.String):
    """A line of text for people: stripped, of bounded length, without control characters or direction tricks."""

    default_error_messages = {"control": "Control characters are not allowed."}  # noqa: RUF012 - marshmallow's way

    def __init__(self, *, max: int, min: int = 0, **options: Any) -> None:  # noqa: A002 - reads well at every field
        super().__init__(validate=validate.Length(min=min, max=max), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs).strip()
        if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in _BIDI_CONTROLS for c in text):
            raise self.make_error("control")
        return text


class Refusal(Schema):
    """What every refusal under `/api` looks like."""

    code = fields.Integer(metadata={"description": "The HTTP status"})
    status = fields.String(metadata={"description": "Its phrase"})
    message = fields.String(metadata={"description": "A sentence for people"})
    detail = fields.String(metadata={"description": "The same sentence"})
    error_code = fields.String(metadata={"description": "A stable word for programs"})
    errors = fields.Dict(metadata={"description": "What is wrong, by place and field"})


class Done(Schema):
    """What an act without a result answers; the original front end reads `success`."""

    message = fields.String()
    success = fields.Boolean()


class RowNumber(IntegerConverter):
    """A row's number in a path. One that no row can have is no part of any path: 404, whatever the method.

    With a bound on the value instead, a path would be known that one method finds and none may use: 405.
    """

    regex = "[0-9]{1,18}"  # whatever has so few digits is a bigint


class _StrictParser(FlaskParser):
    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002 - webargs calls it so
        """Return the body's members; an empty body has none."""
        body = req.get_data(cache=True)
        if not body.strip():
            return missing
        if not is_json_request(req):
            # webargs would take the body for empty, and complain of missing fields that were sent.
            abort(415, messages={"json": ["Send the body as application/json."]})
        return parse(body)

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Return the query; a number no page has is refused here, before it overflows in a statement."""
        for name, value in req.args.items(multi=True):
            if _UNSTORABLE.search(value):
                raise Unprocessable("A text contains characters that cannot be stored.", field=_short(name))
            if len(value) > _LONGEST_QUERY_NUMBER and value.lstrip("+-").isdecimal():
                raise Unprocessable("A number is out of range.", field=_short(name))
        return super().load_querystring(req, schema)


class _Decorates(Protocol):
    def __call__(self, *args: Any, **options: Any) -> Callable[[View], View]: ...


class Door(Blueprint):  # type: ignore[misc]
    """A blueprint whose bodies, queries and row numbers are bounded, and whose refusals are in the document."""

    ARGUMENTS_PARSER = _StrictParser()
    PAGINATION_ARGUMENTS_PARSER = _StrictParser()

    # flask-smorest has no types; without these every view would be untyped.
    get: _Decorates
    post: _Decorates
    put: _Decorates
    patch: _Decorates
    delete: _Decorates
    arguments: _Decorates
    response: _Decorates
    alt_response: _Decorates
    paginate: _Decorates

    def register(self, app: Flask, options: dict[str, Any]) -> None:
        """Register the views; what stands for a number in their paths is a row's."""
        app.url_map.converters["int"] = RowNumber
        super().register(app, options)

    def refuses(self, *statuses: int) -> Callable[[View], View]:
        """Document these refusals of a view."""

        def document(view: View) -> View:
            for status in statuses:
                view = self.alt_response(status, schema=Refusal)(view)
            return view

        return document

    def register_views_in_doc(self, api: Any, app: Any, spec: Any, *, name: str, parameters: Any) -> None:
        """Describe the views, and once per document the credential that guarded ones ask for."""
        if "bearer" not in spec.components.security_schemes:
            scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            spec.components.security_scheme("bearer", scheme)
        super().register_views_in_doc(api, app, spec, name=name, parameters=parameters)


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
            raise InvalidRequest("A member is given twice.", field=_short(name))
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
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise Unprocessable("A text contains characters that cannot be stored.", field=path)
    if isinstance(value, int | float) and not -_LARGEST <= value <= _LARGEST:
        raise InvalidRequest("A number is out of range.", field=path)
    if isinstance(value, list):
        for item in value:
            _inspect(item, path, depth + 1)
    elif isinstance(value, dict):
        for name, member in value.items():
            _inspect(name, _short(name), depth)
            _inspect(member, f"{path}.{_short(name)}" if path else _short(name), depth + 1)


def _short(name: str) -> str:
    return name[:_LONGEST_NAME]
