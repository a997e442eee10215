"""What an admin does at the API and an operator on the command line, done the same way; the door commits."""

from __future__ import annotations

import secrets
from uuid import UUID

from shared_accounts.audit import trail
from shared_accounts.auth import factors, passwords, sessions
from shared_accounts.users import roster
from shared_accounts.users.models import User

_BECAUSE = "ended by an admin"


def register(username: str, password: str | None, *, role: str, how: str) -> tuple[User, str | None]:
    """Let somebody in; without a password one is made up and returned, which nobody can read again.

    Raises `Unprocessable` or `Conflict`. Under gevent a door drops its connection first: bcrypt takes a while.
    """
    hashed, made_up = _new_password(username, password)
    return roster.register(username, password_hash=hashed, role=role, how=how), made_up


def set_password(user_id: int, username: str, password: str | None) -> str | None:
    """Replace a user's password and end all her sessions; one that is made up is returned, as by `register`."""
    hashed, made_up = _new_password(username, password)
    roster.reset_password(user_id, hashed)
    ended = sessions.end_all(user_id, because="the password was reset by an admin")
    trail.record("user.password_reset", on=user_id, sessions_ended=ended)
    return made_up


def reset_second_factor(user_id: int) -> bool:
    """Take a user's second factor away and end all her sessions; tells whether there was one."""
    if not factors.remove(user_id):
        return False
    ended = sessions.end_all(user_id, because="the second factor was reset by an admin")
    trail.record("second_factor.reset", on=user_id, sessions_ended=ended)
    return True


def end_session(user_id: int, session_id: UUID) -> None:
    """End one of a user's sessions; raises `NotFound`."""
    sessions.end(user_id, session_id, because=_BECAUSE)
    trail.record("session.ended", on=user_id, target=f"session:{session_id}")


def end_sessions(user_id: int) -> int:
    """End all of a user's sessions; returns how many there were."""
    ended = sessions.end_all(user_id, because=_BECAUSE)
    trail.record("session.all_ended", on=user_id, sessions=ended)
    return ended


def _new_password(username: str, password: str | None) -> tuple[str, str | None]:
    made_up = secrets.token_urlsafe(15) if password is None else None
    chosen = made_up or password or ""
    passwords.refuse_weak(chosen, username=username)
    return passwords.hash_password(chosen), made_up
