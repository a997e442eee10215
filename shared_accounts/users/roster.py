"""Who is here: the one way in, and how to find somebody again."""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass
from uuid import UUID

from psycopg2.errors import UniqueViolation
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import IntegrityError

from shared_accounts.audit import trail
from shared_accounts.errors import Conflict, NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.users.models import User

_SHORTEST, _LONGEST = 3, 50
_MOST_NAMESAKES = 30
NEWCOMERS = "newcomers"
"""Where a session notes whom it lets in, for whoever provides for them once it has committed."""


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
    requests_per_minute: int | None = None
    has_accounts: bool = True
    """Whether she may have accounts of her own; for who has none they need not be looked for."""


def register(
    username: str,
    *,
    password_hash: str | None = None,
    role: str = "user",
    how: str = "operator",
    invitation_id: int | None = None,
) -> User:
    """Let somebody in, by whichever door she came; `Conflict` when the name is taken in any spelling of case.

    Every way to exist here leads through this function. A savepoint holds the insert, so that losing a race for a
    name leaves the caller's transaction usable.
    """
    name = _canonical(username)
    if not _SHORTEST <= len(name) <= _LONGEST or not _is_printable(name):
        message = f"A user name has {_SHORTEST} to {_LONGEST} characters, none of them invisible."
        raise Unprocessable(message, field="username")
    user = User(username=name, password_hash=password_hash, role=role, invitation_id=invitation_id)
    try:
        with db.session.begin_nested():
            db.session.add(user)
    except IntegrityError as error:
        if not isinstance(error.orig, UniqueViolation):
            raise
        raise Conflict("This user name is taken.", field="username") from error
    trail.record("user.registered", on=user.id, how=how, role=role)
    db.session().info.setdefault(NEWCOMERS, []).append(user.id)
    return user


def register_like(wanted: str, *, how: str) -> User:
    """Let somebody in under a name as near as can be to the one she has elsewhere, with a number if it is taken."""
    name = "".join(character for character in _canonical(wanted) if _is_printable(character)).strip()[:_LONGEST]
    name = name if len(name) >= _SHORTEST else f"{name}{'_' * (_SHORTEST - len(name))}"
    for number in range(1, _MOST_NAMESAKES):
        suffix = f"-{number}" if number > 1 else ""
        try:
            return register(f"{name[: _LONGEST - len(suffix)]}{suffix}", how=how)
        except Conflict:
            continue
    return register(f"{name[: _LONGEST - 9]}-{secrets.token_hex(4)}", how=how)


def get(user_id: int) -> User:
    """Return the user; raises `NotFound`."""
    user = db.session.get(User, user_id)
    if user is None:
        raise NotFound
    return user


def set_password(user_id: int, password_hash: str, *, instead_of: str | None) -> bool:
    """Replace a password's hash; tells whether the old one still was the one expected."""
    mine = update(User).where(User.id == user_id, User.password_hash.is_not_distinct_from(instead_of))
    return db.session.scalar(mine.values(password_hash=password_hash).returning(User.id)) is not None


def reset_password(user_id: int, password_hash: str) -> None:
    """Replace a password's hash, whatever it was; raises `NotFound`."""
    hers = update(User).where(User.id == user_id).values(password_hash=password_hash)
    if db.session.scalar(hers.returning(User.id)) is None:
        raise NotFound


def find_by_username(username: str) -> User | None:
    """Find a user by name, in any spelling of case."""
    name = _canonical(username)
    if not _is_printable(name):
        return None
    return db.session.scalar(select(User).where(func.lower(User.username) == func.lower(name)))


def named_like(part: str) -> ColumnElement[bool]:
    """Return the condition that a name contains this, in any spelling of case; no character of it is a wildcard."""
    return User.username.icontains(_canonical(part), autoescape=True)


def all() -> list[User]:  # noqa: A001 - read as roster.all()
    """Return everybody, oldest first."""
    return list(db.session.scalars(select(User).order_by(User.id)))


def _canonical(username: str) -> str:
    return unicodedata.normalize("NFC", username).strip()


def _is_printable(name: str) -> bool:
    return not any(unicodedata.category(character)[0] == "C" for character in name)
