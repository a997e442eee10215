"""The gateway's bookkeeping: an exchange is opened by one statement and closed by one.

Invariant: when `open` has answered `OPEN`, the caller was allowed, the account was in service, the estimate is
reserved (unless the account is the caller's own) and the usage line exists, all in one committed transaction;
otherwise nothing has changed. `close` undoes the reservation, charges, writes the ledger entry and closes the
line in one transaction, and does so at most once per exchange however often it is called.

Each subject owns its part of the SQL; this module only weaves them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from shared_accounts.accounts.selection import VERIFIED, Candidate
from shared_accounts.extensions import statements
from shared_accounts.keys.budgets import HAS_BUDGET
from shared_accounts.keys.keyring import KEY_ID
from shared_accounts.keys.limits import KeyHolder
from shared_accounts.money.prices import Price
from shared_accounts.quotas.ledger import RAISE, RESERVE, SETTLE
from shared_accounts.quotas.pricing import Rule, Tokens
from shared_accounts.usage import log
from shared_accounts.users.roster import Caller

OPEN = "open"

_CALLER = """
caller as materialized (
    select users.id as user_id, {key_state} as state, key.id as api_key_id
    from api_keys key join users on users.id = key.user_id
    where key.id = {key_id} and key.is_active and (key.expires_at is null or key.expires_at > now())
    union all
    select users.id, {state}, null
    from sessions session join users on users.id = session.user_id
    where session.id = {session} and session.revoked_at is null and session.expires_at > now())"""

_STATE = """
case when users.state = 'active' and (
    select max_concurrent is not null and not has_slot('user', users.id, max_concurrent, $1)
    from trust_levels where level = users.trust_level) then 'busy' else users.state end"""
"""The user's state, or `busy` when she has as many exchanges open as her trust level allows."""

_KEY_STATE = f"""
case when key.revision <> $13 then 'changed'
    when users.state = 'active' and key.max_concurrent is not null
        and not has_slot('key', key.id, key.max_concurrent, $1) then 'key busy'
    when users.state = 'active' and {HAS_BUDGET} and over_budget(key.id, $7, $1) then 'over budget'
    else {_STATE} end"""
"""The same by key: or `changed` since the caller was recognised, `key busy`, or `over budget` with the estimate."""

_OPENING = {
    "id": "$1", "key_id": KEY_ID.format(key="$2"), "session": "$3", "account_id": "$4", "model": "$5",
    "model_group": "$6", "estimate": "$7", "endpoint": "$8", "stream": "$9", "worker": "$10", "lease": "$11",
    "reference": "$12", "client_app": "$14", "state": _STATE, "key_state": _KEY_STATE,
}  # fmt: skip
_OPEN_TYPES = (
    "uuid", "bytea", "uuid", "bigint", "text", "text", "bigint", "text", "boolean", "text", "double precision",
    "bigint", "bigint", "text",
)  # fmt: skip
_OPEN = f"""
with {_CALLER}, {VERIFIED}, {RESERVE}, {log.OPEN}
select case
    when not exists (select from caller) then 'unknown'
    when (select state from caller) <> 'active' then (select state from caller)
    when not exists (select from account) then 'unavailable: ' || coalesce((select why_not from weighed), 'it is gone')
    when exists (select from line) then 'open'
    when is_closed({{id}}) then 'closed'
    else 'short' end
""".format(**_OPENING)

_RAISE = f"""
with {RAISE}, line as (
    update usage_log set estimate = {{estimate}} where id = {{id}} and exists (select from raised))
select exists (select from raised) or coalesce((select amount >= {{estimate}} from held), false)
""".format(id="$1", estimate="$2")

_CLOSING = {
    "id": "$1", "cost": "$2", "outcome": "$3", "basis": "$4", "http_status": "$5", "error_code": "$6",
    "prompt": "$7", "completion": "$8", "cached": "$9", "attempts": "$10", "first_byte_ms": "$11", "total_ms": "$12",
    "passed_over": "$14", "flag": "$15", "price_id": "$16", "money": "$17",
    "paid": "exists (select from usage_log where id = $1 and user_id <> contributor_id)",
    "due": "(not $13 or exists (select from usage_log where id = $1 and state = 'open' and lease_until < now()))",
}  # fmt: skip
_CLOSE_TYPES = (
    "uuid", "bigint", "text", "text", "integer", "text", "bigint", "bigint", "bigint", "jsonb", "integer", "integer",
    "boolean", "jsonb", "text", "bigint", "bigint",
)  # fmt: skip
_CLOSE = f"with {SETTLE}, {log.CLOSE} select count(*) from closed".format(**_CLOSING)

