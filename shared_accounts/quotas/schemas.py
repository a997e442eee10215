"""What the doors of quota take and give; amounts in units, as strings with four decimals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields, pre_load, validate

from shared_accounts.config import MICRO
from shared_accounts.json_bodies import Moment, Text
from shared_accounts.quotas.history import KINDS

_UNITS = re.compile(r"-?\d{1,9}(\.\d{1,4})?", re.ASCII)
_MOST_UNITS = 999_999_999
LONGEST_GROUP = 200


class Units(fields.Field[int]):
    """An amount in units, `"0.5000"` or `0.5`, read exactly into micro-units; more than four decimals are refused."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's way
        "invalid": "Not an amount in units with at most four decimals.",
        "sign": "Must be more than nothing.",
        "zero": "Must not be nothing.",
    }

    def __init__(self, *, signed: bool = False, **options: Any) -> None:
        text: dict[str, Any] = {"type": "string", "pattern": rf"^{'-?' * signed}\d{{1,9}}(\.\d{{1,4}})?$"}
        number = {"type": "number", "multipleOf": 0.0001, "minimum": -_MOST_UNITS * signed, "maximum": _MOST_UNITS}
        text["nullable"] = options.get("load_default", True) is None
        metadata = {"anyOf": [text, number], "example": "0.5000", **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)
        self._signed = signed

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> int:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not _UNITS.fullmatch(str(value)):
            raise self.make_error("invalid")
        amount = int(Decimal(str(value)) * MICRO)
        if not amount:
            raise self.make_error("zero")
        if amount < 0 and not self._signed:
            raise self.make_error("sign")
        return amount


class EarningSchema(Schema):
    """What one account earns a pool."""

    account_id = fields.Integer()
    name = fields.String()
    capacity = fields.String()
    refill_per_hour = fields.String(metadata={"description": "Nothing while the account rests"})
    resting = fields.Boolean(metadata={"description": "Out of service: its part of the refill rests"})


class PoolFigures(Schema):
    """One pool."""

    model_group = fields.String()
    balance = fields.String()
    reserved = fields.String()
    available = fields.String()
    capacity = fields.String()
    refill_per_hour = fields.String()
    refilled_through = fields.AwareDateTime()
    full_at = fields.AwareDateTime(allow_none=True)
    owed = fields.String(metadata={"description": "Spent before the account that earned it was withdrawn"})


class PoolSchema(PoolFigures):
    """One pool, and the accounts its capacity and refill come from: they add up to the last digit."""

    earned_by = fields.List(fields.Nested(EarningSchema))
    arithmetic = fields.String(metadata={"description": "`3 accounts x 2.0000 = 6.0000; +1.2000 each hour`"})


class EntrySchema(Schema):
    """One movement of a pool."""

    id = fields.Integer()
    at = fields.AwareDateTime()
    model_group = fields.String()
    kind = fields.String()
    amount = fields.String()
    balance_after = fields.String()
    account_id = fields.Integer(allow_none=True)
    exchange_id = fields.UUID(allow_none=True)
    note = fields.String(allow_none=True)
    counterpart = fields.String(allow_none=True, metadata={"description": "To or from whom a gift went"})
    actor = fields.String(allow_none=True, metadata={"description": "Who gave or corrected"})


class LedgerFilters(Schema):
    """Which movements to list; an empty filter is none."""

    model_group = fields.String()
    kind = fields.String(validate=validate.OneOf(KINDS))
    since = Moment()
    until = Moment(metadata={"description": "Itself left out"})

    @pre_load
    def _drop_empty(self, data: Any, **_: Any) -> dict[str, Any]:
        return {name: data[name] for name in data if data[name]}


class ForecastQuery(Schema):
    """Which pool, and how much of it is needed."""

    model_group = fields.String(required=True)
    units = Units(load_default=None, metadata={"description": "To learn when so much is free"})


class HourToCome(Schema):
    """A balance to come."""

    at = fields.AwareDateTime()
    balance = fields.String()


class ForecastSchema(Schema):
    """What will come back, and when, if nothing is spent meanwhile."""

    available = fields.String()
    fits_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "When `units` are free; not in the future: now; null: never"}
    )
    full_at = fields.AwareDateTime(allow_none=True)
    hours = fields.List(fields.Nested(HourToCome), metadata={"description": "Until it is full, two days at most"})


class NewGift(Schema):
    """A gift to another member."""

    to = Text(min=1, max=50, required=True, metadata={"description": "Her user name"})
    model_group = Text(min=1, max=LONGEST_GROUP, required=True)
    units = Units(required=True)
    note = Text(max=200, allow_none=True, load_default=None, metadata={"description": "She reads it, too"})


class GiftSchema(Schema):
    """A gift, and where it leaves the giver."""

    to = fields.String()
    model_group = fields.String()
    units = fields.String()
    note = fields.String(allow_none=True)
    balance = fields.String()
    available = fields.String()
    left_today = fields.String(metadata={"description": "Of this model group, until midnight (UTC)"})
