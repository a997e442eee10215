"""Who may pass: people by token at the management doors, tools by key or token at the gateway.

Put `@signed_in` right under the route, above everything that reads the body: a stranger learns nothing about
what a body should look like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from flask import g, request
from flask_smorest import Blueprint
from sqlalchemy import Interval, func, select, type_coerce

from shared_accounts import live_settings
from shared_accounts.asked import asked
from shared_accounts.auth import tokens
from shared_accounts.auth.models import Session
from shared_accounts.auth.refused import SecondFactorMissing, StaleSignIn
from shared_accounts.errors import Forbidden, InvalidApiKey, NotSignedIn, UserDisabled, UserSilenced
from shared_accounts.extensions import db, statements
from shared_accounts.json_bodies import Refusal
from shared_accounts.keys import keyring
from shared_accounts.requests_in import settings, speaks_google
from shared_accounts.users.models import User
from shared_accounts.users.roster import Caller

P = ParamSpec("P")
R = TypeVar("R")

_A_MINUTE = timedelta(minutes=1)
_KEY_HEADERS = ("HTTP_X_API_KEY", "HTTP_API_KEY")  # as WSGI has them: to ask Werkzeug for each costs a chat 1 %

statements.register(
    "session_seen",
    ["uuid"],
    """update sessions set last_seen_at = now()
    where id = $1 and last_seen_at < now() - interval '1 minute' returning id""",
)

_REFUSAL = {"application/json": {"schema": Refusal}}
_DOCUMENTED: dict[str, Any] = {
    "security": [{"bearer": []}],
    "responses": {
        401: {"description": "No usable token came with the request.", "content": _REFUSAL},
        403: {"description": "You may not do this: disabled, silenced or not an admin.", "content": _REFUSAL},
    },
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, as a management view needs it."""

    id: int
    username: str
    role: str
    state: str
    session_id: UUID
    second_factor: bool
    since_sign_in: timedelta
    since_seen: timedelta


@dataclass(frozen=True, slots=True)
class Credential:
    """What came with a gateway request: a key's fingerprint or a session, well-formed but not yet looked up."""

    fingerprint: bytes | None
    session_id: UUID | None


def signed_in(view: Callable[P, R]) -> Callable[P, R]:
    """Let only people with a live session in, and leave word in `g.person`."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        g.person = _person()
        return view(*args, **kwargs)

    return Blueprint.doc(**_DOCUMENTED)(guarded)  # type: ignore[no-any-return]


def admin_only(view: Callable[P, R]) -> Callable[P, R]:
    """Let only admins in; where they need a second factor, only with one."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if g.person.role != "admin":
            raise Forbidden
        if not g.person.second_factor and live_settings.current(settings()).require_admin_2fa:
            raise SecondFactorMissing
        return view(*args, **kwargs)

    return signed_in(guarded)


def refuse_silenced() -> None:
    """Stop a silenced person from doing more than read."""
    if g.person.state == "silenced":
        raise UserSilenced


def refuse_stale() -> None:
    """Stop somebody whose sign-in is too long ago for what changes how she signs in."""
    if g.person.since_sign_in > timedelta(minutes=settings().fresh_sign_in_minutes):
        raise StaleSignIn


def credential() -> Credential:
    """Read the credential of a gateway request, without a query.

    Clients differ in where they put it. Two different ones at once are refused: which was meant is not ours
    to guess.
    """
    names: tuple[str, ...] = _KEY_HEADERS
    if speaks_google():
        names = (*names, "HTTP_X_GOOG_API_KEY")
        if "key" in request.args:
            raise NotSignedIn("Send the key in the header x-goog-api-key: addresses end up in logs.")
    found = {value for value in (_bearer(), *map(asked().environ.get, names)) if value}
    if len(found) != 1:
        raise NotSignedIn
    (value,) = found
    if value.startswith("sk-"):
        return Credential(keyring.fingerprint_of(value), None)
    return Credential(None, tokens.read(value))


def caller() -> Caller:
    """Look the credential up; raises `NotSignedIn`, `InvalidApiKey` or `UserDisabled`."""
    found = credential()
    known = None
    if found.fingerprint:
        known = keyring.authenticate(found.fingerprint)
    elif found.session_id:
        known = tokens.authenticate(found.session_id)
    if known is None:
        raise InvalidApiKey if found.fingerprint else NotSignedIn
    if known.state == "disabled":
        raise UserDisabled
    return known


def _person() -> Person:
    session_id = tokens.read(_bearer() or "")
    row = db.session.execute(
        select(
            User.id,
            User.username,
            User.role,
            User.state,
            Session.id,
            Session.second_factor,
            type_coerce(func.now() - Session.authenticated_at, Interval),
            type_coerce(func.now() - Session.last_seen_at, Interval),
        )
        .join(Session, Session.user_id == User.id)
        .where(Session.id == session_id, Session.revoked_at.is_(None), Session.expires_at > func.now())
    ).one_or_none()
    if row is None:
        raise NotSignedIn
    person = Person(*row)
    if person.state == "disabled":
        raise UserDisabled
    if person.since_seen > _A_MINUTE:
        statements.row("session_seen", person.session_id)
    return person


def _bearer() -> str | None:
    """Return the bearer value; schemes have no case (RFC 9110), and some clients send two spaces."""
    header: list[str] = asked().environ.get("HTTP_AUTHORIZATION", "").split()
    if not header:
        return None
    if len(header) != len(("scheme", "value")) or header[0].lower() != "bearer":
        raise NotSignedIn
    return header[1]
