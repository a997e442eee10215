"""What users may draw from our own pool and what they consumed, in the Plug-in API's shapes.

A call is listed once it is over, at the time it began, and unless nothing was served, for as long as the usage log has
it; in sums it stays for ever. What it consumed is its true cost; `quota_before` and `quota_after` are the pool's
balance, where a pool paid: a user's own accounts cost her none.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import DBAPIError

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.plugin import local_models
from shared_accounts.plugin.kept import Kept
from shared_accounts.plugin.pool import Answer, Span, moment, success
from shared_accounts.quotas.forecast import units
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.usage.models import UsageLog
from shared_accounts.usage.stats import stats
from shared_accounts.usage.wanted import Wanted

_SHARED_POOL_SECONDS = 10.0


class LocalQuotas:
    """The part of `PluginPool` that is about quota."""

    def __init__(self) -> None:
        self._shared: Kept[list[dict[str, Any]]] = Kept(_SHARED_POOL_SECONDS, failures=DBAPIError)

    def user_quotas(self, user_id: int) -> Answer:
        """See `PluginPool`; a row per model group."""
        moved = select(LedgerEntry.at).where(LedgerEntry.pool_id == QuotaPool.id).order_by(LedgerEntry.id.desc())
        query = select(QuotaPool, moved.limit(1).correlate(QuotaPool).scalar_subquery())
        hers = query.where(QuotaPool.user_id == user_id).order_by(QuotaPool.balance.desc(), QuotaPool.model_group)
        return success(
            [
                {
                    "pool_id": pool.id,
                    "user_id": str(user_id),
                    "model_name": pool.model_group,
                    "quota": units(pool.balance),
                    "max_quota": units(pool.capacity),
                    "last_recovered_at": moment(pool.refilled_through),
                    "last_updated_at": moment(moved_at or pool.refilled_through),
                }
                for pool, moved_at in db.session.execute(hers).tuples()
            ]
        )

    def shared_pool(self, user_id: int) -> Answer:
        """See `PluginPool`; what accounts have left is at most ten seconds old."""
        sums = stats(Wanted(viewer=user_id))
        spent = {group.own: group.cost for group in sums.by["own"]}
        shared, private = spent.get(False, 0), spent.get(True, 0)
        consumption = {
            "total_requests": sums.total.calls - sums.total.released,
            "total_quota_consumed": float(shared + private) / MICRO,
            "shared_quota_consumed": float(shared) / MICRO,
            "private_quota_consumed": float(private) / MICRO,
        }
        quotas = self._shared.get(local_models.shared_remaining)
        return success({"quotas": quotas, "user_consumption": consumption})

    def consumption(self, user_id: int, span: Span) -> Answer:
        """See `PluginPool`."""
        query = (
            select(UsageLog, LedgerEntry.amount, LedgerEntry.balance_after)
            .outerjoin(LedgerEntry, LedgerEntry.exchange_id == UsageLog.id)
            .where(_over(user_id))
            .order_by(UsageLog.opened_at.desc(), UsageLog.id)
        )
        if span.since is not None:
            query = query.where(UsageLog.opened_at >= span.since)
        if span.until is not None:
            query = query.where(UsageLog.opened_at < span.until)
        return success([_shown(*row) for row in db.session.execute(query.limit(span.limit)).tuples()])

    def consumption_stats(self, user_id: int, model_name: str) -> Answer:
        """See `PluginPool`; sums of nothing are null."""
        sums = stats(Wanted(viewer=user_id, model=model_name)).total
        of_it = _over(user_id), UsageLog.model == model_name
        latest = select(UsageLog.opened_at).where(*of_it).order_by(UsageLog.opened_at.desc()).limit(1)
        return success(_stats(sums.calls - sums.released, sums.cost, db.session.scalar(latest)))


def _over(user_id: int) -> ColumnElement[bool]:
    return (UsageLog.user_id == user_id) & (UsageLog.state == "closed") & (UsageLog.basis != "released")


def _shown(line: UsageLog, amount: int | None, balance_after: int | None) -> dict[str, Any]:
    return {
        "log_id": str(line.id),
        "user_id": str(line.user_id),
        "cookie_id": str(line.account_id),
        "model_name": line.model,
        "quota_before": None if amount is None or balance_after is None else units(balance_after - amount),
        "quota_after": None if balance_after is None else units(balance_after),
        "quota_consumed": units(line.cost),
        "is_shared": int(line.contributor_id != line.user_id),
        "consumed_at": moment(line.opened_at),
    }


def _stats(calls: int, cost: int, at: datetime | None) -> dict[str, Any]:
    return {
        "total_requests": str(calls),
        "total_quota_consumed": units(cost) if calls else None,
        "avg_quota_consumed": f"{cost / calls / MICRO:.6f}" if calls else None,
        "last_used_at": at and moment(at),
    }
