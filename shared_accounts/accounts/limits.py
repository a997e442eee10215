"""What an owner keeps of an account that she shares: amounts, a reserve, quiet hours."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from shared_accounts.config import MICRO
from shared_accounts.quotas import forecast

_MOST_UNITS = 1_000_000
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_UNITS_AS_TEXT = {"type": "string", "pattern": r"^(\d{1,6}(\.\d{1,6})?|1000000(\.0{1,6})?)$"}
_UNITS_AS_NUMBER = {"type": "number", "minimum": 0, "maximum": _MOST_UNITS, "multipleOf": 0.000001}
_TIME_OF_DAY = {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$", "example": "22:30"}
_A_NUMBER = re.compile(r"\d{1,7}(\.\d{1,6})?", re.ASCII)


class Units(fields.Field[int]):
    """An amount of quota: units as text or number outside, micro-units inside."""

    default_error_messages = {"invalid": "Not an amount of units, such as 0.5."}  # noqa: RUF012 - marshmallow's way

    def __init__(self, **options: Any) -> None:
        text = {**_UNITS_AS_TEXT, "nullable": bool(options.get("allow_none"))}
        metadata = {"anyOf": [text, _UNITS_AS_NUMBER], "example": "0.5000", **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        try:
            amount = Decimal(text) if _A_NUMBER.fullmatch(text) else None
        except InvalidOperation:  # pragma: no cover - the pattern lets no such text through
            amount = None
        if amount is None or amount > _MOST_UNITS:
            raise self.make_error("invalid")
        return int(amount * MICRO)

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return None if value is None else forecast.units(value)


class Clock(fields.Field[int]):
    """A time of day in UTC: "22:30" outside, minutes inside."""

    default_error_messages = {"invalid": "Not a time of day, such as 22:30."}  # noqa: RUF012 - marshmallow's way

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise self.make_error("invalid")
        return int(match[1]) * 60 + int(match[2])

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return None if value is None else f"{value // 60:02d}:{value % 60:02d}"


class OwnersLimits(Schema):
    """An owner's limits on what others draw from an account she shares."""

    others_per_day = Units(allow_none=True, metadata={"description": "Units a day (UTC) for all others together"})
    member_per_day = Units(allow_none=True, metadata={"description": "Units a day (UTC) for each of the others"})
    owner_reserve = fields.Float(
        validate=validate.Range(0, 1), metadata={"description": "Share of each window kept for the owner, 0 to 1"}
    )
    quiet_from = Clock(allow_none=True, metadata={**_TIME_OF_DAY, "description": "UTC; nobody else from then on"})
    quiet_until = Clock(allow_none=True, metadata={**_TIME_OF_DAY, "description": "UTC; others again from then on"})

    @validates_schema
    def _are_complete(self, data: dict[str, Any], **_: Any) -> None:
        given = [name for name in ("quiet_from", "quiet_until") if data.get(name) is not None]
        named = [name for name in ("quiet_from", "quiet_until") if name in data]
        if len(given) == 1 or len(named) == 1:
            missing = "quiet_until" if "quiet_from" in named else "quiet_from"
            raise ValidationError({missing: ["Quiet hours have a beginning and an end."]})
