"""Give back by the hour.

Invariant: a pool receives its rate once for every full UTC hour, whoever asks and however often: the mark
`refilled_through` moves in the statement that pays, and (pool, 'refill', hour) is unique in the ledger. A
night of downtime is made up once; a clock set back changes nothing; a clock set forward gives at most the
capacity.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.quotas.terms import Figures

_SLOT = """
slot as materialized (
    select date_trunc('hour', coalesce(cast(:now as timestamptz), now()), 'UTC') as hour)"""
_DUE = """
greatest(0, least(pool.capacity, pool.balance + pool.refill_per_hour
    * (extract(epoch from slot.hour - pool.refilled_through)::bigint / 3600)) - pool.balance)"""
_REFILL = f"""
with {_SLOT},
due as materialized (
    select pool.id, pool.balance, pool.reserved, slot.hour, {_DUE} as amount
    from quota_pools pool, slot
    where pool.refilled_through < slot.hour
      and case when cast(:ids as bigint[]) is null then pool.refill_per_hour > 0 else pool.id = any(:ids) end
    order by pool.id for update of pool),
moved as (
    update quota_pools pool
    set balance = due.balance + due.amount, reserved = due.reserved, refilled_through = due.hour
    from due where pool.id = due.id),
entry as (
    insert into ledger_entries (pool_id, kind, amount, balance_after, slot)
    select id, 'refill', amount, balance + amount, hour from due where amount > 0 order by id returning 1)
select count(*) from entry
"""
_REFILLED = f"""
with {_SLOT}
select pool.model_group, greatest(slot.hour, pool.refilled_through), pool.balance + {_DUE}, pool.reserved,
    pool.capacity, pool.refill_per_hour, pool.owed
from slot left join quota_pools pool on pool.user_id = :user_id"""


def refill(now: datetime | None = None, *, pool_ids: Sequence[int] | None = None) -> int:
    """Refill all pools, or these, for every full hour up to `now`; returns how many received something.

    `now` is the database's clock unless given.
    """
    ids = None if pool_ids is None else list(pool_ids)
    return int(db.session.execute(text(_REFILL), {"now": now, "ids": ids}).scalar_one())


def refilled(user_id: int) -> tuple[datetime, dict[str, Figures]]:
    """Return this hour, and a user's pools as a refill would leave them now; none is touched, and none is locked."""
    rows = db.session.execute(text(_REFILLED), {"now": None, "user_id": user_id}).tuples().all()
    return rows[0][1], {group: Figures(*figures) for group, *figures in rows if group is not None}
