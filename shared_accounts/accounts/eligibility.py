"""May this account serve this caller this model now, and if not, why: said once, in SQL.

`WHY_NOT` is null for an account that may, else a few words for people. The statement that opens an exchange asks
it of the chosen account, the dry run asks it of all. Its cases are in the order of their cost, and PostgreSQL stops
at the first that holds.

Invariant: of exchanges opened at the same instant on an account with room for one, one gets in. `has_slot` makes
them take turns on a lock that ends with the statement, and counts with a fresh snapshot; what counts are the open
lines of the usage log, so a crash returns its slots with its leases.
"""

from __future__ import annotations

from shared_accounts.config import MICRO

_WINDOW = f"""
(select case when exhausted_until > now() then 'its upstream is exhausted'
    when resets_at > now() and used::float8 * {{reference}} >= accounts.allowance_tokens::float8 * {MICRO}
        then 'its window is used up'
    when not {{own}} and resets_at > now() and used::float8 * {{reference}}
        >= accounts.allowance_tokens::float8 * {MICRO} * (1 - accounts.owner_reserve)
        then 'the rest of its window is kept for its owner' end
    from account_windows where account_id = accounts.id and model_group = {{model_group}})"""

_TODAY = "(now() at time zone 'UTC')::date"
_MINUTE = "extract(epoch from (now() at time zone 'UTC')::time)::bigint / 60"
_QUIET = f"""
case when accounts.quiet_from <= accounts.quiet_until
    then {_MINUTE} >= accounts.quiet_from and {_MINUTE} < accounts.quiet_until
    else {_MINUTE} >= accounts.quiet_from or {_MINUTE} < accounts.quiet_until end"""
_OTHERS_TODAY = f"""
(select coalesce(sum(cost), 0) from account_use
    where account_id = accounts.id and day = {_TODAY} and user_id <> accounts.owner_id)"""
_MEMBER_TODAY = f"""
(select coalesce(sum(cost), 0) from account_use
    where account_id = accounts.id and day = {_TODAY} and user_id = {{caller}})"""

WHY_NOT = f"""
case when accounts.state <> 'active' then 'it is ' || replace(accounts.state, '_', ' ')
    when accounts.cooling_until > now() then 'it is cooling down'
    when not {{own}} and accounts.sharing <> 'shared' then 'it is not shared'
    when {_WINDOW} is not null then {_WINDOW}
    when not {{own}} and accounts.quiet_from is not null and {_QUIET} then 'its owner wants quiet now'
    when not {{own}} and accounts.others_per_day is not null and {_OTHERS_TODAY} >= accounts.others_per_day
        then 'its owner''s limit for the day is reached'
    when not {{own}} and accounts.member_per_day is not null and {_MEMBER_TODAY} >= accounts.member_per_day
        then 'your share of it for the day is used'
    when accounts.max_concurrency is not null
        and (not {{counting}} or not has_slot('account', accounts.id, accounts.max_concurrency, {{id}}))
        then 'it is busy' end"""
"""To be formatted with `own`, `caller`, `model_group`, `reference`, `id` and `counting`, each an SQL expression.

Where it is not `counting`, an account with a limit is taken for busy: slots are counted for one exchange at a time.
"""
