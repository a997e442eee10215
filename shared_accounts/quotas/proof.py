"""Prove from the rows that every pool is what its ledger says (specification section 5, Proof).

The proof reads one snapshot, so it may run at any moment, beside any traffic.
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
open as (select pool_id, sum(amount) as total from reservations where state = 'open' group by pool_id)
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
"""


def verify() -> list[str]:
    """Return a sentence for each broken invariant; none when all hold."""
    return list(db.session.scalars(text(_BROKEN)))


def count_pools() -> int:
    """Return how many pools there are to prove."""
    return db.session.scalar(select(func.count()).select_from(QuotaPool)) or 0
