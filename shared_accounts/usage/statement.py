"""A month of somebody's quota, from the ledger.

Opening and closing are sums of all entries before the month and before its end, not balances that were noted at the
time: so a month opens with what the one before closed with, and what moved in between makes up the difference, always.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text

from shared_accounts.extensions import db

_DECEMBER = 12
_STATEMENT = text("""
select model_group,
    coalesce(sum(amount) filter (where at < :start), 0)::bigint as opening,
    coalesce(sum(amount) filter (where at >= :start and kind = 'credit'), 0)::bigint as credits,
    coalesce(sum(amount) filter (where at >= :start and kind = 'refill'), 0)::bigint as refills,
    coalesce(sum(amount) filter (where at >= :start and kind = 'gift' and amount > 0), 0)::bigint as gifts_received,
    coalesce(sum(amount) filter (where at >= :start and kind = 'spend'), 0)::bigint as spent,
    coalesce(sum(amount) filter (where at >= :start and kind = 'gift' and amount < 0), 0)::bigint as gifts_given,
    coalesce(sum(amount) filter (where at >= :start and kind = 'forfeit'), 0)::bigint as forfeits,
    coalesce(sum(amount) filter (
        where at >= :start and kind not in ('credit', 'refill', 'gift', 'spend', 'forfeit')), 0)::bigint as corrections,
    sum(amount)::bigint as closing,
    count(*) filter (where at >= :start) as entries
from quota_pools join ledger_entries on pool_id = quota_pools.id and at < :end
where user_id = :user group by model_group order by model_group""")


def month(name: str) -> tuple[datetime, datetime]:
    """Return when a month such as `2026-11` begins and ends, in UTC."""
    start = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
    years, following = divmod(start.month, _DECEMBER)
    return start, start.replace(year=start.year + years, month=following + 1)


def statement(user_id: int, start: datetime, end: datetime) -> list[Row[Any]]:
    """Return what moved each of a user's pools in that time; pools that had not moved before its end are left out."""
    return list(db.session.execute(_STATEMENT, {"user": user_id, "start": start, "end": end}))
