"""/api/auth/second-factor: setting it up, its recovery codes, and doing without it again."""

from __future__ import annotations

from typing import Any

from flask import g
from marshmallow import Schema, fields
from sqlalchemy import update

from shared_accounts.audit import trail
from shared_accounts.auth import factors, sessions, throttle
from shared_accounts.auth.account_api import prove_code
from shared_accounts.auth.api import vault
from shared_accounts.auth.guards import refuse_stale, signed_in
from shared_accounts.auth.models import Session
from shared_accounts.auth.refused import WrongCode
from shared_accounts.auth.schemas import Code
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door

blp = Door("second-factor", __name__, url_prefix="/api/auth", description="One's own second factor")


class SecondFactorSchema(Schema):
    """Whether there is a second factor."""

    enabled = fields.Boolean()
    recovery_codes_left = fields.Integer()


class SetUp(Schema):
    """A secret for an authenticator app, shown this once."""

    secret = fields.String(metadata={"description": "Base32"})
    otpauth_uri = fields.String(metadata={"description": "To be shown as a QR code"})


class RecoveryCodes(Schema):
    """Codes that stand in for the second factor, each once; shown this once."""

    recovery_codes = fields.List(fields.String())


@blp.get("/second-factor")
@signed_in
@blp.response(200, SecondFactorSchema)
def show_second_factor() -> dict[str, Any]:
    """Tell whether you have a second factor, and how many recovery codes are left."""
    enabled = factors.enrolled(g.person.id)
    return {"enabled": enabled, "recovery_codes_left": factors.recovery_codes_left(g.person.id)}


@blp.post("/second-factor")
@signed_in
@blp.response(201, SetUp)
@blp.refuses(409)
def set_up_second_factor() -> dict[str, Any]:
    """Begin a second factor: put the secret into an authenticator app, then confirm it with a code."""
    refuse_stale()
    secret, uri = factors.begin(g.person.id, g.person.username, vault())
    db.session.commit()
    return {"secret": secret, "otpauth_uri": uri}


@blp.post("/second-factor/confirm")
@signed_in
@blp.arguments(Code)
@blp.response(200, RecoveryCodes)
@blp.refuses(409, 422, 429)
def confirm_second_factor(body: dict[str, str]) -> dict[str, Any]:
    """Confirm the second factor with a first code; from now on signing in takes one. Other sessions end."""
    refuse_stale()
    try:
        with throttle.guessing_code(g.person.id):
            codes = factors.confirm(g.person.id, body["code"], vault())
    except WrongCode as error:
        raise Unprocessable(error.message, field="code") from error
    own = update(Session).where(Session.id == g.person.session_id)
    db.session.execute(own.values(second_factor=True))
    sessions.end_all(g.person.id, because="a second factor was set up", but=g.person.session_id)
    trail.record("second_factor.confirmed", on=g.person.id)
    db.session.commit()
    return {"recovery_codes": codes}


@blp.post("/second-factor/recovery-codes")
@signed_in
@blp.arguments(Code)
@blp.response(200, RecoveryCodes)
@blp.refuses(422, 429)
def renew_recovery_codes(body: dict[str, str]) -> dict[str, Any]:
    """Replace your recovery codes; the old ones are worthless."""
    prove_code(body["code"])
    codes = factors.renew_recovery_codes(g.person.id, vault())
    trail.record("second_factor.codes_renewed", on=g.person.id)
    db.session.commit()
    return {"recovery_codes": codes}


@blp.delete("/second-factor")
@signed_in
@blp.arguments(Code)
@blp.response(200, Done)
@blp.refuses(422, 429)
def remove_second_factor(body: dict[str, str]) -> dict[str, Any]:
    """Remove your second factor, with a last code of it."""
    refuse_stale()
    prove_code(body["code"])
    factors.remove(g.person.id)
    trail.record("second_factor.removed", on=g.person.id)
    db.session.commit()
    return {"message": "The second factor has been removed.", "success": True}
