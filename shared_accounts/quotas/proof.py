"""Prove from the rows that every pool is what its ledger says (specification section 5, Proof).

The proof reads one snapshot, so it may run at any moment, beside any traffic. Beyond the sums and the bounds it
shows that sharing mints nothing: a pool has exactly the capacity and the rate that its owner's accounts earn now,
and what sharing has brought it is exactly what they are credited with now and what it owes; and that gifts only move.
"""

from __future__ import annotations

from sqlalchemy import func, select, text

from shared_accounts.extensions import db
from shared_accounts.quotas.models import QuotaPool

_BROKEN = """
with entry as (
    select pool_id, amount, balance_after, balance_after - amount as before,
        lag(balance_after, 1, 0::bigint) over (partition by pool_id order by id) as previous from ledger_entries),
entries as (
    select pool_id, sum(amount) as total, count(*) filter (where before <> previous) as gaps
    from entry group by pool_id),
open as (select pool_id, sum(amount) as total from reservations where state = 'open' group by pool_id),
credited as (
    select pool_id, sum(capacity) as capacity, sum(balance) as balance,
        coalesce(sum(refill_per_hour) filter (where not resting), 0) as rate from credits group by pool_id),
shared as (
    select pool_id, sum(amount) as total from ledger_entries where kind in ('credit', 'forfeit') group by pool_id),
sharer as (
    select pool.*, coalesce(credited.capacity, 0) as earned, coalesce(credited.rate, 0) as rate,
        coalesce(shared.total, 0) - coalesce(credited.balance, 0) as debt
    from quota_pools pool left join credited on credited.pool_id = pool.id left join shared on shared.pool_id = pool.id
    where credited.pool_id is not null or shared.pool_id is not null),
gift as (
    select model_group, least(user_id, counterpart_id) as one, greatest(user_id, counterpart_id) as other,
        sum(amount) as total
    from ledger_entries entry join quota_pools pool on pool.id = entry.pool_id where kind = 'gift' group by 1, 2, 3)
select 'Pool ' || pool.id || ': its entries sum to ' || coalesce(entries.total, 0) || ' but its balance is '
    || pool.balance as problem
    from quota_pools pool left join entries on entries.pool_id = pool.id
    where coalesce(entries.total, 0) <> pool.balance
union all
select 'Pool ' || pool_id || ': ' || gaps || ' gaps in its chain of balances' from entries where gaps > 0
union all
select 'Pool ' || pool.id || ': ' || pool.reserved || ' is reserved but open reservations sum to '
    || coalesce(open.total, 0)
    from quota_pools pool left join open on open.pool_id = pool.id where coalesce(open.total, 0) <> pool.reserved
union all
select 'Pool ' || id || ': balance ' || balance || ' and reserved ' || reserved || ' are out of bounds'
    from quota_pools where not (reserved between 0 and balance)
union all
select 'Exchange ' || line.id || ': charged ' || line.charged || ' but the ledger says ' || coalesce(-entry.amount, 0)
    from usage_log line left join ledger_entries entry on entry.exchange_id = line.id
    where line.state = 'closed' and line.charged <> coalesce(-entry.amount, 0)
union all
select 'Exchange ' || line.id || ': closed, but its reservation is still open'
    from usage_log line join reservations on reservations.id = line.id
    where line.state = 'closed' and reservations.state = 'open'
union all
select 'Exchange ' || line.id || ': open, but its reservation is closed'
    from usage_log line join reservations on reservations.id = line.id
    where line.state = 'open' and reservations.state <> 'open'
union all
select 'Pool ' || id || ': its accounts earn a capacity of ' || earned || ' and ' || rate || ' an hour but it has '
    || capacity || ' and ' || refill_per_hour
    from sharer where (earned, rate) <> (capacity, refill_per_hour)
union all
select 'Pool ' || id || ': ' || owed || ' is owed but what it was credited and gave back leaves ' || debt
    from sharer where owed <> debt
union all
select 'Gifts of ' || model_group || ' between users ' || one || ' and ' || other || ' sum to ' || total
    from gift where total <> 0
"""


def take_time() -> None:
    """Let a proof of ten million lines take its time, until this transaction ends; a request has less.

    It reads every row there is: by an index, each from another place, that took 110 s; from front to back, with room
    to sort, 22.
    """
    for setting in ("statement_timeout = '45s'", "work_mem = '64MB'", "enable_indexscan = off"):
        db.session.execute(text(f"set local {setting}"))


def verify() -> list[str]:
    """Return a sentence for each broken invariant; none when all hold."""
    return list(db.session.scalars(text(_BROKEN)))


def count_pools() -> int:
    """Return how many pools there are to prove."""
    return db.session.scalar(select(func.count()).select_from(QuotaPool)) or 0
