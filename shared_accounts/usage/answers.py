"""What the doors of usage answer; amounts in units, as strings."""

from __future__ import annotations

from marshmallow import Schema, fields


class UsageSumsSchema(Schema):
    """What exchanges add up to."""

    total_requests = fields.Integer()
    success_requests = fields.Integer()
    failed_requests = fields.Integer()
    input_tokens = fields.Integer()
    output_tokens = fields.Integer()
    cached_tokens = fields.Integer(metadata={"description": "A part of the input"})
    total_tokens = fields.Integer()
    total_quota_consumed = fields.String(metadata={"description": "What it took, of one's own accounts too"})
    total_charged = fields.String(metadata={"description": "What quota pools paid of it"})
    money = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "What the tokens cost by the list of prices, for each currency"},
    )
    unpriced_requests = fields.Integer(metadata={"description": "How many took tokens of a model that had no price"})
    avg_duration_ms = fields.Float(allow_none=True)
    basis = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "How many are `measured`, `estimated`, `partial` or `released`"},
    )


class UsageGroupSchema(UsageSumsSchema):
    """The sums of those that have one thing in common; what it is stands under its name."""

    model_name = fields.String()
    config_type = fields.String(metadata={"description": "`own` or `shared`: whose account served"})
    outcome = fields.String()
    client_app = fields.String(allow_none=True)
    api_key_id = fields.Integer(allow_none=True)
    api_key = fields.String(allow_none=True)
    user_id = fields.Integer()
    user = fields.String(allow_none=True)
    account_id = fields.Integer()
    account = fields.String(allow_none=True)
    at = fields.AwareDateTime(metadata={"description": "The beginning of the hour or day"})


class UsageRangeSchema(Schema):
    """The time that was asked for."""

    start_date = fields.AwareDateTime(allow_none=True)
    end_date = fields.AwareDateTime(allow_none=True, metadata={"description": "Itself left out"})


class UsageStatsSchema(UsageSumsSchema):
    """The sums in all, and by what exchanges have in common: fifty of each at most, the most used first."""

    range = fields.Nested(UsageRangeSchema)
    config_type = fields.String(allow_none=True)
    by_model = fields.List(fields.Nested(UsageGroupSchema))
    by_config_type = fields.List(fields.Nested(UsageGroupSchema))
    by_outcome = fields.List(fields.Nested(UsageGroupSchema))
    by_client_app = fields.List(fields.Nested(UsageGroupSchema))
    by_api_key = fields.List(fields.Nested(UsageGroupSchema))
    by_user = fields.List(fields.Nested(UsageGroupSchema))
    by_account = fields.List(fields.Nested(UsageGroupSchema))
    over_time = fields.List(fields.Nested(UsageGroupSchema), metadata={"description": "The latest last"})


class UsageStatsAnswer(Schema):
    """The statistics."""

    success = fields.Boolean()
    data = fields.Nested(UsageStatsSchema)


class UsageLineSchema(Schema):
    """One exchange that is over. What a scope does not show is left out."""

    id = fields.UUID()
    created_at = fields.AwareDateTime()
    user_id = fields.Integer()
    user = fields.String(allow_none=True)
    api_key_id = fields.Integer(allow_none=True)
    api_key = fields.String(allow_none=True, metadata={"description": "Its name; only yours"})
    account_id = fields.Integer()
    account = fields.String(allow_none=True, metadata={"description": "Its name; only yours"})
    config_type = fields.String()
    model_name = fields.String()
    endpoint = fields.String()
    method = fields.String()
    client_app = fields.String(allow_none=True)
    stream = fields.Boolean()
    success = fields.Boolean()
    outcome = fields.String()
    basis = fields.String()
    status_code = fields.Integer(allow_none=True)
    error_message = fields.String(allow_none=True, metadata={"description": "A stable word"})
    quota_consumed = fields.String()
    charged = fields.String()
    input_tokens = fields.Integer(allow_none=True)
    output_tokens = fields.Integer(allow_none=True)
    cached_tokens = fields.Integer(allow_none=True)
    total_tokens = fields.Integer()
    money = fields.String(allow_none=True, metadata={"description": "What the tokens cost; null without a price"})
    currency = fields.String(allow_none=True)
    price_id = fields.Integer(allow_none=True, metadata={"description": "The version of the model's price"})
    first_byte_ms = fields.Integer(allow_none=True)
    duration_ms = fields.Integer(allow_none=True)


class UsageOffsetsSchema(Schema):
    """Which part of the list it is."""

    limit = fields.Integer()
    offset = fields.Integer()
    total = fields.Integer()


class UsagePageSchema(Schema):
    """A page of the log."""

    logs = fields.List(fields.Nested(UsageLineSchema))
    pagination = fields.Nested(UsageOffsetsSchema)


class UsagePageAnswer(Schema):
    """The log."""

    success = fields.Boolean()
    data = fields.Nested(UsagePageSchema)


class GroupStatementSchema(Schema):
    """One model group's month: opening, all that moved it, and closing, exact to the micro-unit."""

    model_group = fields.String()
    opening = fields.String()
    credits = fields.String(metadata={"description": "For accounts that were shared"})
    refills = fields.String()
    gifts_received = fields.String()
    earned = fields.String(metadata={"description": "Credits, refills and gifts received together"})
    spent = fields.String(metadata={"description": "Not above nothing, like all that was taken"})
    gifts_given = fields.String()
    forfeits = fields.String(metadata={"description": "For accounts that were withdrawn"})
    corrections = fields.String(metadata={"description": "By admins, up or down"})
    closing = fields.String(metadata={"description": "Of a month that is not over: the balance now"})
    entries = fields.Integer(metadata={"description": "How many there are in the ledger for the month"})


class OwnUseSchema(UsageSumsSchema):
    """What was used in a month."""

    by_model = fields.List(fields.Nested(UsageGroupSchema))


class OthersUseSchema(UsageSumsSchema):
    """What was contributed in a month."""

    by_account = fields.List(fields.Nested(UsageGroupSchema))


class StatementSchema(Schema):
    """A month of one's quota, by model group, and of what was used."""

    month = fields.String()
    start_date = fields.AwareDateTime()
    end_date = fields.AwareDateTime(metadata={"description": "Itself left out"})
    complete = fields.Boolean(metadata={"description": "Whether the month is over"})
    user_id = fields.Integer()
    model_groups = fields.List(fields.Nested(GroupStatementSchema))
    used = fields.Nested(OwnUseSchema, metadata={"description": "What she used herself, on whosever accounts"})
    contributed = fields.Nested(OthersUseSchema, metadata={"description": "What others used of her accounts"})
