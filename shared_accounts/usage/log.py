"""A line per exchange: opened before the upstream is called, closed exactly once after.

While open the line is a lease. `OPEN` and `CLOSE` are the log's part of the gateway's two statements;
`ABANDONED` finds the lines whose worker stopped extending them.
"""

from __future__ import annotations

OPEN = """
line as (
    insert into usage_log (id, user_id, api_key_id, account_id, contributor_id, model, model_group, endpoint, stream,
        worker, estimate, client_app, lease_until)
    select {id}, caller.user_id, caller.api_key_id, account.id, account.owner_id, {model}, {model_group}, {endpoint},
        {stream}, {worker}, {estimate}, {client_app}, now() + make_interval(secs => {lease})
    from caller, account
    where caller.state = 'active' and (account.own or {estimate} = 0
        or exists (select from claim) or exists (select from reservations where id = {id} and state = 'open'))
    on conflict (id) do update set account_id = excluded.account_id, contributor_id = excluded.contributor_id
        where usage_log.state = 'open'
    returning id)"""
"""Open the line, or move an open one to another account."""

CLOSE = """
closed as (
    update usage_log set state = 'closed', closed_at = now(), cost = {cost},
        charged = coalesce((select charge from bill), 0), outcome = {outcome}, basis = {basis},
        http_status = {http_status}, error_code = {error_code}, prompt_tokens = {prompt},
        completion_tokens = {completion}, cached_tokens = {cached}, attempts = coalesce({attempts}, attempts),
        passed_over = coalesce({passed_over}, passed_over), flag = {flag},
        first_byte_ms = {first_byte_ms}, total_ms = {total_ms}, price_id = {price_id}, money = {money}
    where id = {id} and state = 'open' and {due}
    returning id)"""
"""Close the line; a second time changes nothing."""

EXTEND = """
update usage_log set lease_until = now() + make_interval(secs => $2) where id = any($1) and state = 'open'"""

ABANDONED = """
select id, estimate from usage_log where state = 'open' and lease_until < now() order by lease_until limit $1"""
