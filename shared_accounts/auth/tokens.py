"""Tokens for people: a JWT says which session, the session's row says whether it is still good.

Invariant: a refresh token is spent once. It carries the generation of its session, each rotation begins the next
generation, and an older token than the last but one (or that one after 30 seconds) can only be a copy: it ends the
session, and with it every token made from it (RFC 9700 section 4.14.2). The half minute is for tabs that refresh
at once and for answers that got lost.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from flask_jwt_extended import create_access_token
from flask_jwt_extended.config import config
from sqlalchemy import func, select, update

from shared_accounts import crypto
from shared_accounts.auth.models import Session
from shared_accounts.auth.refused import ReusedToken, SessionOver
from shared_accounts.errors import NotSignedIn, UserDisabled
from shared_accounts.extensions import db, statements
from shared_accounts.keys.keyring import to_caller
from shared_accounts.keys.known import KNOWN
from shared_accounts.requests_in import settings
from shared_accounts.users.models import User
from shared_accounts.users.roster import Caller

_CLAIMS = ("exp", "iat", "iss", "aud", "sub", "jti", "sid", "type")
_LONGEST_USER_AGENT = 200
_GRACE_SECONDS = 30

statements.register("caller_by_session", ["uuid"], KNOWN.format(key="null", session="$1"))


@dataclass(frozen=True, slots=True)
class Issued:
    """A pair of tokens for one session; `expires_in` counts the seconds of the access token."""

    access_token: str
    refresh_token: str
    expires_in: int
    session_id: UUID


def issue(
    user: User,
    *,
    method: str = "password",
    second_factor: bool = False,
    user_agent: str | None = None,
    address: str | None = None,
) -> Issued:
    """Open a session for `user` and sign its first tokens; each call is a session of its own."""
    session = Session(
        id=uuid.uuid4(),
        user_id=user.id,
        expires_at=func.now() + _idle_life(),
        user_agent=user_agent and user_agent[:_LONGEST_USER_AGENT],
        address=address,
        method=method,
        second_factor=second_factor,
    )
    db.session.add(session)
    db.session.flush()
    return _pair(user, session.id, 0)


def rotate(token: str, *, user_agent: str | None, address: str | None) -> Issued:
    """Exchange a refresh token for a fresh pair; raises `SessionOver`, `ReusedToken` or `UserDisabled`."""
    claims = _decode(token, "refresh", [_refresh_key(secret) for secret in _secrets()])
    live = select(Session, User).join(User, User.id == Session.user_id).where(Session.id == claims["sid"])
    live = live.where(Session.revoked_at.is_(None), Session.expires_at > func.now())
    row = db.session.execute(live.with_for_update(of=Session)).one_or_none()
    if row is None:
        raise SessionOver
    session, user = row
    if user.state == "disabled":
        raise UserDisabled
    if claims["gen"] == session.generation:
        session.generation += 1
        session.rotated_at = func.now()
        session.expires_at = func.least(func.now() + _idle_life(), session.created_at + _whole_life())
    elif not _in_grace(session, claims["gen"]):
        revoke(session.id, because="a refresh token was used twice")
        raise ReusedToken
    session.last_seen_at = func.now()
    session.user_agent, session.address = user_agent and user_agent[:_LONGEST_USER_AGENT], address
    db.session.flush()
    return _pair(user, session.id, session.generation)


def read(token: str) -> UUID:
    """Return the session an access token names, after every check that needs no database; raises `NotSignedIn`."""
    session_id: UUID = _decode(token, "access", _secrets())["sid"]
    return session_id


def authenticate(session_id: UUID) -> Caller | None:
    """Return whose session this is, in whatever state she is; None when it was revoked or has expired."""
    row = statements.row("caller_by_session", session_id)
    return to_caller(row, session_id=session_id)


def revoke(session_id: UUID, *, because: str = "signed out") -> None:
    """End a session at once; twice is harmless."""
    ended = update(Session).where(Session.id == session_id, Session.revoked_at.is_(None))
    db.session.execute(ended.values(revoked_at=func.now(), ended_because=because))


def _in_grace(session: Session, generation: int) -> bool:
    """Tell whether a token of the generation before was replaced only a moment ago, by the database's clock."""
    if generation != session.generation - 1 or session.rotated_at is None:
        return False
    since = select(func.now() - session.rotated_at < timedelta(seconds=_GRACE_SECONDS))
    return bool(db.session.scalar(since))


def _pair(user: User, session_id: UUID, generation: int) -> Issued:
    life = config.access_expires or timedelta.max
    claims = {"sid": str(session_id), "username": user.username}
    access: str = create_access_token(identity=str(user.id), additional_claims=claims)
    now = datetime.now(UTC)
    refresh = {
        "iss": config.encode_issuer,
        "aud": config.encode_audience,
        "sub": str(user.id),
        "sid": str(session_id),
        "jti": str(uuid.uuid4()),
        "type": "refresh",
        "gen": generation,
        "iat": now,
        "exp": now + _idle_life(),
    }
    signed = jwt.encode(refresh, _refresh_key(_secrets()[0]), algorithm=config.algorithm)
    return Issued(access, signed, int(life.total_seconds()), session_id)


def _decode(token: str, kind: str, keys: Iterable[str | bytes]) -> dict[str, Any]:
    """Return the claims; PyJWT is asked directly, for flask-jwt-extended takes a token without `exp` or `type`."""
    for key in keys:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=config.decode_algorithms,
                audience=config.decode_audience,
                issuer=config.decode_issuer,
                options={"require": list(_CLAIMS)},
            )
            claims["sid"] = UUID(claims["sid"])
        except jwt.InvalidSignatureError:
            continue  # an older key's, perhaps
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            # The header is read before the signature is checked, so a stranger chooses what the parser meets.
            raise NotSignedIn from error
        if claims["type"] != kind or (kind == "refresh" and not isinstance(claims.get("gen"), int)):
            raise NotSignedIn
        return claims
    raise NotSignedIn


def _secrets() -> tuple[str, ...]:
    return (settings().jwt_secret_key, *settings().jwt_secret_key_fallbacks)


def _refresh_key(secret: str) -> bytes:
    return crypto.derive(secret, b"refresh token")


def _idle_life() -> timedelta:
    return timedelta(days=settings().refresh_token_expire_days)


def _whole_life() -> timedelta:
    return timedelta(days=settings().session_max_days)
