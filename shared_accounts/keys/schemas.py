"""What goes through the doors of keys, in and out; amounts of quota are added there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing, pre_load, validate

from shared_accounts.json_bodies import Flag, Moment, Text
from shared_accounts.keys import limits

LONGEST_GRACE = 1440

_LONGEST_LIFE = timedelta(days=3650)
_MOST_NAMES = 500
_MOST_ADDRESSES = 100
_MOST_REQUESTS = 1_000_000
_MOST_TOKENS = 1_000_000_000_000
_MOST_CONCURRENT = 10_000


def _in_reach(moment: datetime) -> None:
    now = datetime.now(UTC)
    if not now < moment <= now + _LONGEST_LIFE:
        raise ValidationError("Must lie in the next ten years.")


class Network(fields.String):
    """An IPv4 or IPv6 address or network, kept in its shortest form."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's way
        "invalid": "Not an IP address or network, such as 203.0.113.7 or 2001:db8::/32, without host bits.",
    }

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> str:
        try:
            return limits.shown(limits.network(super()._deserialize(value, *args, **options)))
        except ValueError as error:
            raise self.make_error("invalid") from error


class Distinct(fields.List[str]):
    """A list without repetitions; null is an empty one."""

    def __init__(self, item: fields.Field[str], *, most: int, **options: Any) -> None:
        super().__init__(item, allow_none=True, validate=validate.Length(max=most), **options)

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **options: Any) -> Any:
        """Return each item once, in the order given."""
        found = super().deserialize(value, attr, data, **options)
        return found if found is missing else list(dict.fromkeys(found or ()))


def _most(most: int, what: str) -> fields.Integer:
    limit = validate.Range(1, most)
    return fields.Integer(strict=True, allow_none=True, validate=limit, metadata={"description": what})


class KeyTerms(Schema):
    """What may be said of a key when it is made and later."""

    description = Text(max=500, allow_none=True)
    expires_at = Moment(allow_none=True, validate=_in_reach)
    models = Distinct(
        Text(min=1, max=200),
        most=_MOST_NAMES,
        metadata={"description": "The only models it may ask for, by these very names; empty for all"},
    )
    addresses = Distinct(
        Network(),
        most=_MOST_ADDRESSES,
        metadata={"description": "The only addresses and networks it may be used from; empty for all"},
    )
    requests_per_minute = _most(_MOST_REQUESTS, "Null for as many as its owner may")
    tokens_per_minute = _most(_MOST_TOKENS, "Prompt and answer together; what is under way counts by its estimate")
    max_concurrent = _most(_MOST_CONCURRENT, "Requests under way at the same time")


class NewKeyTerms(KeyTerms):
    """What a key is asked for with."""

    name = Text(min=1, max=100, load_default="API key", metadata={"nullable": True})
    description = Text(max=500, allow_none=True, load_default=None)
    expires_at = Moment(allow_none=True, load_default=None, validate=_in_reach)

    @pre_load
    def _drop_empty_name(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        # The original front end sends null when the field was left empty.
        return {name: value for name, value in data.items() if name != "name" or value is not None}


class Switch(Schema):
    """On or off."""

    is_active = Flag(required=True)


class Rotation(Schema):
    """How long the secret that is replaced stays good."""

    grace_minutes = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, LONGEST_GRACE))


class KeyFacts(Schema):
    """A key as its owner sees it; the secret is not kept, so it is not here."""

    id = fields.Integer()
    name = fields.String()
    description = fields.String(allow_none=True)
    key_preview = fields.String(attribute="preview")
    is_active = fields.Boolean()
    created_at = fields.DateTime()
    last_used_at = fields.DateTime(allow_none=True, metadata={"description": "To the minute"})
    expires_at = fields.DateTime(allow_none=True)
    former_until = fields.DateTime(
        allow_none=True, metadata={"description": "Until when the secret before the last rotation is good"}
    )
    models = fields.List(fields.String())
    addresses = fields.List(fields.String())
    requests_per_minute = fields.Integer(allow_none=True)
    tokens_per_minute = fields.Integer(allow_none=True)
    max_concurrent = fields.Integer(allow_none=True)
