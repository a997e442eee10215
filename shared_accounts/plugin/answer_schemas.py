"""What the Plug-in API's doors answer, for the API's description only.

An answer goes out as the pool gave it, so a Plug-in API server that tells more than is described here loses nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import Schema, fields

_UNITS = {"description": "With four decimals", "example": "1.5000"}


def _flag(description: str) -> fields.Integer:
    return fields.Integer(metadata={"description": description, "enum": [0, 1]})


class Success(Schema):
    """What an act without a result answers."""

    success = fields.Boolean()
    message = fields.String()


class KeyAnswer(Schema):
    """By what the caller is known to the pool; never the key itself."""

    id = fields.Integer()
    user_id = fields.Integer()
    plugin_user_id = fields.String(allow_none=True)
    is_active = fields.Boolean()
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()
    last_used_at = fields.AwareDateTime(allow_none=True)


class DepartureData(Schema):
    """Where to consent, and for how many seconds."""

    auth_url = fields.String()
    state = fields.String()
    expires_in = fields.Integer()


class ArrivalData(Schema):
    """The account that was added."""

    cookie_id = fields.String()
    user_id = fields.String()
    is_shared = _flag("Shared with everybody (1)")
    project_id_0 = fields.String()
    is_restricted = fields.Boolean()
    ineligible = fields.Boolean()
    created_at = fields.AwareDateTime()


class AccountData(ArrivalData):
    """An account; no credential is ever told."""

    name = fields.String()
    status = _flag("Serves (1) or is out of service (0)")
    need_refresh = fields.Boolean(metadata={"description": "Its owner has to sign it in again"})
    expires_at = fields.String(allow_none=True, metadata={"description": "Of its token, in milliseconds"})
    paid_tier = fields.Boolean(allow_none=True)
    updated_at = fields.AwareDateTime()


class ListedAccountData(AccountData):
    """An account in a list."""

    last_used_at = fields.AwareDateTime(allow_none=True)


class ChangeData(Schema):
    """What was changed, and to what."""

    cookie_id = fields.String()
    status = _flag("Where that was changed")
    is_shared = _flag("Where that was changed")
    name = fields.String()
    model_name = fields.String()


class ModelQuotaData(Schema):
    """What is left of an account for one model."""

    quota_id = fields.Integer()
    cookie_id = fields.String()
    model_name = fields.String()
    reset_time = fields.AwareDateTime(allow_none=True)
    quota = fields.String(metadata={"description": "Of 1.0000, with four decimals"})
    status = _flag("Switched on (1) or off (0) by its owner")
    last_fetched_at = fields.AwareDateTime()
    created_at = fields.AwareDateTime()


class PoolData(Schema):
    """What the caller may draw from shared accounts for one model."""

    pool_id = fields.Integer()
    user_id = fields.String()
    model_name = fields.String()
    quota = fields.String(metadata=_UNITS)
    max_quota = fields.String(metadata=_UNITS)
    last_recovered_at = fields.AwareDateTime()
    last_updated_at = fields.AwareDateTime()


class SharedQuotaData(Schema):
    """What all shared accounts have left of one model."""

    model_name = fields.String()
    total_quota = fields.String(metadata=_UNITS)
    earliest_reset_time = fields.AwareDateTime(allow_none=True)
    available_cookies = fields.String(metadata={"example": "5"})
    status = _flag("Whether any can serve")
    last_fetched_at = fields.AwareDateTime()


class ConsumedData(Schema):
    """What the caller has consumed in all."""

    total_requests = fields.Integer()
    total_quota_consumed = fields.Float()
    shared_quota_consumed = fields.Float(metadata={"description": "On other people's accounts"})
    private_quota_consumed = fields.Float(metadata={"description": "On the caller's own"})


class SharedPoolData(Schema):
    """What everybody shares, and what the caller took."""

    quotas = fields.List(fields.Nested(SharedQuotaData))
    user_consumption = fields.Nested(ConsumedData)


class CallData(Schema):
    """What one call consumed."""

    log_id = fields.Raw(metadata={"description": "A number or a text, by which the call is known"})
    user_id = fields.String()
    cookie_id = fields.String()
    model_name = fields.String()
    quota_before = fields.String(allow_none=True, metadata=_UNITS)
    quota_after = fields.String(allow_none=True, metadata=_UNITS)
    quota_consumed = fields.String(metadata=_UNITS)
    is_shared = _flag("Served by somebody else's account (1)")
    consumed_at = fields.AwareDateTime()


class StatsData(Schema):
    """The caller's sums for one model; sums of nothing are null."""

    total_requests = fields.String()
    total_quota_consumed = fields.String(allow_none=True, metadata=_UNITS)
    avg_quota_consumed = fields.String(allow_none=True)
    last_used_at = fields.AwareDateTime(allow_none=True)


class PersonData(Schema):
    """The caller as the pool knows her."""

    user_id = fields.String()
    name = fields.String()
    prefer_shared = _flag("Shared accounts go first (1)")
    status = _flag("May use the pool (1)")
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()


class PreferenceData(Schema):
    """Which accounts now go first."""

    user_id = fields.String()
    prefer_shared = _flag("Shared accounts go first (1)")


class PicturesAnswer(Schema):
    """Gemini's own shape."""

    candidates = fields.List(fields.Dict())


@cache
def telling(data: type[Schema], *, many: bool = False) -> type[Schema]:
    """Return the schema of an answer whose `data` is this, or a list of these; the same one each time."""
    inner = fields.Nested(data)
    name = data.__name__.removesuffix("Data") + ("ListAnswer" if many else "Answer")
    shape: dict[str, Any] = {"success": fields.Boolean(), "message": fields.String()}
    shape["data"] = fields.List(inner) if many else inner
    return Schema.from_dict(shape, name=name)
