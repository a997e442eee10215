"""How a caller stands, in one small answer for a status bar: her key's limits, her pace, her pools; uncounted."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import RedisError
from sqlalchemy import func, select

from shared_accounts.auth import throttle
from shared_accounts.extensions import db
from shared_accounts.keys import budgets, pace
from shared_accounts.keys.models import ApiKey
from shared_accounts.quotas import arithmetic, ledger
from shared_accounts.quotas.forecast import units
from shared_accounts.quotas.models import QuotaPool
from shared_accounts.usage.models import UsageLog
from shared_accounts.users.roster import Caller

_HOUR = timedelta(hours=1)


def of(caller: Caller) -> dict[str, Any]:
    """Return her key's limits and what is used of each, her own pace, and her pools, with the times they reset at."""
    key = db.session.get(ApiKey, caller.api_key_id) if caller.api_key_id else None
    return {
        "object": "usage",
        "key": _key(key) if key else None,
        "requests_per_minute": _own_pace(caller),
        "pools": [_pool(one) for one in ledger.pools_of(caller.user_id)],
    }


def _key(key: ApiKey) -> dict[str, Any]:
    is_under_way = (UsageLog.user_id == key.user_id) & (UsageLog.api_key_id == key.id) & (UsageLog.state == "open")
    under_way = db.session.scalar(select(func.count()).where(is_under_way)) or 0
    return {
        "id": key.id,
        "name": key.name,
        "expires_at": _at(key.expires_at),
        "requests_per_minute": _paced("requests", key.id, key.requests_per_minute),
        "tokens_per_minute": _paced("tokens", key.id, key.tokens_per_minute),
        "concurrent": {"limit": key.max_concurrent, "used": under_way},
        "budgets": [_budget(key.id, one) for one in budgets.standing(key.id)],
    }


def _paced(kind: pace.Kind, key_id: int, per_minute: int | None) -> dict[str, Any] | None:
    return _pace(per_minute, *pace.left(kind, key_id, per_minute)) if per_minute else None


def _own_pace(caller: Caller) -> dict[str, Any] | None:
    """Return how she stands whichever key she uses; while Redis is away nobody knows, and that is what is said."""
    with suppress(RedisError):
        if most := caller.requests_per_minute:
            return _pace(most, *throttle.chats_left(caller.user_id, most))
    return None


def _pace(limit: int, left: int, ends: float) -> dict[str, Any]:
    resets_at = _at(datetime.fromtimestamp(ends, UTC))
    return {"limit": limit, "used": limit - left, "remaining": left, "resets_at": resets_at}


def _budget(key_id: int, one: budgets.Standing) -> dict[str, Any]:
    return {
        "name": one.budget,
        "limit": units(one.limit),
        "used": units(one.spent),
        "held": units(one.held),
        "remaining": units(max(0, one.free)),
        "resets_at": _at(budgets.forgotten_at(key_id, one)),
    }


def _pool(pool: QuotaPool) -> dict[str, Any]:
    shown = {**arithmetic.shown(pool), "refills_at": pool.refilled_through + _HOUR}
    return {name: _at(value) if isinstance(value, datetime) else value for name, value in shown.items()}


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