statements.register("open_exchange", _OPEN_TYPES, _OPEN)
statements.register("raise_reservation", ("uuid", "bigint"), _RAISE)
statements.register("close_exchange", _CLOSE_TYPES, _CLOSE)
statements.register("extend_exchanges", ("uuid[]", "double precision"), log.EXTEND)
statements.register("abandoned_exchanges", ("integer",), log.ABANDONED)


@dataclass(frozen=True, slots=True)
class Opening:
    """What an exchange is, before it happens."""

    id: str
    caller: Caller
    model: str
    rule: Rule
    estimate: int
    endpoint: str
    stream: bool
    worker: str
    lease_seconds: float
    client_app: str | None = None
    price: Price | None = None
    """What its tokens cost in money, whatever becomes of the list meanwhile."""


@dataclass(frozen=True, slots=True)
class Closing:
    """How an exchange ended; `cost` in micro-units of quota, `money` in those of a currency, times in milliseconds."""

    outcome: str
    basis: str
    cost: int = 0
    http_status: int | None = None
    error_code: str | None = None
    tokens: Tokens | None = None
    attempts: list[dict[str, Any]] | None = None
    passed_over: list[dict[str, Any]] | None = None
    flag: str | None = None
    first_byte_ms: int | None = None
    total_ms: int | None = None
    price_id: int | None = None
    money: int | None = None


def open_line(opening: Opening, candidate: Candidate) -> str:
    """Open the exchange on this account, or move it there if it is open already; returns the verdict.

    `open`, `unknown` (no such key or session), `silenced`, `disabled`, `busy` (she has too many open), `changed`,
    `key busy`, `over budget` (her key), `unavailable: ` and why (the account), `short` (of quota) or `closed` (the
    lease ran out meanwhile).
    """
    caller = opening.caller
    revision = caller.limits.revision if isinstance(caller, KeyHolder) else None
    row = statements.row(
        "open_exchange", opening.id, caller.fingerprint, caller.session_id and str(caller.session_id), candidate.id,
        opening.model, opening.rule.group, opening.estimate, opening.endpoint, opening.stream, opening.worker,
        opening.lease_seconds, opening.rule.reference, revision, opening.client_app,
    )  # fmt: skip
    return str(row[0]) if row else "unavailable: it is gone"


def raise_reservation(exchange_id: str, estimate: int) -> bool:
    """Set more aside for an exchange that takes more than was thought; returns whether its pool holds it."""
    row = statements.row("raise_reservation", exchange_id, estimate)
    return bool(row and row[0])


def close_line(exchange_id: str, closing: Closing, *, only_if_expired: bool = False) -> bool:
    """Settle and close; returns whether it was this call that did it."""
    tokens = closing.tokens
    row = statements.row(
        "close_exchange", exchange_id, closing.cost, closing.outcome, closing.basis, closing.http_status,
        closing.error_code, tokens and tokens.prompt, tokens and tokens.completion, tokens and tokens.cached,
        _json(closing.attempts), closing.first_byte_ms, closing.total_ms, only_if_expired, _json(closing.passed_over),
        closing.flag, closing.price_id, closing.money,
    )  # fmt: skip
    return bool(row and row[0])


def extend(exchange_ids: list[str], lease_seconds: float) -> None:
    """Extend the leases of exchanges that are still alive in this worker."""
    statements.row("extend_exchanges", "{" + ",".join(exchange_ids) + "}", lease_seconds)


def close_abandoned(limit: int = 500) -> int:
    """Close what dead workers left open, at the full estimate; returns how many.

    An exchange is opened just before its upstream is called, so an open line means the upstream may have
    served it: the price of not knowing is the estimate (design: quality 2.2).
    """
    closed = 0
    for exchange_id, estimate in statements.rows("abandoned_exchanges", limit):
        ending = Closing("abandoned", "estimated", cost=estimate, error_code="worker_lost")
        closed += close_line(str(exchange_id), ending, only_if_expired=True)
    return closed


def _json(rows: list[dict[str, Any]] | None) -> str | None:
    return None if rows is None else orjson.dumps(rows).decode()
