"""What the door of `/api/admin/models` takes and gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from shared_accounts.json_bodies import Text
from shared_accounts.quotas.pricing import STANDARD

LONGEST_MODEL = 200

_WEIGHT = re.compile(r"\d{1,3}(\.\d{1,3})?", re.ASCII)
_AS_TEXT = {"type": "string", "pattern": r"^\d{1,3}(\.\d{1,3})?$"}
_AS_NUMBER = {"type": "number", "minimum": 0, "maximum": 999.999, "multipleOf": 0.001}
_REFERENCES = validate.Range(1_000, 1_000_000_000_000)
_ONLY_THE_TARGETS = "An alias has only what its target has."


class Weight(fields.Field[int]):
    """What a token weighs, `"0.1"` or `0.1`, read exactly into thousandths and shown as a string."""

    def __init__(self, **options: Any) -> None:
        metadata = {"anyOf": [_AS_TEXT, _AS_NUMBER], **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    default_error_messages = {  # noqa: RUF012 - marshmallow's way
        "invalid": "Not a number from 0 to 999.999 with at most three decimals."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> int:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not _WEIGHT.fullmatch(str(value)):
            raise self.make_error("invalid")
        return int(Decimal(str(value)) * 1000)

    def _serialize(self, value: int | None, attr: str | None, obj: Any, **_: Any) -> str | None:  # noqa: ARG002
        if value is None:
            return None
        return format((Decimal(value) / 1000).normalize(), "f")


class Weights(Schema):
    """What tokens of each kind weigh; what is left out is the standard."""

    prompt = Weight(load_default=STANDARD[0], metadata={"description": "1 unless said otherwise"})
    completion = Weight(load_default=STANDARD[1], metadata={"description": "4 unless said otherwise"})
    cached = Weight(load_default=STANDARD[2], metadata={"description": "0.1 unless said otherwise"})

    @validates_schema
    def _refuse_what_is_free(self, data: dict[str, int], **_: Any) -> None:
        if not data["prompt"] and not data["completion"]:
            raise ValidationError("Prompts or completions must weigh something: what is free cannot be shared out.")

    @post_load
    def _in_order(self, data: dict[str, int], **_: Any) -> tuple[int, int, int]:
        return data["prompt"], data["completion"], data["cached"]


class ModelTerms(Schema):
    """The whole rule for a model; what is left out is the standard."""

    alias_of = Text(
        min=1,
        max=LONGEST_MODEL,
        allow_none=True,
        load_default=None,
        metadata={"description": "The model that is meant; an alias has nothing else"},
    )
    model_group = Text(
        min=1,
        max=LONGEST_MODEL,
        allow_none=True,
        load_default=None,
        metadata={"description": "Models of one group share pools and windows; by default each is its own group"},
    )
    reference_tokens = fields.Integer(
        strict=True,
        allow_none=True,
        validate=_REFERENCES,
        metadata={"description": "Of the whole group; left out: stays as it is; null: the standard one"},
    )
    weights = fields.Nested(Weights, allow_none=True, load_default=None)

    @validates_schema
    def _an_alias_has_nothing_else(self, data: dict[str, Any], **_: Any) -> None:
        if data["alias_of"] is None:
            return
        wrong = [name for name in ("model_group", "reference_tokens", "weights") if data.get(name) is not None]
        if wrong:
            raise ValidationError({name: [_ONLY_THE_TARGETS] for name in wrong})


class ModelFilters(Schema):
    """Which models to list."""

    search = Text(max=LONGEST_MODEL, load_default="", metadata={"description": "A part of the name, in any case"})


class RuledModel(Schema):
    """A model and the rule it follows; of an alias all but its target is null."""

    model = fields.String()
    accounts = fields.Integer(metadata={"description": "How many accounts serve it, or what it is an alias of"})
    laid_down = fields.Boolean(metadata={"description": "False: accounts serve it, and it follows the standard rule"})
    alias_of = fields.String(allow_none=True)
    model_group = fields.String(allow_none=True)
    reference_tokens = fields.Integer(allow_none=True, metadata={"description": "Null: the standard one"})
    tokens_per_unit = fields.Integer(allow_none=True, metadata={"description": "The reference in force"})
    weights = fields.Nested(Weights, allow_none=True)
