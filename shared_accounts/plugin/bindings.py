"""The rows that tie our users to the Plug-in's: claimed by one worker at a time, and sealed.

Invariant: only whoever holds a row's claim writes to it, and once a claim has run out anybody may take it over: what a
worker that was frozen learned too late changes nothing. So of all that race for a user one keeps what it found, and
hers is the one credential we have. Whoever dies with a claim leaves the row due.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import orjson
from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from shared_accounts.accounts.models import Account
from shared_accounts.crypto import Vault
from shared_accounts.extensions import db
from shared_accounts.plugin.client import Counterpart
from shared_accounts.plugin.models import PluginBinding
from shared_accounts.users.models import User

_CLAIM = timedelta(minutes=2)  # longer than a task may run
_FIRST_WAIT, _LONGEST_WAIT = 5, 600
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one user's binding for a moment."""

    id: UUID
    user_id: int
    prefer_shared: bool
    name: str
    attempts: int
    sealed: bytes | None
    account_id: int | None


def take(user_id: int, *, again: bool) -> Claim | None:
    """Claim a user's binding, which is made if she has none; nothing when it is done or somebody else is at it.

    `again` takes one that is done, too. A disabled user gets none.
    """
    user = db.session.get(User, user_id)
    if user is None or user.state == "disabled":
        return None
    claim, now = uuid4(), func.now()
    mine = {"claim": claim, "claimed_until": now + _CLAIM, "next_attempt_at": now, "updated_at": now}
    row = insert(PluginBinding).values(user_id=user_id, name=_name(user.username), attempts=1, **mine)
    taken = row.on_conflict_do_update(
        index_elements=["user_id"],
        set_={**mine, "attempts": PluginBinding.attempts + 1},
        where=_is_free() & (True if again else PluginBinding.state == "pending"),
    ).returning(PluginBinding.name, PluginBinding.attempts, PluginBinding.sealed_counterpart, PluginBinding.account_id)
    found = db.session.execute(taken).one_or_none()
    return Claim(claim, user_id, user.prefer_shared, *found) if found else None


def hold(claim: Claim) -> bool:
    """Lock the row until the transaction ends; tells whether the claim still counts."""
    return db.session.scalar(select(PluginBinding.user_id).where(_mine(claim)).with_for_update()) is not None


def keep(claim: Claim, counterpart: Counterpart, vault: Vault) -> bool:
    """Seal whom we found or made; tells whether the claim still counted."""
    secret = orjson.dumps([counterpart.user_id, counterpart.api_key]).decode()
    return _write(claim, sealed_counterpart=vault.seal(secret, purpose=_purpose(claim.user_id)))


def finish(claim: Claim, account_id: int | None, *, look_again_in: int) -> bool:
    """Declare it done, to be looked at again after so many seconds: what can be asked for there changes."""
    later = func.now() + timedelta(seconds=look_again_in)
    return _write(
        claim, state="ready", account_id=account_id, problem=None, attempts=0, next_attempt_at=later, **_released()
    )


def postpone(claim: Claim, problem: str) -> bool:
    """Note what went wrong, in our words, and wait before the next attempt, each time twice as long."""
    later = func.now() + timedelta(seconds=wait(claim.attempts))
    return _write(claim, problem=problem, next_attempt_at=later, **_released())


def hasten(user_id: int) -> None:
    """Have a user looked after at the next opportunity: somebody without a claim may have killed her key."""
    hers = update(PluginBinding).where(PluginBinding.user_id == user_id)
    db.session.execute(hers.values(next_attempt_at=func.now()))


def wait(attempts: int) -> int:
    """Return the seconds to wait after so many attempts."""
    return int(min(_FIRST_WAIT * 2 ** min(attempts - 1, 10), _LONGEST_WAIT))


def counterpart(user_id: int, sealed: bytes, vault: Vault) -> Counterpart:
    """Open what `keep` has sealed."""
    return Counterpart(*orjson.loads(vault.unseal(bytes(sealed), purpose=_purpose(user_id))))


def of(user_id: int) -> PluginBinding | None:
    """Return a user's binding."""
    return db.session.get(PluginBinding, user_id)


def is_ready(user_id: int) -> bool:
    """Tell whether a user's counterpart is there and her key with us."""
    return db.session.scalar(select(PluginBinding.state).where(PluginBinding.user_id == user_id)) == "ready"


def at_rest() -> list[tuple[int, str, bytes]]:
    """Return the users whose counterpart is kept and whom nobody is at: id, name there, sealed counterpart."""
    query = select(PluginBinding.user_id, PluginBinding.name, PluginBinding.sealed_counterpart)
    return list(db.session.execute(query.where(_is_free(), PluginBinding.sealed_counterpart.is_not(None))).tuples())  # type: ignore[arg-type]


def seen() -> Select[tuple[int, str, str, str | None, int, datetime, int | None, datetime]]:
    """Select everybody, newest first, and how far she is; never her key.

    `state` is `none` until somebody has begun, and the times are null.
    """
    return (
        select(
            User.id.label("user_id"),
            User.username,
            func.coalesce(PluginBinding.state, "none").label("state"),
            PluginBinding.problem,
            func.coalesce(PluginBinding.attempts, 0).label("attempts"),
            PluginBinding.next_attempt_at,
            PluginBinding.account_id,
            PluginBinding.updated_at,
        )
        .outerjoin(PluginBinding, PluginBinding.user_id == User.id)
        .order_by(User.id.desc())
    )


def due(most: int = 200) -> list[int]:
    """Return users who wait for their counterpart, or whose account there is missing, refused or to be looked at.

    Who has none yet comes first, however many others are to be looked at.
    """
    is_late = PluginBinding.next_attempt_at <= func.now()
    is_out = Account.state.in_(("needs_sign_in", "broken"))
    query = (
        select(User.id)
        .outerjoin(PluginBinding, PluginBinding.user_id == User.id)
        .outerjoin(Account, Account.id == PluginBinding.account_id)
        .where(User.state != "disabled", or_(PluginBinding.user_id.is_(None), _is_free() & or_(is_late, is_out)))
        .order_by(PluginBinding.state.is_not_distinct_from("ready"), PluginBinding.next_attempt_at.nulls_first())
    )
    return list(db.session.scalars(query.limit(most)))


def _write(held: Claim, **values: object) -> bool:
    written = update(PluginBinding).where(_mine(held)).values(**values, updated_at=func.now())
    return db.session.scalar(written.returning(PluginBinding.user_id)) is not None


def _mine(held: Claim) -> ColumnElement[bool]:
    return and_(PluginBinding.user_id == held.user_id, PluginBinding.claim == held.id)


def _is_free() -> ColumnElement[bool]:
    return or_(PluginBinding.claimed_until.is_(None), PluginBinding.claimed_until < func.now())


def _released() -> dict[str, None]:
    return {"claim": None, "claimed_until": None}


def _name(username: str) -> str:
    # Names need not be unique there; ours must be, or who lost an answer could not find her.
    return f"{username[:_LONGEST_NAME]}-{secrets.token_hex(6)}"


def _purpose(user_id: int) -> str:
    return f"plugin:{user_id}"
