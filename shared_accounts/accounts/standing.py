"""What an upstream's answer means for the account: nothing, a pause, a strike, or the end of its service.

A caller's own bad request is never held against an account. Each verdict is one small statement, so that two
workers who meet the same refusal agree on the longer pause.
"""

from __future__ import annotations

import logging

from sqlalchemy import update

from shared_accounts.accounts.models import OUT_OF_SERVICE, Account
from shared_accounts.extensions import db, statements
from shared_accounts.quotas import ledger

log = logging.getLogger(__name__)

LONGEST_COOLDOWN = 24 * 3600
_STRIKES_OUT = 3

# A pause nobody named doubles with every refusal in a row; a success forgets them.
statements.register(
    "cool_account",
    ("bigint", "double precision", "double precision", "text"),
    f"""update accounts set strikes = strikes + 1, state_reason = $4, cooling_until = greatest(cooling_until, now()
        + make_interval(secs => coalesce($2, least({LONGEST_COOLDOWN}, $3 * 2 ^ least(strikes, 20)))))
    where id = $1 and state = 'active'""",
)
# The circuit opens at the third strike in a row and lets one more try through each time the pause ends.
statements.register(
    "strike_account",
    ("bigint", "double precision", "text"),
    f"""update accounts set strikes = strikes + 1, state_reason = $3, cooling_until = case
        when strikes + 1 < {_STRIKES_OUT} then cooling_until
        else greatest(cooling_until, now() + make_interval(secs =>
            least({LONGEST_COOLDOWN}, $2 * 2 ^ least(strikes + 1 - {_STRIKES_OUT}, 20)))) end
    where id = $1 and state = 'active'""",
)
statements.register(
    "clear_account",
    ("bigint",),
    "update accounts set strikes = 0, state_reason = null, cooling_until = null where id = $1 and state = 'active'",
)


def cool(account_id: int, *, seconds: float | None, default: float, reason: str) -> None:
    """Pause the account for the time the upstream named, within 1 s and 24 h, else for the default, doubling."""
    named = None if seconds is None else min(max(seconds, 1.0), LONGEST_COOLDOWN)
    statements.row("cool_account", account_id, named, default, reason)


def strike(account_id: int, *, default: float, reason: str) -> None:
    """Count a failure; three in a row pause the account, each further one for twice as long."""
    statements.row("strike_account", account_id, default, reason)


def clear(account_id: int) -> None:
    """Forget strikes: it has just served."""
    statements.row("clear_account", account_id)


def take_out(account_id: int, state: str, reason: str) -> bool:
    """Move an account out of service, its part of the refill to rest; returns whether it was in service."""
    return _move(account_id, "active", state, reason, resting=True)


def bring_back(account_id: int, state: str) -> bool:
    """Return an account from this state to service; its part of the refill resumes."""
    return _move(account_id, state, "active", None, resting=False)


def _move(account_id: int, old: str, new: str, reason: str | None, *, resting: bool) -> bool:
    if (new if resting else old) not in OUT_OF_SERVICE:
        raise ValueError(new)
    moved = db.session.execute(
        update(Account)
        .where(Account.id == account_id, Account.state == old)
        .values(state=new, state_reason=reason, cooling_until=None, strikes=0)
        .returning(Account.id)
    )
    if moved.first() is None:
        return False
    ledger.rest(account_id, resting=resting)
    log.info("account moved", extra={"account_id": account_id, "from": old, "to": new})
    return True
