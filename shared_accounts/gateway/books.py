"""The gateway's bookkeeping: an exchange is opened by one statement and closed by one, many at once by the same.

Invariant: when `open` has answered `OPEN`, the caller was allowed, the account was in service, the estimate is
reserved (unless the account is the caller's own) and the usage line exists, all in one committed transaction;
otherwise nothing has changed. `close` undoes the reservation, charges, writes the ledger entry and closes the
line in one transaction, and does so at most once per exchange however often it is called.

What is opened, or closed, at the same moment goes to PostgreSQL as one group (`group_commit`); the statement is the
same for a group and for one (`books_sql`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared_accounts.accounts.selection import Candidate
from shared_accounts.extensions import statements
from shared_accounts.gateway import books_sql
from shared_accounts.group_commit import GroupCommit
from shared_accounts.keys.limits import KeyHolder
from shared_accounts.money.prices import Price
from shared_accounts.quotas.pricing import Rule, Tokens
from shared_accounts.usage import log
from shared_accounts.users.roster import Caller

OPEN = "open"

Row = dict[str, Any]

_ALONE = frozenset(("alone", "busy", "key busy", "over budget", "unavailable: it is busy"))
"""Verdicts on a group that say no more than: ask alone."""

statements.register("open_exchanges", ("json", "boolean", "boolean"), books_sql.OPEN_EXCHANGES)
statements.register("raise_reservation", ("uuid", "bigint"), books_sql.RAISE_RESERVATION)
statements.register("close_exchanges", ("json", "boolean"), books_sql.CLOSE_EXCHANGES)
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
    return openings.ask(asked_to_open(opening, candidate))


def raise_reservation(exchange_id: str, estimate: int) -> bool:
    """Set more aside for an exchange that takes more than was thought; returns whether its pool holds it."""
    row = statements.row("raise_reservation", exchange_id, estimate)
    return bool(row and row[0])


def close_line(exchange_id: str, closing: Closing) -> bool:
    """Settle and close; returns whether it was this call that did it."""
    return closings.ask(asked_to_close(exchange_id, closing))


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
        closed += _close_alone(asked_to_close(str(exchange_id), ending, only_if_expired=True))
    return closed


def asked_to_open(opening: Opening, candidate: Candidate) -> Row:
    """Return what the statement has to know to open an exchange on an account."""
    caller, rule = opening.caller, opening.rule
    return {
        "id": opening.id,
        "fingerprint": caller.fingerprint and f"\\x{caller.fingerprint.hex()}",
        "session_id": caller.session_id,
        "revision": caller.limits.revision if isinstance(caller, KeyHolder) else None,
        "account_id": candidate.id,
        "model": opening.model,
        "model_group": rule.group,
        "reference": rule.reference,
        "estimate": opening.estimate,
        "endpoint": opening.endpoint,
        "stream": opening.stream,
        "worker": opening.worker,
        "lease": opening.lease_seconds,
        "client_app": opening.client_app,
    }


def asked_to_close(exchange_id: str, closing: Closing, *, only_if_expired: bool = False) -> Row:
    """Return what the statement has to know to close an exchange."""
    tokens = closing.tokens
    return {
        "id": exchange_id,
        "only_if_expired": only_if_expired,
        "cost": closing.cost,
        "outcome": closing.outcome,
        "basis": closing.basis,
        "http_status": closing.http_status,
        "error_code": closing.error_code,
        "prompt": tokens and tokens.prompt,
        "completion": tokens and tokens.completion,
        "cached": tokens and tokens.cached,
        "attempts": closing.attempts,
        "passed_over": closing.passed_over,
        "flag": closing.flag,
        "first_byte_ms": closing.first_byte_ms,
        "total_ms": closing.total_ms,
        "price_id": closing.price_id,
        "money": closing.money,
    }


def _open_alone(one: Row) -> str:
    return _opened([one], patient=True)[0]


def _open_together(group: Sequence[Row]) -> list[str | None]:
    verdicts = _opened(group, patient=False)
    return [None if verdict in _ALONE else verdict for verdict in verdicts] if len(group) > 1 else [*verdicts]


def _opened(group: Sequence[Row], *, patient: bool) -> list[str]:
    row = statements.row("open_exchanges", orjson.dumps(group).decode(), patient, len(group) == 1)
    return str(row[0]).split("\n") if row else []


def _close_alone(one: Row) -> bool:
    return bool(_closed([one], patient=True))


def _close_together(group: Sequence[Row]) -> list[bool]:
    places = _closed(group, patient=False)
    return [place in places for place in range(1, len(group) + 1)]


def _closed(group: Sequence[Row], *, patient: bool) -> set[int]:
    row = statements.row("close_exchanges", orjson.dumps(group).decode(), patient)
    return set(row[0] or ()) if row else set()


openings = GroupCommit(_open_alone, _open_together)
closings = GroupCommit(_close_alone, _close_together)
