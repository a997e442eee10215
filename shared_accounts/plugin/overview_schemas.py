"""What the original dashboard's doors answer, for the API's description only."""

from __future__ import annotations

from marshmallow import Schema, fields

from shared_accounts.plugin.answer_schemas import (
    ConsumedData,
    ListedAccountData,
    ModelQuotaData,
    PoolData,
    SharedPoolData,
)


class QuotasData(Schema):
    """The caller's pools, and what everybody shares."""

    user_quota = fields.List(fields.Nested(PoolData))
    shared_pool_quota = fields.Nested(SharedPoolData)


class AccountWithQuotasData(ListedAccountData):
    """An account, and what is left of it; nothing where that cannot be told now."""

    quotas = fields.List(fields.Nested(ModelQuotaData))


class AccountCounts(Schema):
    """The caller's accounts."""

    total = fields.Integer()
    active = fields.Integer()
    inactive = fields.Integer()


class PoolFigures(Schema):
    """One of the caller's pools."""

    current_quota = fields.Float()
    max_quota = fields.Float()
    last_recovered_at = fields.AwareDateTime()


class SummaryData(Schema):
    """Accounts, pools by model, and what everybody shares."""

    accounts = fields.Nested(AccountCounts)
    user_quotas = fields.Dict(fields.String(), fields.Nested(PoolFigures))
    shared_pool = fields.Nested(SharedPoolData)


class SharedCounts(Schema):
    """The accounts that the caller shares."""

    total_shared = fields.Integer()
    active_shared = fields.Integer()
    inactive_shared = fields.Integer()


class SharedFigures(Schema):
    """What everybody's shared accounts have left of one model."""

    total_quota = fields.Float()
    available_cookies = fields.String()
    earliest_reset_time = fields.AwareDateTime(allow_none=True)
    status = fields.Integer()


class SharedStatsData(Schema):
    """What the caller shares, what everybody has left, and what the caller took."""

    accounts = fields.Nested(SharedCounts)
    quotas_by_model = fields.Dict(fields.String(), fields.Nested(SharedFigures))
    user_consumption = fields.Nested(ConsumedData)
    note = fields.String()
