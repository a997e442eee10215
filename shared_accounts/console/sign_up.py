"""Signing up, where that is open or with an invitation."""

from __future__ import annotations

from typing import Any

from flask import render_template, request
from flask_limiter import RateLimitExceeded

from shared_accounts import live_settings
from shared_accounts.auth import signin, throttle
from shared_accounts.auth.schemas import SignUp
from shared_accounts.console import forms
from shared_accounts.console.door import back, open_act, open_page
from shared_accounts.console.entrance import arrive, wanted
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import Conflict, TooManyRequests, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings


@open_page("/sign-up")
def sign_up() -> Any:
    """Ask for a name and a password, and for an invitation where that is needed."""
    registration = _registration()
    return back("sign_in") if registration == "closed" else _asked({}, registration)


@open_act("/sign-up")
def join() -> Any:
    """Sign up and be signed in; a refused sign-up spends no invitation."""
    given, errors = forms.load(SignUp(), forms.values())
    if errors:
        return _asked(errors, _registration()), 422
    try:
        throttle.visit()
        in_force = live_settings.current(settings())
        user = signin.sign_up(given["username"], given["password"], given["invitation_code"], in_force)
        return arrive(user, "password")
    except (Unprocessable, Conflict) as refusal:
        db.session.rollback()
        return _asked(forms.wrong(refusal, otherwise="username"), _registration()), refusal.status
    except RateLimitExceeded:
        return _asked({"username": say(TooManyRequests.message)}, _registration()), 429


def _registration() -> str:
    return live_settings.current(settings()).registration


def _asked(errors: Errors, registration: str) -> str:
    filled = {name: request.values.get(name, "")[:100] for name in ("username", "invitation_code")}
    return render_template(
        "screens/sign_up.html", errors=errors, registration=registration, filled=filled, next=wanted()
    )
