"""Leaving for a provider and coming back, as every door of single sign-on does it.

Invariant: a state is spent, for good, before anything else happens to the answer it came with. And whoever comes back
is the browser that left: its cookie says so, except where a front end on another origin finishes the flow from its
server, which has no such cookie; there PKCE and the single use of the state remain, no browser may bring such an
answer to us itself, and linking asks who is signed in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import Response, current_app, g, jsonify
from flask_limiter import RateLimitExceeded

from shared_accounts import live_settings
from shared_accounts.audit import trail
from shared_accounts.auth import browser_api as browser
from shared_accounts.auth import landing, signin, sso, throttle, tickets
from shared_accounts.auth.api import arrived, vault
from shared_accounts.auth.guards import signed_in
from shared_accounts.auth.providers import Provider
from shared_accounts.auth.refused import (
    InactiveAtProvider,
    InvalidOAuthState,
    ProviderNotConfigured,
    SingleSignOnFailed,
)
from shared_accounts.auth.signin import SsoIdentity
from shared_accounts.auth.sso import Departure
from shared_accounts.crypto import fingerprint
from shared_accounts.errors import ServiceError, TooManyRequests, Unprocessable, UserDisabled
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings
from shared_accounts.users import roster
from shared_accounts.users.models import User

log = logging.getLogger(__name__)


def providers() -> dict[str, Provider]:
    """Return the providers of this application, by id."""
    found: dict[str, Provider] = current_app.extensions["sso_providers"]
    return found


def leave(provider_id: str, next_path: str, *, link_user_id: int | None = None) -> tuple[str, str, str]:
    """Note a departure, commit it and return where to, its `state`, and the value for the browser's cookie."""
    throttle.visit()
    provider = _provider(provider_id)
    cookie = browser.new_cookie()
    comes_to_us = landing.same_origin(provider.redirect_uri, settings().public_url)
    url, state = sso.depart(
        provider,
        vault(),
        browser=cookie if comes_to_us else None,
        next_path=landing.local_path(next_path),
        link_user_id=link_user_id,
    )
    db.session.commit()
    return url, state, cookie


def begin(provider_id: str, next_path: str, *, link_user_id: int | None = None) -> Response:
    """Answer a program, which sends the browser off itself."""
    url, state, cookie = leave(provider_id, next_path, link_user_id=link_user_id)
    return browser.remember(jsonify(authorization_url=url, state=state), cookie)


def come_back(provider_id: str, answer: Mapping[str, str]) -> Response | dict[str, Any]:
    """Sign in, or link, and answer a program."""
    with _noted(provider_id):
        departure, identity = _identified(provider_id, answer)
        if departure.link_user_id is not None:
            _link(departure, identity, departure.link_user_id)
            return jsonify(message="The identity has been linked.", success=True)
        user = _user(identity)
    return arrived(user, provider_id)


def bring_back(provider_id: str, answer: Mapping[str, str]) -> Response:
    """Sign in, or link, and send the browser on; a refusal is told by its code and nothing else."""
    g.next_path = "/"
    cookie = browser.new_cookie()
    try:
        with _noted(provider_id):
            departure, identity = _identified(provider_id, answer)
            if departure.browser is None:
                raise InvalidOAuthState
            if departure.link_user_id is not None:
                _link(departure, identity, departure.link_user_id)
                return browser.land(departure.next, identity_linked=provider_id)
            code = _one_time_code(_user(identity), provider_id, cookie)
    except ServiceError as refusal:
        return browser.land(g.next_path, sign_in_error=refusal.code)
    except RateLimitExceeded:
        return browser.land("/", sign_in_error=TooManyRequests.code)
    return browser.remember(browser.land(departure.next, sign_in_code=code), cookie)


def _provider(provider_id: str) -> Provider:
    found = providers().get(provider_id)
    if found is None:
        raise ProviderNotConfigured
    return found


def _identified(provider_id: str, answer: Mapping[str, str]) -> tuple[Departure, SsoIdentity]:
    throttle.visit()
    provider = _provider(provider_id)
    departure = sso.spend(vault(), answer.get("state", ""))
    db.session.commit()  # spent, whatever becomes of it; and no connection waits for the provider
    g.next_path = departure.next if departure else "/"
    if answer.get("error"):
        raise SingleSignOnFailed
    for name in ("code", "state"):
        if not answer.get(name):
            raise Unprocessable("The provider's answer lacks this parameter.", field=name)
    known = sso.refuse_foreign(departure, provider, browser.cookie())
    return known, sso.identify(provider, known, code=answer["code"], issuer=answer.get("iss"))


def _user(identity: SsoIdentity) -> User:
    return signin.with_identity(identity, live_settings.current(settings()))


def _link(departure: Departure, identity: SsoIdentity, user_id: int) -> None:
    if departure.browser is None:
        _refuse_others(user_id)
    if not identity.active:
        raise InactiveAtProvider
    if roster.get(user_id).state == "disabled":
        raise UserDisabled
    signin.link(identity, user_id)
    db.session.commit()


@signed_in
def _refuse_others(user_id: int) -> None:
    if g.person.id != user_id:
        raise InvalidOAuthState


def _one_time_code(user: User, method: str, cookie: str) -> str:
    bound = None if browser.lands_elsewhere() else fingerprint(cookie).hex()
    payload = {"user_id": user.id, "method": method, "browser": bound}
    code = tickets.issue(vault(), sso.CODE, payload, seconds=sso.CODE_SECONDS)
    db.session.commit()
    return code


@contextmanager
def _noted(provider_id: str) -> Iterator[None]:
    """Write down how it went: which provider and with which outcome, and nothing that came with the request."""
    try:
        yield
    except ServiceError as refusal:
        db.session.rollback()
        known = provider_id if provider_id in providers() else "unknown"
        log.warning("single sign-on refused", extra={"provider": known, "outcome": refusal.code})
        trail.record("sign_in.refused", method=known, reason=refusal.code)
        db.session.commit()
        raise
    log.info("single sign-on accepted", extra={"provider": provider_id, "outcome": "accepted"})
