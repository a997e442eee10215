"""A call that is sent again under its Idempotency-Key is served again, and not charged again.

Answers are never stored, so there is none to repeat. Invariant: once the exchanges under one key are closed and
counted, all of them together have cost what the dearest was charged; the rest has been given back, with an entry in
the ledger. Every exchange is charged like any other, by the statement that closes it. What is to be given back
follows from the rows, in one transaction with the mark that it was: when a process dies in between, the next call
under the key or the worker makes up for it.

One exchange at a time holds a key, from before it is opened until it is counted. Keys and bodies are kept as digests
that nobody can test guesses against without the server's secret.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from shared_accounts import crypto
from shared_accounts.errors import Conflict, InvalidRequest
from shared_accounts.extensions import db
from shared_accounts.gateway.models import IdempotencyKey
from shared_accounts.quotas import ledger
from shared_accounts.usage.models import UsageLog

HEADER = "Idempotency-Key"

_KEY = re.compile(r"[ -~]{1,255}")
_REMEMBERED = timedelta(days=1)
_OPENING_TAKES = timedelta(minutes=1)
"""After so long a worker that claimed a key and opened nothing is dead."""
_MOST_CHARGES = 3
"""As often as SDKs send a call: more would be many answers for the price of one."""


class KeyInUse(Conflict):
    """An earlier call under the same key is still being answered; SDKs come again."""

    code = openai_code = "idempotency_key_in_use"
    message = "An earlier request with this Idempotency-Key is still being answered."
    field = HEADER
    retry_after = 1


class KeyMisused(InvalidRequest):
    """The key is none, belongs to another body, or has been used too often."""

    status = HTTPStatus.BAD_REQUEST
    code = openai_code = "idempotency_key_misused"
    field = HEADER


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call under a key, and the exchange that will be opened for it."""

    user_id: int
    key_digest: bytes
    body_digest: bytes
    exchange_id: str


def attempt(secret: str, user_id: int, key: str, body: bytes, exchange_id: str) -> Attempt:
    """Describe a call by digests made with the server's secret; raises `KeyMisused` for a key that cannot be one."""
    if not _KEY.fullmatch(key):
        raise KeyMisused(f"{HEADER} has to be 1 to 255 printable ASCII characters.")
    salt = crypto.derive(secret, b"idempotency keys")
    key_digest = hmac.digest(salt, b"key:" + key.encode(), "sha256")
    body_digest = hmac.digest(salt, b"body:" + body, "sha256")
    return Attempt(user_id, key_digest, body_digest, exchange_id)


def claim(call: Attempt) -> None:
    """Let this exchange hold the key; raises `KeyInUse` or `KeyMisused`, and changes nothing then."""
    row, is_forgotten = _first_or_again(call)
    if is_forgotten:
        row.body_digest = call.body_digest
    if row.body_digest != call.body_digest:
        raise KeyMisused(f"This {HEADER} has come with another request; a new request needs a new one.")
    _count(row)
    if row.exchange_id is not None:
        raise KeyInUse
    if is_forgotten:
        row.charged = row.charges = 0
    if row.charges >= _MOST_CHARGES:
        raise KeyMisused(f"This request has been answered {_MOST_CHARGES} times; send a new {HEADER}.")
    row.exchange_id = UUID(call.exchange_id)
    row.claimed_at = func.now()
    db.session.flush()


def conclude(call: Attempt) -> None:
    """Count the exchange, whose answer is over, and let go of the key; twice is harmless.

    An exchange that could not be closed yet keeps it.
    """
    mine = (
        IdempotencyKey.user_id == call.user_id,
        IdempotencyKey.key_digest == call.key_digest,
        IdempotencyKey.exchange_id == call.exchange_id,
    )
    row = db.session.scalar(select(IdempotencyKey).where(*mine).with_for_update())
    if row is not None:
        _count(row, is_over=True)


def count_next() -> bool:
    """Count an exchange that nobody has counted, as its worker died; returns whether there was one."""
    left = select(IdempotencyKey).outerjoin(UsageLog, UsageLog.id == IdempotencyKey.exchange_id)
    over = (UsageLog.state == "closed") | (UsageLog.id.is_(None) & _older_than(_OPENING_TAKES))
    left = left.where(IdempotencyKey.exchange_id.is_not(None), over).order_by(IdempotencyKey.claimed_at).limit(1)
    row = db.session.scalar(left.with_for_update(of=IdempotencyKey, skip_locked=True))
    if row is None:
        return False
    _count(row)
    return True


def forget_old() -> int:
    """Delete the keys that no call has come under for a day; returns how many."""
    old = delete(IdempotencyKey).where(_older_than(_REMEMBERED), IdempotencyKey.exchange_id.is_(None))
    return len(db.session.execute(old.returning(IdempotencyKey.user_id)).all())


def _first_or_again(call: Attempt) -> tuple[IdempotencyKey, bool]:
    """Lock the key's row, made if it is new; tells whether it has lain there for longer than it is remembered."""
    fresh = {"user_id": call.user_id, "key_digest": call.key_digest, "body_digest": call.body_digest}
    made = upsert(IdempotencyKey).values(fresh)
    known = made.on_conflict_do_update(
        index_elements=["user_id", "key_digest"], set_={"key_digest": made.excluded.key_digest}
    )
    row, is_old = db.session.execute(known.returning(IdempotencyKey, _older_than(_REMEMBERED))).one()
    return row, is_old


def _count(row: IdempotencyKey, *, is_over: bool = False) -> None:
    """Count the exchange that holds a locked key, if it is closed, and give back what the key had paid before."""
    if row.exchange_id is None:
        return
    line = db.session.execute(
        select(UsageLog.state, UsageLog.model_group, UsageLog.charged).where(UsageLog.id == row.exchange_id)
    ).one_or_none()
    if line is None:
        # Nothing was opened: refused before it came to that, or its worker died in that moment.
        if not is_over and not db.session.scalar(select(_older_than(_OPENING_TAKES)).where(_is(row))):
            return
    elif line.state == "open":
        return
    else:
        _give_back(row, line.model_group, min(line.charged, row.charged))
        row.charged = max(line.charged, row.charged)
        row.charges += line.charged > 0
    row.exchange_id = None
    db.session.flush()


def _give_back(row: IdempotencyKey, model_group: str, amount: int) -> None:
    pool = ledger.locked([row.user_id], model_group).get(row.user_id) if amount else None
    if pool is None:
        return
    if pool.balance <= pool.capacity:  # a refill may have come in between and made up for the charge
        amount = min(amount, pool.capacity - pool.balance)
    note = f"{HEADER}: exchange {row.exchange_id} was a request sent again, and charged before."
    ledger.correct(pool, amount, actor_id=row.user_id, note=note)


def _is(row: IdempotencyKey) -> ColumnElement[bool]:
    return (IdempotencyKey.user_id == row.user_id) & (IdempotencyKey.key_digest == row.key_digest)


def _older_than(span: timedelta) -> ColumnElement[bool]:
    return IdempotencyKey.claimed_at < func.now() - span
