"""Tokens for people: a JWT says which session, the session's row says whether it is still good."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import jwt
from flask_jwt_extended import create_access_token
from flask_jwt_extended.config import config
from sqlalchemy import func, update

from shared_accounts.auth.models import Session
from shared_accounts.errors import NotSignedIn
from shared_accounts.extensions import db, statements
from shared_accounts.keys.keyring import KNOWN, to_caller
from shared_accounts.users.models import User
from shared_accounts.users.roster import Caller

_CLAIMS = ("exp", "iat", "iss", "aud", "sub", "jti", "sid", "type")
_LONGEST_USER_AGENT = 200

statements.register("caller_by_session", ["uuid"], KNOWN.format(key="null", session="$1"))


@dataclass(frozen=True, slots=True)
class Issued:
    """A fresh sign-in; `expires_in` counts seconds."""

    access_token: str
    expires_in: int
    session_id: UUID


def issue(user: User, *, user_agent: str | None, address: str | None) -> Issued:
    """Open a session for `user` and sign a token for it; each call is a session of its own."""
    life = config.access_expires or timedelta.max
    session = Session(
        id=uuid.uuid4(),
        user_id=user.id,
        expires_at=func.now() + life,
        user_agent=user_agent and user_agent[:_LONGEST_USER_AGENT],
        address=address,
    )
    db.session.add(session)
    db.session.flush()
    claims = {"sid": str(session.id), "username": user.username}
    token: str = create_access_token(identity=str(user.id), additional_claims=claims)
    return Issued(token, int(life.total_seconds()), session.id)


def read(token: str) -> UUID:
    """Return the session a token names, after every check that needs no database; raises `NotSignedIn`.

    PyJWT is asked directly: flask-jwt-extended takes a token without `exp`, `jti` or `type` for an access token.
    """
    try:
        claims = jwt.decode(
            token,
            config.decode_key,
            algorithms=config.decode_algorithms,
            audience=config.decode_audience,
            issuer=config.decode_issuer,
            options={"require": list(_CLAIMS)},
        )
        session_id = UUID(claims["sid"])
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        # The header is read before the signature is checked, so a stranger chooses what the parser meets.
        raise NotSignedIn from error
    if claims["type"] != "access":
        raise NotSignedIn
    return session_id


def authenticate(session_id: UUID) -> Caller | None:
    """Return whose session this is, in whatever state she is; None when it was revoked or has expired."""
    row = statements.row("caller_by_session", session_id)
    return to_caller(row, session_id=session_id)


def revoke(session_id: UUID) -> None:
    """End a session at once; twice is harmless."""
    ended = update(Session).where(Session.id == session_id, Session.revoked_at.is_(None))
    db.session.execute(ended.values(revoked_at=func.now()))
