"""What the Plug-in API's doors are asked with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, post_load, pre_load, validate, validates_schema

from shared_accounts.json_bodies import A_TIME, Text
from shared_accounts.plugin.pool import Span

BAD_BODY = 400
"""The Plug-in API's own status for a field it cannot use."""
MOST_CALLS = 1000
FEW_CALLS = 50


class _Flag(fields.Integer):
    """The number 0 or 1; not a text, not a truth value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.OneOf([0, 1]), **options)


class _When(fields.Field[datetime]):
    """A moment, or a whole day; without a zone it is UTC's."""

    default_error_messages = {"invalid": "Not a date or a time in ISO 8601."}  # noqa: RUF012 - marshmallow's way

    def __init__(self, *, is_end: bool = False, **options: Any) -> None:
        super().__init__(metadata={**A_TIME, **options.pop("metadata", {})}, **options)
        self._is_end = is_end

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            found = datetime.fromisoformat(value)
            whole_day = timedelta(days=self._is_end and len(value) <= len("2025-11-30"))
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC) + whole_day
        except (ValueError, TypeError, OverflowError):
            raise self.make_error("invalid") from None


class ConsentWish(Schema):
    """Whom an account that is to be added shall serve."""

    is_shared = _Flag(load_default=0)


class ConsentReturn(Schema):
    """Where the browser landed after consent."""

    callback_url = fields.String(required=True, validate=validate.Length(min=1, max=8192))


class SwitchStatus(Schema):
    """On (1) or off (0)."""

    status = _Flag(required=True)


class AccountName(Schema):
    """What an account is called, which may be nothing."""

    name = Text(max=100, required=True)


class AccountType(Schema):
    """Shared with everybody (1) or dedicated to its owner (0)."""

    is_shared = _Flag(required=True)


class PoolPreference(Schema):
    """Which accounts go first: shared ones (1) or one's own (0)."""

    prefer_shared = _Flag(required=True)


class Calls(Schema):
    """Which calls to list; a limit of 0 is the largest."""

    limit = fields.Integer(load_default=MOST_CALLS, validate=validate.Range(0, MOST_CALLS))
    start_date = _When(metadata={"description": "From then on; a day, or a moment (without a zone: UTC)"})
    end_date = _When(is_end=True, metadata={"description": "Until before then; a day is included"})

    @pre_load
    def _drop_empty(self, data: Any, **_: Any) -> dict[str, Any]:
        return {name: data[name] for name in data if data[name]}

    @validates_schema
    def _end_after_they_begin(self, data: dict[str, Any], **_: Any) -> None:
        if "start_date" in data and data.get("end_date", data["start_date"]) < data["start_date"]:
            raise ValidationError({"end_date": ["Must not lie before start_date."]})

    @post_load
    def _as_span(self, data: dict[str, Any], **_: Any) -> Span:
        return Span(data["limit"] or MOST_CALLS, data.get("start_date"), data.get("end_date"))


class FewCalls(Calls):
    """Which calls to list; fifty unless told."""

    limit = fields.Integer(load_default=FEW_CALLS, validate=validate.Range(0, MOST_CALLS))


class PicturesWanted(Schema):
    """What Gemini is asked for; whatever stands beside `contents` goes along."""

    class Meta:
        """Others' shapes change."""

        unknown = INCLUDE

    contents = fields.List(fields.Dict(), required=True, validate=validate.Length(min=1))
