"""/api/auth: coming in, going out, and who one is."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import g, request
from marshmallow import Schema, fields, validate
from redis import RedisError

from shared_accounts.auth import signin, tokens
from shared_accounts.auth.guards import signed_in
from shared_accounts.crypto import fingerprint
from shared_accounts.errors import InvalidCredentials
from shared_accounts.extensions import db, limiter
from shared_accounts.json_bodies import Done, Door, Text
from shared_accounts.requests_in import settings
from shared_accounts.users import roster
from shared_accounts.users.models import User

log = logging.getLogger(__name__)

blp = Door("auth", __name__, url_prefix="/api/auth", description="Signing in and out")


class Credentials(Schema):
    """What somebody signs in with."""

    username = Text(min=1, max=50, required=True)
    password = fields.String(required=True, validate=validate.Length(min=1, max=1024), metadata={"format": "password"})


class UserSchema(Schema):
    """A user as she sees herself."""

    id = fields.Integer()
    username = fields.String()
    avatar_url = fields.String()
    trust_level = fields.Integer()
    role = fields.String()
    is_active = fields.Function(lambda user: user.state != "disabled", metadata={"type": "boolean"})
    is_silenced = fields.Function(lambda user: user.state == "silenced", metadata={"type": "boolean"})
    beta = fields.Constant(0, metadata={"type": "integer", "description": "The original front end asks for it"})
    created_at = fields.DateTime()
    last_login_at = fields.DateTime()
    use_only_dedicated = fields.Boolean()
    prefer_shared = fields.Boolean()


class SignedIn(Schema):
    """A fresh sign-in."""

    access_token = fields.String()
    token_type = fields.Constant("bearer", metadata={"type": "string"})
    expires_in = fields.Integer(metadata={"description": "Seconds"})
    user = fields.Nested(UserSchema)


@blp.post("/login")
@blp.arguments(Credentials)
@blp.response(200, SignedIn)
@blp.refuses(401, 403, 422, 429)
def login(body: dict[str, str]) -> dict[str, Any]:
    """Exchange a user name and a password for a token.

    A wrong name and a wrong password get the same answer. Wrong attempts are limited per name and address,
    and per name from everywhere; the answer is then 429 with `Retry-After`, before the password is looked at.
    """
    with _counting_wrong_attempts(body["username"]):
        user = signin.with_password(body["username"], body["password"])
    issued = tokens.issue(user, user_agent=request.user_agent.string, address=request.remote_addr)
    db.session.commit()
    log.info("signed in", extra={"user_id": user.id, "address": request.remote_addr})
    return {"access_token": issued.access_token, "expires_in": issued.expires_in, "user": user}


@blp.post("/logout")
@signed_in
@blp.response(200, Done)
def logout() -> dict[str, Any]:
    """End this session; its token is worthless from now on, other sessions go on."""
    tokens.revoke(g.person.session_id)
    db.session.commit()
    return {"message": "Signed out.", "success": True}


@blp.get("/me")
@signed_in
@blp.response(200, UserSchema)
def me() -> User:
    """Show who is signed in."""
    return roster.get(g.person.id)


@contextmanager
def _counting_wrong_attempts(username: str) -> Iterator[None]:
    """Count an attempt before it is made, so that parallel guesses all count, and take it back unless it was wrong."""
    # No name lies in Redis, and every spelling of a name counts as one.
    g.attempted = fingerprint(unicodedata.normalize("NFKC", username).casefold()).hex()
    _count_attempt()
    wrong = False
    try:
        yield
    except InvalidCredentials:
        wrong = True
        log.warning("sign-in refused", extra={"attempted": g.attempted, "address": request.remote_addr})
        raise
    finally:
        if not wrong:
            _uncount_attempt()


@limiter.limit(lambda: settings().login_limit_per_account, key_func=lambda: str(g.attempted))
@limiter.limit(lambda: settings().login_limit, key_func=lambda: f"{g.attempted}:{request.remote_addr}")
def _count_attempt() -> None:
    """Raise `RateLimitExceeded` when there were too many."""


def _uncount_attempt() -> None:
    try:
        for used in limiter.current_limits:
            limiter.limiter.hit(used.limit, *used.request_args, cost=-1)
    except RedisError:
        log.warning("an attempt could not be taken back; it counts as a wrong one")
