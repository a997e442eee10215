"""What the doors of usage take and give; the names are those of the original dashboard."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates_schema

from shared_accounts.json_bodies import A_TIME, Text
from shared_accounts.usage.lines import NEWEST_FIRST, SORTS
from shared_accounts.usage.models import OUTCOMES
from shared_accounts.usage.parts import HOUR
from shared_accounts.usage.stats import DAY
from shared_accounts.usage.wanted import CONTRIBUTED, MINE, SCOPES

FORMATS = ("csv", "jsonl")
OWN, SHARED = "own", "shared"

_DAY_ALONE = len("2026-11-30")
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
MONTH = re.compile(r"(19[7-9]\d|[2-8]\d{3})-(0[1-9]|1[0-2])", re.ASCII)
_NOT_SHOWN = {MINE: ("user_id",), CONTRIBUTED: ("api_key_id", "client_app", "endpoint")}


class Moment(fields.Field[datetime]):
    """A time in ISO 8601, or a whole day; without a zone it is UTC's. As an end, a day is part of the time."""

    default_error_messages = {"invalid": "Not a date or a time in ISO 8601."}  # noqa: RUF012 - marshmallow's way

    def __init__(self, *, is_end: bool = False, **options: Any) -> None:
        super().__init__(metadata={**A_TIME, "example": "2026-11-30T00:00:00Z"}, **options)
        self._is_end = is_end

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            # In a query an unescaped + is a space: the offset's, which would otherwise be lost.
            found = datetime.fromisoformat(re.sub(r"(?<=\d) (?=\d\d:?\d\d$)", "+", value) if "T" in value else value)
            whole_day = timedelta(days=self._is_end and len(value) <= _DAY_ALONE)
            moment = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC) + whole_day
        except (ValueError, TypeError, OverflowError):
            raise self.make_error("invalid") from None
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise self.make_error("invalid")
        return moment


class Filters(Schema):
    """Which exchanges; an empty filter is none. What a scope does not show cannot be asked for in it."""

    start_date = Moment(attribute="start")
    end_date = Moment(attribute="end", is_end=True)
    scope = fields.String(
        load_default=MINE,
        validate=validate.OneOf(SCOPES),
        metadata={"description": "Your own, what others used of your accounts, or, for admins, everybody's"},
    )
    user_id = fields.Integer(validate=validate.Range(1))
    api_key_id = fields.Integer(validate=validate.Range(1))
    account_id = fields.Integer(validate=validate.Range(1))
    model = Text(max=200, metadata={"description": "Also as `model_name`"})
    outcome = fields.String(validate=validate.OneOf(OUTCOMES))
    success = fields.Boolean()
    config_type = fields.Boolean(
        attribute="own",
        truthy={OWN},
        falsy={SHARED},
        error_messages={"invalid": f"Must be one of: {OWN}, {SHARED}."},
        metadata={"type": "string", "enum": [OWN, SHARED], "description": "Whose account served"},
    )
    client_app = Text(max=64, metadata={"description": "What the request's `X-App` header said"})
    endpoint = Text(max=200)

    @pre_load
    def _tidy(self, data: Any, **_: Any) -> dict[str, Any]:
        given = {name: data[name] for name in data if data[name]}
        if "model_name" in given:
            given.setdefault("model", given.pop("model_name"))
        return given

    @validates_schema
    def _make_sense(self, data: dict[str, Any], **_: Any) -> None:
        if "start" in data and "end" in data and data["start"] > data["end"]:
            raise ValidationError("Must not be before start_date.", "end_date")
        for name in _NOT_SHOWN.get(data.get("scope", MINE), ()):
            if name in data:
                raise ValidationError("Not known in this scope.", name)


class StatsQuery(Filters):
    """Which exchanges to add up."""

    interval = fields.String(
        load_default=None,
        validate=validate.OneOf([HOUR, DAY]),
        metadata={"description": "To have the sums over time as well, in UTC"},
    )


class LogsQuery(Filters):
    """Which exchanges to list."""

    sort = fields.String(
        load_default=NEWEST_FIRST,
        validate=validate.OneOf([f"{sign}{name}" for name in SORTS for sign in ("-", "")]),
        metadata={"description": "With - in front, the greatest first"},
    )
    limit = fields.Integer(
        load_default=None, validate=validate.Range(1, 200), metadata={"description": "Instead of `page_size`"}
    )
    offset = fields.Integer(
        load_default=None, validate=validate.Range(0), metadata={"description": "Instead of `page`"}
    )


class ExportQuery(Filters):
    """Which exchanges to export, and how."""

    format = fields.String(load_default="csv", validate=validate.OneOf(FORMATS))


class StatementQuery(Schema):
    """Which month, and whose."""

    month = fields.String(
        required=True,
        validate=validate.Regexp(MONTH.pattern + r"$(?!\n)", error="Not a month such as 2026-11."),
        metadata={"example": "2026-11", "description": "In UTC"},
    )
    user_id = fields.Integer(
        load_default=None, validate=validate.Range(1), metadata={"description": "For admins: somebody else's"}
    )


class StatementFileQuery(StatementQuery):
    """Which month, whose, and how."""

    format = fields.String(load_default="csv", validate=validate.OneOf(["csv", "html"]))
