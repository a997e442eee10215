"""The frame of every management route: strict bodies, numbers the database can hold, documented refusals.

Invariant: a view behind a `Door` sees only values that can be stored; whatever else is sent is answered before it runs,
with a 4xx that names the field. Members a schema does not know are a 422, marshmallow's own default.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from flask import Flask, Request
from flask_smorest import Blueprint
from flask_smorest.pagination import PaginationMetadataSchema
from marshmallow import INCLUDE, Schema, fields, missing, validate
from webargs.flaskparser import FlaskParser, abort, is_json_request
from werkzeug.routing import IntegerConverter

from shared_accounts.errors import Unprocessable
from shared_accounts.strict_json import UNSTORABLE, parse, short

View = TypeVar("View", bound=Callable[..., Any])

_LONGEST_QUERY_NUMBER = 15  # times the largest page size it is still a bigint
A_TIME: dict[str, Any] = {"anyOf": [{"type": "string", "format": kind} for kind in ("date-time", "date")]}
"""How the document puts a time that may be a whole day."""

_NO_TEXT = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Text(fields.String):
    """A line of text for people: stripped, of bounded length, without control characters or direction tricks."""

    default_error_messages = {"control": "Control characters are not allowed."}  # noqa: RUF012 - marshmallow's way

    def __init__(self, *, max: int, min: int = 0, **options: Any) -> None:  # noqa: A002 - reads well at every field
        metadata = {"pattern": _pattern(min), **options.pop("metadata", {})}
        super().__init__(validate=validate.Length(min=min, max=max), metadata=metadata, **options)
        self._fits = validate.Length(max=max)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = self._fits(super()._deserialize(value, attr, data, **kwargs)).strip()
        if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in _BIDI_CONTROLS for c in text):
            raise self.make_error("control")
        return text


def _pattern(shortest: int) -> str:
    """Return what a `Text` may be as the document puts it; what surrounds it is stripped."""
    inside, edge = f"[^{_NO_TEXT}]", rf"[^{_NO_TEXT}\s]"
    whole = f"{edge}{inside}{{{shortest - 2},}}{edge}" if shortest > 1 else f"{edge}({inside}*{edge})?"
    return rf"^\s*{whole}\s*$" if shortest else rf"^\s*({whole})?\s*$"


class Flag(fields.Boolean):
    """True or false, and nothing that merely equals it, as 1 does."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class Moment(fields.AwareDateTime):
    """A time with its offset, in UTC from here on: PostgreSQL refuses offsets that RFC 3339 allows."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            return super()._deserialize(value, attr, data, **kwargs).astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=value, obj_type="datetime") from error


class Refusal(Schema):
    """What every refusal under `/api` looks like; some say more, such as what is missing."""

    class Meta:
        """A refusal may give its figures."""

        unknown = INCLUDE

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
        numbers = {name for name, field in schema.load_fields.items() if isinstance(field, fields.Integer)}
        for name, value in req.args.items(multi=True):
            if UNSTORABLE.search(value):
                raise Unprocessable("A text contains characters that cannot be stored.", field=short(name))
            if name in numbers and len(value) > _LONGEST_QUERY_NUMBER and value.lstrip("+-").isdecimal():
                raise Unprocessable("A number is out of range.", field=short(name))
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
    response: _Decorates
    alt_response: _Decorates
    paginate: _Decorates

    def register(self, app: Flask, options: dict[str, Any]) -> None:
        """Register the views; what stands for a number in their paths is a row's."""
        app.url_map.converters["int"] = RowNumber
        super().register(app, options)

    def arguments(self, schema: type[Schema], *, location: str = "json", **options: Any) -> Callable[[View], View]:
        """Hand a view what was sent; a body that lacks nothing when it is empty is no required one."""
        options.setdefault("required", any(field.required for field in schema().load_fields.values()))
        take: Callable[[View], View] = super().arguments(schema, location=location, **options)
        return take

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

    def _document_pagination_metadata(self, spec: Any, resp_doc: dict[str, Any]) -> None:  # noqa: ARG002 - not ours
        # flask-smorest describes an object, spelt as headers spell objects; what it sends is JSON.
        content = {"application/json": {"schema": PaginationMetadataSchema}}
        header = {"description": "Where this page stands among all", "content": content}
        resp_doc.setdefault("headers", {})[self.PAGINATION_HEADER_NAME] = header
