"""Who holds a key or a session, in SQL: what the gateway has to know of her before it chooses an account."""

from __future__ import annotations

from shared_accounts.extensions import statements

# Not a join: a plan made while the tables are small would begin with the five trust levels.
_PER_MINUTE = "(select requests_per_minute from trust_levels where level = person.trust_level)"
# Nor an `exists`: of few accounts a plan would read all, and be kept when they are many.
_HAS_ACCOUNTS = "(select id from accounts where owner_id = person.id limit 1) is not null"

# The second place is looked at only when the key is not in the first.
KEY_ID = """(
    select id from api_keys where fingerprint = {key}
    union all
    select id from api_keys where former_fingerprint = {key} and former_until > now()
    limit 1)"""
"""Which key has this fingerprint, or had it before it was rotated and may still be called so."""

_PERSON = f"""
person.id as user_id, person.state, person.prefer_shared, person.use_only_dedicated,
    {_PER_MINUTE} as requests_per_minute, {_HAS_ACCOUNTS} as has_accounts"""

KNOWN = """
select {person}, held.id as api_key_id, held.revision, held.models, held.addresses,
    held.requests_per_minute as key_requests, held.tokens_per_minute as key_tokens,
    coalesce(held.last_used_at < now() - interval '1 minute', true) as idle
from api_keys held join users person on person.id = held.user_id
where held.id = {key_id} and held.is_active and (held.expires_at is null or held.expires_at > now())
union all
select {person}, null::bigint, null::bigint, null::text[], null::text[], null::bigint, null::bigint, false
from sessions join users person on person.id = sessions.user_id
where sessions.id = {session} and sessions.revoked_at is null and sessions.expires_at > now()""".replace(
    "{person}", _PERSON
).replace("{key_id}", KEY_ID)
"""Whose key or session this is, whatever her state; no row when the credential is not good (any more)."""

_BY_KEYS = f"""
select asked.place, known.* from unnest($1) with ordinality as asked (fingerprint, place)
    cross join lateral ({KNOWN.format(key="asked.fingerprint", session="null")}) known"""

statements.register("callers_by_keys", ["bytea[]"], _BY_KEYS)
