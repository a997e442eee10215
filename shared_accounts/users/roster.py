"""Who is here: the one way in, and how to find somebody again."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from uuid import UUID

from psycopg2.errors import UniqueViolation
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from shared_accounts.errors import Conflict, NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.users.models import User

_SHORTEST, _LONGEST = 3, 50


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is making a gateway request, and by which credential: a key or a session, never both."""

    user_id: int
    state: str
    prefer_shared: bool
    use_only_dedicated: bool
    api_key_id: int | None
    fingerprint: bytes | None
    session_id: UUID | None


def register(username: str, *, password_hash: str | None = None, role: str = "user") -> User:
    """Let somebody in, by whichever door she came; `Conflict` when the name is taken in any spelling of case.

    A savepoint holds the insert, so that losing a race for a name leaves the caller's transaction usable.
    """
    name = _canonical(username)
    if not _SHORTEST <= len(name) <= _LONGEST or not _is_printable(name):
        message = f"A user name has {_SHORTEST} to {_LONGEST} characters, none of them invisible."
        raise Unprocessable(message, field="username")
    user = User(username=name, password_hash=password_hash, role=role)
    try:
        with db.session.begin_nested():
            db.session.add(user)
    except IntegrityError as error:
        if not isinstance(error.orig, UniqueViolation):
            raise
        raise Conflict("This user name is taken.", field="username") from error
    return user


def get(user_id: int) -> User:
    """Return the user; raises `NotFound`."""
    user = db.session.get(User, user_id)
    if user is None:
        raise NotFound
    return user


def find_by_username(username: str) -> User | None:
    """Find a user by name, in any spelling of case."""
    name = _canonical(username)
    if not _is_printable(name):
        return None
    return db.session.scalar(select(User).where(func.lower(User.username) == func.lower(name)))


def all() -> list[User]:  # noqa: A001 - read as roster.all()
    """Return everybody, oldest first."""
    return list(db.session.scalars(select(User).order_by(User.id)))


def _canonical(username: str) -> str:
    return unicodedata.normalize("NFC", username).strip()


def _is_printable(name: str) -> bool:
    return not any(unicodedata.category(character)[0] == "C" for character in name)
