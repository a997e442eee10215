"""The second factor, asked for between the first one and the session."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template
from flask_limiter import RateLimitExceeded

from shared_accounts.audit import trail
from shared_accounts.auth import arrival, throttle
from shared_accounts.auth.api import this_device, vault
from shared_accounts.auth.refused import SessionOver, WrongCode
from shared_accounts.auth.schemas import Code
from shared_accounts.console import cookies, forms
from shared_accounts.console.door import back, open_act, open_page
from shared_accounts.console.entrance import onward, wanted
from shared_accounts.extensions import db


@open_page("/sign-in/code")
def code() -> Any:
    """Ask for the code."""
    if not cookies.read(cookies.CHALLENGE):
        return back("sign_in", next=wanted())
    return _asked()


@open_act("/sign-in/code")
def answer_code() -> Any:
    """Finish the sign-in; a wrong code may be tried again, a few times a minute."""
    challenge = cookies.read(cookies.CHALLENGE)
    given, errors = forms.load(Code(), forms.values())
    try:
        user, method = arrival.challenged(challenge, vault())
        if errors:
            return _asked(error=WrongCode.message), WrongCode.status
        with throttle.guessing_code(user.id):
            _, issued = arrival.answer(challenge, given["code"], this_device(), vault())
    except SessionOver:
        return back("sign_in", error="CHALLENGE_OVER", next=wanted())
    except WrongCode as refusal:
        trail.record("sign_in.refused", on=user.id, method=method, second_factor=True)
        db.session.commit()
        return _asked(error=refusal.message), refusal.status
    except RateLimitExceeded:
        return _asked(error="Too many wrong codes. Wait a minute, then try again."), 429
    db.session.commit()
    return cookies.give(redirect(onward(), 303), issued)  # type: ignore[arg-type]


def _asked(*, error: str = "") -> str:
    return render_template("screens/code.html", error=error, next=wanted())
