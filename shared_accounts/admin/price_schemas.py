"""What the door of `/api/admin/prices` takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, pre_load, validate

from shared_accounts.admin.model_schemas import LONGEST_MODEL
from shared_accounts.json_bodies import Text
from shared_accounts.money import amounts
from shared_accounts.usage.schemas import Moment

_CURRENCY = validate.Regexp(r"^[A-Z]{3}$(?!\n)", error="Not a currency such as USD (ISO 4217).")


class Amount(fields.Field[int]):
    """What a million tokens cost, `"2.50"` or `2.5`, read exactly into micro-units and shown as a string."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's way
        "invalid": "Not an amount from 0 to 99999.999999 with at most six decimals."
    }

    def __init__(self, **options: Any) -> None:
        text = {"type": "string", "pattern": r"^\d{1,5}(\.\d{1,6})?$", "nullable": bool(options.get("allow_none"))}
        number = {"type": "number", "minimum": 0, "maximum": 99999.999999, "multipleOf": 0.000001}
        metadata = {"anyOf": [text, number], "example": "2.50", **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> int:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.make_error("invalid")
        try:
            return amounts.price(str(value))
        except ValueError:
            raise self.make_error("invalid") from None

    def _serialize(self, value: int | None, attr: str | None, obj: Any, **_: Any) -> str | None:  # noqa: ARG002
        return None if value is None else amounts.exactly(value)


class NewPrice(Schema):
    """A version to add to the list: what a million tokens of each kind cost."""

    model = Text(min=1, max=LONGEST_MODEL, required=True, metadata={"description": "As upstreams call it, no alias"})
    currency = fields.String(load_default="USD", validate=_CURRENCY)
    input = Amount(required=True)
    output = Amount(required=True)
    cached = Amount(
        load_default=None, allow_none=True, metadata={"description": "Cached input; left out: as much as other input"}
    )
    valid_from = Moment(load_default=None, allow_none=True)


class PriceSchema(Schema):
    """A version of a model's price."""

    id = fields.Integer()
    model = fields.String()
    currency = fields.String()
    input = Amount(attribute="prompt")
    output = Amount(attribute="completion")
    cached = Amount(allow_none=True)
    valid_from = fields.AwareDateTime()
    laid_down_at = fields.AwareDateTime()
    laid_down_by = fields.Integer(allow_none=True, metadata={"description": "A user; null: the operator"})
    counts = fields.Boolean(metadata={"description": "Whether exchanges that begin now are priced by it"})


class PriceFilters(Schema):
    """Which versions to list; an empty filter is none."""

    model = Text(max=LONGEST_MODEL, load_default=None)
    only_counting = fields.Boolean(load_default=False, metadata={"description": "Those alone that count now"})

    @pre_load
    def _drop_empty(self, data: Any, **_: Any) -> dict[str, Any]:
        return {name: data[name] for name in data if data[name]}


class UnpricedModel(Schema):
    """A model whose tokens were used without a price."""

    model = fields.String()
    unpriced_requests = fields.Integer()
    has_price = fields.Boolean(
        metadata={"description": "There is one now: `flask usage reprice` gives it to older requests, too"}
    )
