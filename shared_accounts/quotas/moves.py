"""The ledger's moves on the hot path, as SQL that the gateway weaves into one statement each with its neighbours' work.

The ledger's invariant holds here, too: pools are locked in the order of their ids, reservations before them, and both
figures are assigned from the locked row. Each move is for any number of exchanges at once, with the same outcome as
one after the other.
"""

from __future__ import annotations

RESERVE = """
locked as materialized (
    select judged.*, pool.balance, pool.reserved, pool.balance - pool.reserved as free
    from judged join quota_pools pool on pool.id = judged.pool_id
    where judged.refusal is null order by pool.id for update of pool),
claims as materialized (
    select locked.*, case when estimate > free then 'short'
        when sum(estimate) filter (where estimate <= free) over (partition by pool_id) > free then 'alone'
        else 'open' end as verdict from locked),
claimed as (
    update quota_pools pool set balance = claim.balance, reserved = claim.reserved + claim.estimate
    from (select pool_id, min(balance) as balance, min(reserved) as reserved, sum(estimate)::bigint as estimate
        from claims where verdict = 'open' group by pool_id) claim
    where pool.id = claim.pool_id),
held as (
    insert into reservations (id, pool_id, amount)
    select id, pool_id, estimate from claims where verdict = 'open' order by place)"""
"""Set the estimates of those whom `judged` did not refuse aside, each in its pool.

Where a pool holds some of them but not all, each is told `alone`: one at a time they find out which.
"""

RAISE = """
held as materialized (
    select id, pool_id, amount from reservations where id = {id} and state = 'open' for update),
claim as (
    update quota_pools pool set reserved = pool.reserved + {estimate} - held.amount
    from held
    where pool.id = held.pool_id and held.amount < {estimate}
      and pool.balance - pool.reserved >= {estimate} - held.amount
    returning pool.id),
raised as (
    update reservations set amount = {estimate} from claim where reservations.id = {id} returning reservations.id)"""
"""Raise an open reservation to this estimate, if the pool holds the difference; raising it again changes nothing."""

SETTLE = """
freed as (
    update reservations set state = case when due.cost > 0 then 'settled' else 'released' end
    from due where reservations.id = due.id and reservations.state not in ('settled', 'released')
    returning due.*, reservations.pool_id, reservations.amount),
settling as materialized (
    select freed.*, pool.balance, pool.reserved, pool.balance - pool.reserved as free, case when (
        select user_id <> contributor_id from usage_log where id = freed.id) then cost else 0 end as price
    from freed join quota_pools pool on pool.id = freed.pool_id order by pool.id for update of pool),
walk as (
    select settling.*, (free + sum(amount - price) over turns)::bigint as afterwards
    from settling window turns as (partition by pool_id order by place)),
walked as (
    select walk.*, (afterwards - least(0, min(afterwards) over turns))::bigint as free_after
    from walk window turns as (partition by pool_id order by place)),
bill as materialized (
    select walked.*, amount + coalesce(lag(free_after) over turns, free) - free_after as charge
    from walked window turns as (partition by pool_id order by place)),
moved as (
    update quota_pools pool set balance = paid.balance - paid.charge, reserved = paid.reserved - paid.amount
    from (select pool_id, min(balance) as balance, min(reserved) as reserved, sum(charge)::bigint as charge,
        sum(amount)::bigint as amount from bill group by pool_id) paid
    where pool.id = paid.pool_id),
entry as (
    insert into ledger_entries (pool_id, kind, amount, balance_after, exchange_id)
    select pool_id, 'spend', -charge, balance - sum(charge) over (partition by pool_id order by place), id
    from bill where charge > 0 order by place)"""
"""Replace the reservations of what is `due` by their true costs, each at most once, one after the other.

A charge is min(cost, reservation + free balance). What is free of a pool walks up and down by what each leaves over or
takes beyond its reservation, and never below zero: `free_after` is that walk, so no row has to wait for another.
"""
