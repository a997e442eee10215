"""The last step of every way in: a session, or first the second factor.

Invariant: who has confirmed a second factor gets no session without it, by whichever way she proved the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func

from shared_accounts.audit import trail
from shared_accounts.auth import factors, tickets, tokens
from shared_accounts.auth.refused import SessionOver
from shared_accounts.crypto import Vault
from shared_accounts.errors import UserDisabled
from shared_accounts.extensions import db
from shared_accounts.users import roster
from shared_accounts.users.models import User

CHALLENGE_SECONDS = 300

_KIND = "second factor"


@dataclass(frozen=True, slots=True)
class Device:
    """Where somebody signs in."""

    user_agent: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a code of the second factor has to be sent with, within five minutes."""

    secret: str


def arrive(user: User, method: str, device: Device, vault: Vault) -> tokens.Issued | Challenge:
    """Open a session for somebody who proved a first factor, or ask for the second one."""
    if factors.enrolled(user.id):
        return Challenge(tickets.issue(vault, _KIND, {"user": user.id, "method": method}, seconds=CHALLENGE_SECONDS))
    return _open(user, method, device, second_factor=False)


def challenged(challenge: str, vault: Vault) -> tuple[User, str]:
    """Return whom a challenge was given to and how she proved the first factor; raises `SessionOver`."""
    payload = tickets.look_at(vault, _KIND, challenge)
    if payload is None:
        raise SessionOver
    return roster.get(payload["user"]), payload["method"]


def answer(challenge: str, code: str, device: Device, vault: Vault) -> tuple[User, tokens.Issued]:
    """Open a session for the right code; raises `WrongCode`, `SessionOver` or `UserDisabled`."""
    user, method = challenged(challenge, vault)
    factors.check(user.id, code, vault)
    if tickets.redeem(vault, _KIND, challenge) is None:
        raise SessionOver
    return user, _open(user, method, device, second_factor=True)


def prove(user: User, method: str, code: str, device: Device, vault: Vault) -> tokens.Issued:
    """Open a session for somebody who sent both factors at once; raises `WrongCode`."""
    factors.check(user.id, code, vault)
    return _open(user, method, device, second_factor=True)


def _open(user: User, method: str, device: Device, *, second_factor: bool) -> tokens.Issued:
    if user.state == "disabled":
        raise UserDisabled
    issued = tokens.issue(
        user, method=method, second_factor=second_factor, user_agent=device.user_agent, address=device.address
    )
    user.last_login_at = func.now()
    trail.record("sign_in.accepted", on=user.id, actor=user.id, method=method, second_factor=second_factor)
    db.session.flush()
    return issued
