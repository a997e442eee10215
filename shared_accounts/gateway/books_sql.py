"""The statements of the gateway's books. Each subject owns its part of the SQL; here they are woven together.

What is asked for comes as JSON, an array of objects in the order they came. `$2` says whether to wait for a row's lock
as long as a statement may: a group gives up soon, lest one row keep all others waiting. `$3` says whether slots and
budgets are counted, which is done for one at a time: else whoever has a limit is taken for full.

Each row is found by a scalar subquery or by its primary key. A join, or an `exists`, may be planned as one pass over
all that is open, and one of two lists by their place is quadratic: so columns are carried along.
"""

from __future__ import annotations

from shared_accounts.accounts.selection import VERIFIED
from shared_accounts.keys.budgets import HAS_BUDGET
from shared_accounts.keys.known import KEY_ID
from shared_accounts.quotas.moves import RAISE, RESERVE, SETTLE
from shared_accounts.usage import log

_PATIENCE_MS = 100

_OPENING = {
    "id": "uuid", "fingerprint": "bytea", "session_id": "uuid", "revision": "bigint", "account_id": "bigint",
    "model": "text", "model_group": "text", "reference": "bigint", "estimate": "bigint", "endpoint": "text",
    "stream": "boolean", "worker": "text", "lease": "double precision", "client_app": "text",
}  # fmt: skip
_CLOSING = {
    "id": "uuid", "only_if_expired": "boolean", "cost": "bigint", "outcome": "text", "basis": "text",
    "http_status": "integer", "error_code": "text", "prompt": "bigint", "completion": "bigint", "cached": "bigint",
    "attempts": "jsonb", "passed_over": "jsonb", "flag": "text", "first_byte_ms": "integer", "total_ms": "integer",
    "price_id": "bigint", "money": "bigint",
}  # fmt: skip


def _asked(columns: dict[str, str]) -> str:
    """Read what is asked for, in the order it came."""
    typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"""
patience as materialized (
    select set_config('lock_timeout', case when $2 then '0' else '{_PATIENCE_MS}' end, true)),
asked as materialized (
    select given.* from patience, rows from (json_to_recordset($1) as ({typed})) with ordinality
        as given ({", ".join(columns)}, place))"""


_STATE = """
case when users.state = 'active' and (
    select max_concurrent is not null and (not $3 or not has_slot('user', users.id, max_concurrent, asked.id))
    from trust_levels where level = users.trust_level) then 'busy' else users.state end"""
"""The user's state, or `busy` when she has as many exchanges open as her trust level allows."""

_KEY_STATE = f"""
case when key.revision <> asked.revision then 'changed'
    when users.state = 'active' and key.max_concurrent is not null
        and (not $3 or not has_slot('key', key.id, key.max_concurrent, asked.id)) then 'key busy'
    when users.state = 'active' and {HAS_BUDGET}
        and (not $3 or over_budget(key.id, asked.estimate, asked.id)) then 'over budget'
    else {_STATE} end"""
"""The same by key: or `changed` since the caller was recognised, `key busy`, or `over budget` with the estimate."""

_CALLER = f"""
select users.id as user_id, {_KEY_STATE} as state, key.id as api_key_id
from api_keys key join users on users.id = key.user_id
where key.id = {KEY_ID.format(key="asked.fingerprint")}
  and key.is_active and (key.expires_at is null or key.expires_at > now())
union all
select users.id, {_STATE}, null
from sessions session join users on users.id = session.user_id
where session.id = asked.session_id and session.revoked_at is null and session.expires_at > now()"""

_JUDGED = f"""
judged as materialized (
    select asked.*, caller.user_id, caller.api_key_id, account.owner_id, case when need.exists then need.pool_id end
        as pool_id, case
        when caller.user_id is null then 'unknown'
        when caller.state <> 'active' then caller.state
        when account.id is null then 'unavailable: it is gone'
        when account.why_not is not null then 'unavailable: ' || account.why_not
        when need.line_state = 'closed' then 'closed'
        when need.exists and need.pool_id is null then 'short' end as refusal
    from asked
        left join lateral ({_CALLER}) caller on true
        left join lateral ({VERIFIED.format(counting="$3")}) account on true
        cross join lateral (select
            not account.own and asked.estimate > 0
                and (select id from reservations where id = asked.id) is null as exists,
            (select state from usage_log where id = asked.id) as line_state,
            (select id from quota_pools where user_id = caller.user_id and model_group = asked.model_group) as pool_id
        ) need)"""
"""Who is refused without asking the pool, and why; of the others, whose pool has to hold the estimate."""

OPEN_EXCHANGES = f"""
with {_asked(_OPENING)}, {_JUDGED}, {RESERVE}, {log.OPEN}
select string_agg(verdict, E'\\n' order by place) from (
    select place, refusal as verdict from judged where refusal is not null
    union all
    select place, verdict from claims where verdict <> 'open'
    union all
    select place, case when (select count(*) from line) = (select count(*) from opened)
        or exists (select from line where line.id = opened.id) then 'open' else 'closed' end from opened) told"""

_DUE = """
due as materialized (
    select * from asked where not only_if_expired
        or (select state = 'open' and lease_until < now() from usage_log where id = asked.id))"""

CLOSE_EXCHANGES = f"""
with {_asked(_CLOSING)}, {_DUE}, {SETTLE}, {log.CLOSE}
select array_agg(place) from closed"""

RAISE_RESERVATION = f"""
with {RAISE}, line as (
    update usage_log set estimate = {{estimate}} where id = {{id}} and exists (select from raised))
select exists (select from raised) or coalesce((select amount >= {{estimate}} from held), false)
""".format(id="$1", estimate="$2")
