"""/api/auth: one's own sessions and password."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import g
from sqlalchemy import func, update

from shared_accounts.audit import trail
from shared_accounts.auth import factors, passwords, sessions, signin, throttle
from shared_accounts.auth.api import vault
from shared_accounts.auth.guards import refuse_stale, signed_in
from shared_accounts.auth.models import Session
from shared_accounts.auth.refused import StaleSignIn, WrongCode
from shared_accounts.auth.schemas import PasswordChange, Proof, SessionSchema
from shared_accounts.errors import Conflict, InvalidCredentials, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door
from shared_accounts.users import roster

blp = Door("account", __name__, url_prefix="/api/auth", description="One's own sessions and password")


@blp.get("/sessions")
@signed_in
@blp.response(200, SessionSchema(many=True))
def list_sessions() -> list[Session]:
    """List where you are signed in, the session used last first."""
    found = sessions.live(g.person.id)
    for one in found:
        one.is_current = one.id == g.person.session_id
    return found


@blp.delete("/sessions/<uuid:session_id>")
@signed_in
@blp.response(200, Done)
@blp.refuses(404)
def end_session(session_id: UUID) -> dict[str, Any]:
    """End one of your sessions; its next request is refused."""
    sessions.end(g.person.id, session_id)
    trail.record("session.ended", on=g.person.id, target=f"session:{session_id}")
    db.session.commit()
    return {"message": "The session has been ended.", "success": True}


@blp.post("/password")
@signed_in
@blp.arguments(PasswordChange)
@blp.response(200, Done)
@blp.refuses(409, 422, 429)
def change_password(body: dict[str, Any]) -> dict[str, Any]:
    """Change your password, or set a first one; your other sessions end.

    Who has a password sends the current one, wrong ones count as at sign-in. Who has none must have signed in
    lately.
    """
    user = roster.get(g.person.id)
    stored, name = user.password_hash, user.username
    passwords.refuse_weak(body["new_password"], username=name, field="new_password")
    if stored is None:
        refuse_stale()
    else:
        prove_password(name, body["current_password"], field="current_password")
    db.session.rollback()  # no lock and no connection is kept while bcrypt runs
    hashed = passwords.hash_password(body["new_password"])
    if not roster.set_password(g.person.id, hashed, instead_of=stored):
        raise Conflict("The password has just been changed elsewhere.")
    ended = sessions.end_all(g.person.id, because="the password was changed", but=g.person.session_id)
    trail.record("user.password_changed", on=g.person.id, sessions_ended=ended)
    db.session.commit()
    return {"message": "The password has been changed; your other sessions have ended.", "success": True}


@blp.post("/reauthenticate")
@signed_in
@blp.arguments(Proof)
@blp.response(200, Done)
@blp.refuses(401, 422, 429)
def reauthenticate(body: dict[str, Any]) -> dict[str, Any]:
    """Make this sign-in a fresh one again, with your password and the code of your second factor, if you have them.

    Who has neither signs in anew at her provider.
    """
    user = roster.get(g.person.id)
    name, has_password, has_factor = user.username, user.password_hash is not None, factors.enrolled(user.id)
    if not has_password and not has_factor:
        raise StaleSignIn
    if has_password:
        prove_password(name, body["password"], field="password")
    if has_factor:
        prove_code(body["code"] or "")
    fresh = update(Session).where(Session.id == g.person.session_id)
    db.session.execute(fresh.values(authenticated_at=func.now()))
    db.session.commit()
    return {"message": "Your sign-in is fresh again.", "success": True}


def prove_password(username: str, password: str | None, *, field: str) -> None:
    """Check a password as at sign-in, wrong ones count there too; raises `Unprocessable`, for the session is good."""
    try:
        with throttle.guessing(username):
            signin.with_password(username, password or "")
    except InvalidCredentials as error:
        db.session.commit()  # that it was refused stands in the audit log
        raise Unprocessable("The password is wrong.", field=field) from error


def prove_code(code: str) -> None:
    """Spend a code of the second factor, wrong ones count as at sign-in; raises `Unprocessable`."""
    try:
        with throttle.guessing_code(g.person.id):
            factors.check(g.person.id, code, vault())
    except WrongCode as error:
        trail.record("second_factor.refused", on=g.person.id)
        db.session.commit()
        raise Unprocessable(error.message, field="code") from error
