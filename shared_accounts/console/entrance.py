"""Coming in and going out: by password, by way of a provider, and away again."""

from __future__ import annotations

from typing import Any

from flask import g, redirect, render_template, request, url_for
from flask_limiter import RateLimitExceeded
from werkzeug.wrappers import Response as Answer

from shared_accounts import live_settings
from shared_accounts.audit import trail
from shared_accounts.auth import arrival, landing, sessions, signin, sso, throttle, tickets, tokens
from shared_accounts.auth import browser_api as browser
from shared_accounts.auth.api import this_device, vault
from shared_accounts.auth.arrival import Challenge
from shared_accounts.auth.providers import Provider
from shared_accounts.auth.refused import InvalidOAuthState
from shared_accounts.auth.return_api import providers
from shared_accounts.auth.schemas import Credentials
from shared_accounts.console import cookies, forms
from shared_accounts.console.door import act, back, is_signed_in, open_act, open_page
from shared_accounts.errors import InvalidCredentials, ServiceError, UserDisabled
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings
from shared_accounts.users import roster
from shared_accounts.users.models import User


@open_page("/sign-in")
def sign_in() -> Any:
    """Ask who is there."""
    if not request.args.get("again") and is_signed_in():
        return redirect(onward(), 303)
    return _entrance(error=request.args.get("error", ""))


@open_act("/sign-in")
def enter() -> Any:
    """Sign in with a user name and a password.

    Every mismatch gets the same answer, and wrong tries count for unknown names as for known ones.
    """
    given, errors = forms.load(Credentials(exclude=("code",)), forms.values())
    if errors:
        return _entrance(error=InvalidCredentials.code), InvalidCredentials.status
    try:
        with throttle.guessing(given["username"]):
            user = signin.with_password(given["username"], given["password"])
        return arrive(user, "password")
    except InvalidCredentials as refusal:
        db.session.commit()  # that it was refused stands in the audit log
        return _entrance(error=refusal.code), refusal.status
    except UserDisabled as refusal:
        db.session.rollback()
        return _entrance(error=refusal.code), refusal.status
    except RateLimitExceeded:
        return _entrance(error="RATE_LIMITED"), 429


@open_page("/sign-in/return")
def returned() -> Any:
    """Finish what a provider has confirmed: once, within a minute, in the browser that set out."""
    if "sign_in_error" in request.args:
        return back("sign_in", error=request.args["sign_in_error"][:100], next=request.args.get("next"))
    throttle.visit()
    found = tickets.redeem(vault(), sso.CODE, request.args.get("sign_in_code", ""))
    db.session.commit()  # spent, whatever becomes of it
    if found is None or not sso.is_bound(found["browser"], browser.cookie()):
        return back("sign_in", error=InvalidOAuthState.code)
    try:
        return arrive(roster.get(found["user_id"]), found["method"])
    except ServiceError as refusal:
        db.session.rollback()
        return back("sign_in", error=refusal.code)


@act("/sign-out")
def sign_out() -> Answer:
    """End this session; its tokens are worthless from now on."""
    tokens.revoke(g.person.session_id)
    trail.record("session.ended", on=g.person.id)
    db.session.commit()
    return cookies.take_back(back("sign_in"))  # type: ignore[arg-type]


@act("/sign-out/everywhere")
def sign_out_everywhere() -> Answer:
    """End every session of hers, this one too; API keys go on."""
    ended = sessions.end_all(g.person.id, because="signed out everywhere")
    trail.record("session.all_ended", on=g.person.id, sessions=ended)
    db.session.commit()
    return cookies.take_back(back("sign_in"))  # type: ignore[arg-type]


def arrive(user: User, method: str) -> Answer:
    """Open a session, in place of the one this browser had, or ask for the second factor first."""
    former = g.get("person")
    outcome = arrival.arrive(user, method, this_device(), vault())
    if isinstance(outcome, Challenge):
        db.session.commit()
        response = back("code", next=wanted())
        cookies.put(response, cookies.CHALLENGE, outcome.secret, arrival.CHALLENGE_SECONDS)  # type: ignore[arg-type]
        return response
    if former is not None:
        tokens.revoke(former.session_id, because="signed in anew")
    db.session.commit()
    return cookies.give(redirect(onward(), 303), outcome)  # type: ignore[arg-type]


def wanted() -> str | None:
    """Return the path that was asked for before the way led here, if it is one of ours."""
    path = landing.local_path(request.values.get("next", "/"))
    return None if path == "/" else path


def onward() -> str:
    """Return where to go from here."""
    return wanted() or url_for("console.overview")


def ways_in() -> list[tuple[Provider, str]]:
    """Return each provider with where its sign-in begins; none when it would end on another front end."""
    if browser.lands_elsewhere():
        return []
    return_to = url_for("console.returned", next=wanted())
    return [(one, url_for("sso.login", provider=one.id, next=return_to)) for one in providers().values()]


def _entrance(*, error: str) -> str:
    registration = live_settings.current(settings()).registration
    filled = request.form.get("username", "")[:50]
    return render_template(
        "screens/sign_in.html", ways=ways_in(), registration=registration, error=error, filled=filled, next=wanted()
    )
