"""A month of somebody's quota from the ledger, beside it what she used and what others used of her accounts.

Opening and closing are sums of all entries before the month and before its end, not balances that were noted at the
time: so a month opens with what the one before closed with, and what moved in between makes up the difference, always.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, select, text

from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.usage.stats import Stats, stats
from shared_accounts.usage.wanted import CONTRIBUTED, MINE, Wanted

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


@dataclass(frozen=True, slots=True)
class Statement:
    """What moved somebody's pools in a month, and what was used meanwhile: by her, and by others of her accounts.

    `pools` are the rows of `statement`; the two parts after it are those of `stats`, by model and by account too. The
    pools add up to the ledger. What was used is told by when exchanges were opened, what was spent by when they closed:
    one that spans midnight on the first of a month is in one month here and in the next there.
    """

    user_id: int
    month: str
    start: datetime
    end: datetime
    complete: bool
    pools: list[Row[Any]]
    used: Stats
    contributed: Stats


def monthly(user_id: int, name: str) -> Statement:
    """Return a user's statement for a month such as `2026-11`, to the last entry if it is not over.

    Raises `Unprocessable` for a month that has not begun. A month in which nothing moved has pools that close as they
    opened, and nothing used.
    """
    start, end = month(name)
    has_begun, is_over = db.session.execute(select(func.now() >= start, func.now() >= end)).one()
    if not has_begun:
        raise Unprocessable("This month has not begun.", field="month")
    wanted = [Wanted(viewer=user_id, scope=scope, start=start, end=end) for scope in (MINE, CONTRIBUTED)]
    used, contributed = map(stats, wanted)
    return Statement(user_id, name, start, end, is_over, statement(user_id, start, end), used, contributed)


def month(name: str) -> tuple[datetime, datetime]:
    """Return when a month such as `2026-11` begins and ends, in UTC."""
    start = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
    years, following = divmod(start.month, _DECEMBER)
    return start, start.replace(year=start.year + years, month=following + 1)


def statement(user_id: int, start: datetime, end: datetime) -> list[Row[Any]]:
    """Return what moved each of a user's pools in that time; pools that had not moved before its end are left out."""
    return list(db.session.execute(_STATEMENT, {"user": user_id, "start": start, "end": end}))
