"""A line per exchange: opened before the upstream is called, closed exactly once after.

While open the line is a lease. `OPEN` and `CLOSE` are the log's part of the gateway's two statements, each for any
number of exchanges at once; `ABANDONED` finds the lines whose worker stopped extending them.
"""

from __future__ import annotations

_OPENED = (
    "id, user_id, api_key_id, account_id, owner_id, model, model_group, endpoint, stream, worker, estimate, client_app"
)

OPEN = f"""
opened as materialized (
    select {_OPENED}, place, lease from judged where refusal is null and pool_id is null
    union all
    select {_OPENED}, place, lease from claims where verdict = 'open'),
line as (
    insert into usage_log (id, user_id, api_key_id, account_id, contributor_id, model, model_group, endpoint, stream,
        worker, estimate, client_app, lease_until)
    select {_OPENED}, now() + make_interval(secs => lease) from opened order by place
    on conflict (id) do update set account_id = excluded.account_id, contributor_id = excluded.contributor_id
        where usage_log.state = 'open'
    returning id)"""
"""Open the lines of those that need no quota or got it, or move an open one to another account."""

_ENDED = """id, place, cost, outcome, basis, http_status, error_code, prompt, completion, cached, attempts, passed_over,
        flag, first_byte_ms, total_ms, price_id, money"""

CLOSE = f"""
ended as materialized (
    select {_ENDED}, charge from bill
    union all
    select {_ENDED}, 0 from due where (select state from reservations where id = due.id) is distinct from 'open'),
closed as (
    update usage_log line set state = 'closed', closed_at = now(), cost = ended.cost, charged = ended.charge,
        outcome = ended.outcome, basis = ended.basis, http_status = ended.http_status, error_code = ended.error_code,
        prompt_tokens = ended.prompt, completion_tokens = ended.completion, cached_tokens = ended.cached,
        attempts = coalesce(ended.attempts, line.attempts), passed_over = coalesce(ended.passed_over, line.passed_over),
        flag = ended.flag, first_byte_ms = ended.first_byte_ms, total_ms = ended.total_ms,
        price_id = ended.price_id, money = ended.money
    from ended where line.id = ended.id and line.state <> 'closed'
    returning ended.place)"""
"""Close the lines of what was due; a second time changes nothing.

It says `state <> 'closed'`, for `state = 'open'` would tempt PostgreSQL into an index of all that is open.
"""

EXTEND = """
update usage_log set lease_until = now() + make_interval(secs => $2) where id in (
    select id from usage_log where id = any($1) and state = 'open' for update skip locked)"""
"""A line that is locked is just being closed, and needs no lease."""

ABANDONED = """
select id, estimate from usage_log where state = 'open' and lease_until < now() order by lease_until limit $1"""
