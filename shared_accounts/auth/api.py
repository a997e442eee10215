"""/api/auth: coming in, staying in, going out, and who one is."""

from __future__ import annotations

import logging
from typing import Any

from flask import current_app, g, request

from shared_accounts.audit import trail
from shared_accounts.auth import arrival, sessions, signin, throttle, tokens
from shared_accounts.auth.arrival import Challenge, Device
from shared_accounts.auth.guards import signed_in
from shared_accounts.auth.refused import ReusedToken, SecondFactorRequired, WrongCode
from shared_accounts.auth.schemas import (
    Answer,
    Credentials,
    Refresh,
    SignedIn,
    SignOut,
    TokenPair,
    UserSchema,
)
from shared_accounts.crypto import Vault
from shared_accounts.errors import InvalidCredentials
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door
from shared_accounts.users import roster
from shared_accounts.users.models import User

log = logging.getLogger(__name__)

blp = Door("auth", __name__, url_prefix="/api/auth", description="Signing in and out")


@blp.post("/login")
@blp.arguments(Credentials)
@blp.response(200, SignedIn)
@blp.refuses(401, 403, 422, 429)
def login(body: dict[str, str]) -> dict[str, Any]:
    """Exchange a user name and a password for a pair of tokens.

    A wrong name and a wrong password get the same answer. Wrong attempts are limited per name and address,
    per name from everywhere and per address; the answer is then 429 with `Retry-After`, before the password is
    looked at. Who has a second factor sends its `code` along, or gets a 401 with `SECOND_FACTOR_REQUIRED` and a
    `challenge` for `/api/auth/login/second-factor`.
    """
    try:
        with throttle.guessing(body["username"]):
            user = signin.with_password(body["username"], body["password"])
    except InvalidCredentials:
        db.session.commit()  # that it was refused stands in the audit log
        raise
    return arrived(user, "password", code=body.get("code"))


@blp.post("/login/second-factor")
@blp.arguments(Answer)
@blp.response(200, SignedIn)
@blp.refuses(401, 403, 422, 429)
def second_factor(body: dict[str, str]) -> dict[str, Any]:
    """Finish a sign-in with a code of the second factor; a wrong one may be tried again, a few times a minute."""
    user, method = arrival.challenged(body["challenge"], vault())
    try:
        with throttle.guessing_code(user.id):
            user, issued = arrival.answer(body["challenge"], body["code"], this_device(), vault())
    except WrongCode:
        _remember_wrong_code(user, method)
        raise
    db.session.commit()
    return _signed_in(user, issued)


@blp.post("/refresh")
@blp.arguments(Refresh)
@blp.response(200, TokenPair)
@blp.refuses(401, 403, 422)
def refresh(body: dict[str, str]) -> tokens.Issued:
    """Exchange a refresh token for the next pair.

    It is good once, and for half a minute after that, for tabs that refresh at the same time. Later it can only be
    a copy, and ends the session.
    """
    device = this_device()
    try:
        issued = tokens.rotate(body["refresh_token"], user_agent=device.user_agent, address=device.address)
    except ReusedToken:
        db.session.commit()  # the session is over, whatever this request gets to hear
        log.warning("a refresh token was used twice", extra={"address": device.address})
        raise
    db.session.commit()
    return issued


@blp.post("/logout")
@signed_in
@blp.arguments(SignOut)
@blp.response(200, Done)
def logout(_: dict[str, Any]) -> dict[str, Any]:
    """End this session; its tokens are worthless from now on, other sessions go on."""
    tokens.revoke(g.person.session_id)
    trail.record("session.ended", on=g.person.id)
    db.session.commit()
    return {"message": "Signed out.", "success": True}


@blp.post("/logout-all")
@signed_in
@blp.response(200, Done)
def logout_all() -> dict[str, Any]:
    """End every session of yours, this one too. API keys go on."""
    ended = sessions.end_all(g.person.id, because="signed out everywhere")
    trail.record("session.all_ended", on=g.person.id, sessions=ended)
    db.session.commit()
    return {"message": "Signed out everywhere.", "success": True}


@blp.get("/me")
@signed_in
@blp.response(200, UserSchema)
def me() -> User:
    """Show who is signed in."""
    return roster.get(g.person.id)


def arrived(user: User, method: str, *, code: str | None = None) -> dict[str, Any]:
    """Finish a sign-in, commit it and return what `SignedIn` shows; raises `SecondFactorRequired` or `WrongCode`."""
    outcome = _with_code(user, method, code) if code else arrival.arrive(user, method, this_device(), vault())
    db.session.commit()
    if isinstance(outcome, Challenge):
        raise SecondFactorRequired(challenge=outcome.secret, expires_in=arrival.CHALLENGE_SECONDS)
    return _signed_in(user, outcome)


def this_device() -> Device:
    """Return where this request comes from."""
    return Device(request.user_agent.string or None, request.remote_addr)


def vault() -> Vault:
    """Return what seals and unseals in this application."""
    found: Vault = current_app.extensions["vault"]
    return found


def _with_code(user: User, method: str, code: str) -> tokens.Issued:
    try:
        with throttle.guessing_code(user.id):
            return arrival.prove(user, method, code, this_device(), vault())
    except WrongCode:
        _remember_wrong_code(user, method)
        raise


def _remember_wrong_code(user: User, method: str) -> None:
    trail.record("sign_in.refused", on=user.id, method=method, second_factor=True)
    db.session.commit()


def _signed_in(user: User, issued: tokens.Issued) -> dict[str, Any]:
    log.info("signed in", extra={"user_id": user.id, "address": request.remote_addr})
    pair = {"access_token": issued.access_token, "refresh_token": issued.refresh_token}
    return {**pair, "expires_in": issued.expires_in, "user": user}
