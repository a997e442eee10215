"""What is worth an alert: for each kind its rows now, as `kind, user_id, subject, episode, details`.

An episode is what happens once: the step that took an account out, the moment a credential ends; where a state has no
such number, the next one after the last, while none is under way. Details are facts for people; no secret is read here.
"""

from __future__ import annotations

_NEXT = """
(select coalesce(max(episode), 0) + 1 from alerts where kind = '{kind}' and subject = {subject}) as episode"""
_NONE_UNDER_WAY = """
not exists (select from alerts where kind = '{kind}' and subject = {subject} and over_at is null)"""
_POOL = {"kind": "quota_low", "subject": "pool.id::text"}
_JOB = {"kind": "job_failing", "subject": "task"}
_LEDGER = {"kind": "ledger_broken", "subject": "'ledger'"}
_TEST = {"kind": "test", "subject": "users.id::text"}


def _units(column: str) -> str:
    return f"trunc({column} / 1000000.0, 4)::text"


QUOTA_LOW = f"""
select 'quota_low' as kind, pool.user_id, pool.id::text as subject, {_NEXT.format(**_POOL)},
    jsonb_build_object('model_group', pool.model_group, 'balance', {_units("pool.balance")},
        'capacity', {_units("pool.capacity")}, 'refill_per_hour', {_units("pool.refill_per_hour")}) as details
from quota_pools pool join users on users.id = pool.user_id
where pool.capacity > 0 and pool.balance < pool.capacity * cast(:share as numeric) and users.state <> 'disabled'
  and {_NONE_UNDER_WAY.format(**_POOL)}"""

# Half as far again as it fell, or a pool at its line would be told of every hour.
QUOTA_RECOVERED = """
select from quota_pools pool where pool.id::text = alerts.subject and pool.capacity > 0
    and pool.balance < pool.capacity * least(1, cast(:share as numeric) * 1.5)"""

_OUT = """
select 'account_{state}' as kind, account.owner_id as user_id, account.id::text as subject, event.id as episode,
    jsonb_build_object('account_id', account.id, 'account', account.name) as details
from accounts account join lateral (
    select id from account_events where account_id = account.id and to_state = account.state
    order by id desc limit 1) event on true
where account.state = '{state}'"""

# What has a refresh token is renewed ten minutes before it ends: it is told of when that has failed for a while.
CREDENTIAL_EXPIRING = """
select 'credential_expiring' as kind, owner_id as user_id, id::text as subject,
    extract(epoch from credential_expires_at)::bigint as episode,
    jsonb_build_object('account_id', id, 'account', name, 'expires_at', credential_expires_at) as details
from accounts
where state in ('active', 'paused', 'broken') and credential_expires_at < now() + case
    when sealed_refresh_token is null then make_interval(days => :days) else interval '-15 minutes' end"""

KEY_EXPIRING = """
select 'key_expiring' as kind, user_id, id::text as subject, extract(epoch from expires_at)::bigint as episode,
    jsonb_build_object('key_id', id, 'key', name, 'expires_at', expires_at) as details
from api_keys
where is_active and expires_at > now() and expires_at < now() + make_interval(days => :days)
  and created_at < expires_at - make_interval(days => :days)"""

JOB_FAILING = f"""
select 'job_failing' as kind, cast(null as bigint) as user_id, task as subject, {_NEXT.format(**_JOB)},
    jsonb_build_object('job', task, 'failures', failed_in_a_row) as details
from job_runs where failed_in_a_row >= 3 and {_NONE_UNDER_WAY.format(**_JOB)}"""

JOB_STILL_FAILS = "select from job_runs where task = alerts.subject and failed_in_a_row > 0"

LEDGER_BROKEN = f"""
select 'ledger_broken' as kind, cast(null as bigint) as user_id, 'ledger' as subject, {_NEXT.format(**_LEDGER)},
    jsonb_build_object('problems', cast(:problems as bigint)) as details
where :problems > 0 and {_NONE_UNDER_WAY.format(**_LEDGER)}"""

TEST = f"""
select 'test' as kind, users.id as user_id, users.id::text as subject, {_NEXT.format(**_TEST)},
    jsonb_build_object() as details
from users where id = :user"""

LASTING = {
    "account_needs_sign_in": _OUT.format(state="needs_sign_in"),
    "account_broken": _OUT.format(state="broken"),
    "credential_expiring": CREDENTIAL_EXPIRING,
    "key_expiring": KEY_EXPIRING,
}
"""Kinds whose episode is over as soon as its row is no longer found."""
