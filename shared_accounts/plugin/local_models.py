"""The models of accounts in our own pool, and what remains of each: the part of its window that is free.

Models that an owner has switched off are told, too, with what remains of the window they would draw on. A model that
is an alias is never asked of an account, so nothing is told of it.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from sqlalchemy import text

from shared_accounts import live_settings
from shared_accounts.accounts.models import Account
from shared_accounts.config import MICRO
from shared_accounts.errors import Conflict, NotFound
from shared_accounts.extensions import db
from shared_accounts.plugin.pool import moment
from shared_accounts.requests_in import settings

_FOUR_DECIMALS = Decimal("0.0001")

_REMAINS = f"""
select served.model, served.is_on, accounts.cooling_until > now() as is_cooling,
    case when known.exhausted_until > now() then 0
        when known.resets_at > now() then greatest(0, 1 - known.used::numeric
            * coalesce(rule.reference_tokens, :reference) / (accounts.allowance_tokens::numeric * {MICRO}))
        else 1 end as remains,
    greatest(case when known.exhausted_until > now() then known.exhausted_until end,
        case when known.resets_at > now() then known.resets_at end) as resets_at
from accounts cross join lateral (
        select model, true as is_on from unnest(accounts.models) as model
        union all
        select model, false from unnest(accounts.models_off) as model where model <> all (accounts.models)) served
    left join model_rules rule on rule.model = served.model
    left join account_windows known on known.account_id = accounts.id
        and known.model_group = coalesce(rule.model_group, served.model)
where rule.alias_of is null"""

_OF_ONE = f"{_REMAINS} and accounts.id = :account_id order by remains, served.model"
_OF_ALL_SHARED = f"""
select model, count(*) filter (where remains > 0 and is_cooling is not true) as available, sum(remains) as remains,
    min(resets_at) as resets_at
from ({_REMAINS} and accounts.sharing = 'shared' and accounts.state = 'active') found
where is_on group by model order by model"""


def remaining(account: Account) -> list[dict[str, Any]]:
    """Return what remains of an account, per model, least first."""
    found = db.session.execute(text(_OF_ONE), {"account_id": account.id, "reference": _reference()})
    fetched_at = moment(datetime.now(UTC))
    return [
        {
            "quota_id": zlib.crc32(f"{account.id} {row.model}".encode()),
            "cookie_id": str(account.id),
            "model_name": row.model,
            "reset_time": row.resets_at and moment(row.resets_at),
            "quota": _fraction(row.remains),
            "status": int(row.is_on),
            "last_fetched_at": fetched_at,
            "created_at": moment(account.created_at),
        }
        for row in found
    ]


def shared_remaining() -> list[dict[str, Any]]:
    """Return what remains of all shared accounts in service, summed up per model."""
    found = db.session.execute(text(_OF_ALL_SHARED), {"reference": _reference()})
    fetched_at = moment(datetime.now(UTC))
    return [
        {
            "model_name": row.model,
            "total_quota": _fraction(row.remains),
            "earliest_reset_time": row.resets_at and moment(row.resets_at),
            "available_cookies": str(row.available),
            "status": int(row.available > 0),
            "last_fetched_at": fetched_at,
        }
        for row in found
    ]


def switched(account: Account, model: str, *, on: bool) -> dict[str, object]:
    """Return the changes that switch a model on or off, none if it is so; raises `NotFound`, or `Conflict`."""
    if model not in (*account.models, *account.models_off):
        raise NotFound("This account has no such model.")
    if on == (model in account.models):
        return {}
    off = [name for name in account.models_off if name != model]
    if on:
        return {"models": [*account.models, model], "models_off": off}
    rest = [name for name in account.models if name != model]
    if not rest:
        raise Conflict("This is the account's last model; pause the account instead.", field="status")
    return {"models": rest, "models_off": [*off, model]}


def _fraction(value: Decimal) -> str:
    """Show a sum of parts with four decimals, rounded down so that nothing is promised that is not there."""
    return str(Decimal(value).quantize(_FOUR_DECIMALS, ROUND_DOWN))


def _reference() -> int:
    return live_settings.current(settings()).reference_allowance_tokens
