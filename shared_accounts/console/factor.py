"""One's second factor: set up with an authenticator app, confirmed by a first code, removed by a last one."""

from __future__ import annotations

from typing import Any

from flask import g, render_template
from flask_limiter import RateLimitExceeded
from sqlalchemy import update

from shared_accounts.audit import trail
from shared_accounts.auth import factors, sessions, throttle
from shared_accounts.auth.account_api import prove_code
from shared_accounts.auth.api import vault
from shared_accounts.auth.guards import refuse_stale
from shared_accounts.auth.models import Session
from shared_accounts.auth.refused import WrongCode
from shared_accounts.auth.schemas import Code
from shared_accounts.console import forms, qr
from shared_accounts.console.door import act, back, page
from shared_accounts.console.language import say
from shared_accounts.errors import ServiceError, TooManyRequests
from shared_accounts.extensions import db


@page("/profile/second-factor")
def second_factor() -> Any:
    """Show whether there is a second factor."""
    return _shown()


@act("/profile/second-factor")
def begin_factor() -> Any:
    """Show a new secret, this once; it counts once it is confirmed."""
    refuse_stale()
    secret, uri = factors.begin(g.person.id, g.person.username, vault())
    db.session.commit()
    return _shown(secret=secret, uri=uri, code_picture=qr.picture(uri, say("The same as a QR code")))


@act("/profile/second-factor/confirm")
def confirm_factor() -> Any:
    """Have the second factor count from now on, show its recovery codes this once, and end other sessions."""
    refuse_stale()
    given, errors = forms.load(Code(), forms.values())
    if errors:
        return _shown(waits=True, error=errors["code"]), 422
    try:
        with throttle.guessing_code(g.person.id):
            codes = factors.confirm(g.person.id, given["code"], vault())
    except WrongCode as refusal:
        db.session.rollback()
        return _shown(waits=True, error=say(refusal.message)), 422
    except RateLimitExceeded:
        return _shown(waits=True, error=say(TooManyRequests.message)), 429
    own = update(Session).where(Session.id == g.person.session_id)
    db.session.execute(own.values(second_factor=True))
    sessions.end_all(g.person.id, because="a second factor was set up", but=g.person.session_id)
    trail.record("second_factor.confirmed", on=g.person.id)
    db.session.commit()
    return _shown(codes=codes)


@act("/profile/second-factor/codes")
def renew_codes() -> Any:
    """Replace the recovery codes, after a code, and show the new ones this once; the old ones are worthless."""
    given, errors = forms.load(Code(), forms.values())
    if errors:
        return _shown(renewing=errors["code"]), 422
    try:
        prove_code(given["code"])
    except ServiceError as refusal:
        return _shown(renewing=say(refusal.message)), 422
    except RateLimitExceeded:
        return _shown(renewing=say(TooManyRequests.message)), 429
    codes = factors.renew_recovery_codes(g.person.id, vault())
    trail.record("second_factor.codes_renewed", on=g.person.id)
    db.session.commit()
    return _shown(codes=codes)


@act("/profile/second-factor/remove")
def remove_factor() -> Any:
    """Do without a second factor again, after a last code of it."""
    refuse_stale()
    given, errors = forms.load(Code(), forms.values())
    if errors:
        return _shown(error=errors["code"]), 422
    try:
        prove_code(given["code"])
    except ServiceError as refusal:
        return _shown(error=say(refusal.message)), 422
    except RateLimitExceeded:
        return _shown(error=say(TooManyRequests.message)), 429
    factors.remove(g.person.id)
    trail.record("second_factor.removed", on=g.person.id)
    db.session.commit()
    return back("profile", said="factor_removed")


def _shown(**state: Any) -> str:
    enrolled, left = factors.enrolled(g.person.id), factors.recovery_codes_left(g.person.id)
    return render_template("screens/second_factor.html", enrolled=enrolled, left=left, **state)
