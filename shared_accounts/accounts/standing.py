"""The life of an account: what an upstream's answer, its owner or an admin makes of it, step by step.

    active <-> cooling        a limit or three failures in a row, until a time; then one more try (half-open)
    active <-> needs_sign_in  the upstream refuses the credential
    active <-> broken         it has failed for so long that its circuit stays open, but for probes
    active <-> paused         by its owner
    any     -> disabled       by an admin, who alone lifts it
    any     -> draining -> withdrawn

Invariant: every step is a row of `account_events` with its cause, written by the statement that makes it; and who
leaves service takes the account's part of the refill along, who returns brings it back. A caller's own bad request
is never held against an account. Each verdict is one small statement, so that two workers who meet the same refusal
agree on the longer pause.
"""

from __future__ import annotations

import logging

from sqlalchemy import insert, select, update

from shared_accounts.accounts.models import OUT_OF_SERVICE, Account, AccountEvent
from shared_accounts.extensions import db, statements
from shared_accounts.quotas import ledger

log = logging.getLogger(__name__)

LONGEST_COOLDOWN = 24 * 3600
STRIKES_BROKEN = 12
"""So many failures in a row, the last of them hours apart, and the account is taken out until a probe succeeds."""

_STRIKES_OUT = 3

# A pause nobody named doubles with every refusal in a row; a success forgets them.
statements.register(
    "cool_account",
    ("bigint", "double precision", "double precision", "text", "uuid"),
    f"""with moved as (
        update accounts set strikes = strikes + 1, state_reason = $4, cooling_until = greatest(cooling_until, now()
            + make_interval(secs => coalesce($2, least({LONGEST_COOLDOWN}, $3 * 2 ^ least(strikes, 20)))))
        where id = $1 and state = 'active' returning id, cooling_until)
    insert into account_events (account_id, from_state, to_state, reason, until, exchange_id)
    select id, 'active', 'cooling', $4, cooling_until, $5 from moved""",
)
# The circuit opens at the third strike in a row and lets one more try through each time the pause ends.
statements.register(
    "strike_account",
    ("bigint", "double precision", "text", "uuid"),
    f"""with moved as (
        update accounts set strikes = strikes + 1, state_reason = $3, cooling_until = case
            when strikes + 1 < {_STRIKES_OUT} then cooling_until
            else greatest(cooling_until, now() + make_interval(secs =>
                least({LONGEST_COOLDOWN}, $2 * 2 ^ least(strikes + 1 - {_STRIKES_OUT}, 20)))) end
        where id = $1 and state = 'active' returning id, strikes, cooling_until)
    insert into account_events (account_id, from_state, to_state, reason, until, exchange_id)
    select id, 'active', 'cooling', $3, cooling_until, $4 from moved where strikes >= {_STRIKES_OUT}""",
)
statements.register(
    "clear_account",
    ("bigint", "uuid"),
    """with held as (select id, cooling_until from accounts where id = $1 and state = 'active' for update),
    moved as (
        update accounts set strikes = 0, state_reason = null, cooling_until = null from held
        where accounts.id = held.id returning held.id, held.cooling_until as cooled)
    insert into account_events (account_id, from_state, to_state, reason, exchange_id)
    select id, 'cooling', 'active', 'it has served', $2 from moved where cooled is not null""",
)


def cool(
    account_id: int, *, seconds: float | None, default: float, reason: str, exchange_id: str | None = None
) -> None:
    """Pause the account for the time the upstream named, within 1 s and 24 h, else for the default, doubling."""
    named = None if seconds is None else min(max(seconds, 1.0), LONGEST_COOLDOWN)
    statements.rows("cool_account", account_id, named, default, reason, exchange_id)


def strike(account_id: int, *, default: float, reason: str, exchange_id: str | None = None) -> None:
    """Count a failure; three in a row pause the account, each further one for twice as long."""
    statements.rows("strike_account", account_id, default, reason, exchange_id)


def clear(account_id: int, exchange_id: str | None = None) -> None:
    """Forget strikes: it has just served."""
    statements.rows("clear_account", account_id, exchange_id)


def take_out(
    account_id: int, state: str, reason: str, *, actor_id: int | None = None, exchange_id: str | None = None
) -> bool:
    """Move an account out of service, its part of the refill to rest; returns whether it was in service."""
    moved = _move(account_id, "active", state, reason, actor_id=actor_id, exchange_id=exchange_id)
    if moved:
        ledger.rest(account_id, resting=True)
    return moved


def bring_back(account_id: int, state: str, *, reason: str | None = None, actor_id: int | None = None) -> bool:
    """Return an account from this state to service; its part of the refill resumes. The next request can use it."""
    moved = _move(account_id, state, "active", reason, actor_id=actor_id)
    if moved:
        ledger.rest(account_id, resting=False)
    return moved


def disable(account_id: int, reason: str, *, actor_id: int) -> bool:
    """Take an account out whatever its state, for an admin; tells whether there was anything to take out."""
    state = db.session.scalar(select(Account.state).where(Account.id == account_id).with_for_update())
    if state in {None, "disabled", "draining", "withdrawn"}:
        return False
    ledger.rest(account_id, resting=True)
    return _move(account_id, str(state), "disabled", reason, actor_id=actor_id)


def note(account_id: int, old: str | None, new: str, reason: str | None, *, actor_id: int | None = None) -> None:
    """Write a step down that was made elsewhere: the first, and the last two."""
    event = {"account_id": account_id, "from_state": old, "to_state": new, "reason": reason, "actor_id": actor_id}
    db.session.execute(insert(AccountEvent).values(event))


def events(account_id: int) -> list[AccountEvent]:
    """Return an account's last hundred steps, the newest first."""
    query = select(AccountEvent).where(AccountEvent.account_id == account_id).order_by(AccountEvent.id.desc())
    return list(db.session.scalars(query.limit(100)))


def _move(
    account_id: int,
    old: str,
    new: str,
    reason: str | None,
    *,
    actor_id: int | None = None,
    exchange_id: str | None = None,
) -> bool:
    if not {old, new} & set(OUT_OF_SERVICE):
        raise ValueError(new)
    moved = db.session.execute(
        update(Account)
        .where(Account.id == account_id, Account.state == old)
        .values(state=new, state_reason=reason if new != "active" else None, cooling_until=None, strikes=0)
        .returning(Account.id)
    )
    if moved.first() is None:
        return False
    event = {"account_id": account_id, "from_state": old, "to_state": new, "reason": reason}
    db.session.execute(insert(AccountEvent).values(**event, actor_id=actor_id, exchange_id=exchange_id))
    log.info("account moved", extra={"account_id": account_id, "from": old, "to": new})
    return True
