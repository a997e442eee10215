"""What `GET /v1/usage` answers, as the description has it."""

from __future__ import annotations

from marshmallow import Schema, fields

from shared_accounts.quotas.schemas import PoolFigures


class Pace(Schema):
    """A limit per minute."""

    limit = fields.Integer()
    used = fields.Integer()
    remaining = fields.Integer()
    resets_at = fields.AwareDateTime()


class Slots(Schema):
    """Requests under way at the same time."""

    limit = fields.Integer(allow_none=True)
    used = fields.Integer()


class KeyBudget(Schema):
    """What a key may spend over a time, in units."""

    name = fields.String()
    limit = fields.String()
    used = fields.String()
    held = fields.String(metadata={"description": "By requests under way"})
    remaining = fields.String()
    resets_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "When nothing of it counts any more; null: nothing does, or always"}
    )


class KeyStatus(Schema):
    """A key's limits and what is used of them; null for no limit."""

    id = fields.Integer()
    name = fields.String()
    expires_at = fields.AwareDateTime(allow_none=True)
    requests_per_minute = fields.Nested(Pace, allow_none=True)
    tokens_per_minute = fields.Nested(Pace, allow_none=True)
    concurrent = fields.Nested(Slots)
    budgets = fields.List(fields.Nested(KeyBudget))


class PoolStatus(PoolFigures):
    """A pool of the caller's."""

    refills_at = fields.AwareDateTime(metadata={"description": "The next full hour that brings something"})


class UsageStatus(Schema):
    """How a caller stands."""

    object = fields.Constant("usage", metadata={"type": "string"})
    key = fields.Nested(KeyStatus, allow_none=True, metadata={"description": "Null for a token"})
    requests_per_minute = fields.Nested(
        Pace, allow_none=True, metadata={"description": "What her trust level allows her, with all her keys; null: all"}
    )
    pools = fields.List(fields.Nested(PoolStatus))
