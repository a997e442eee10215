"""Contributing an account by consenting at its provider, or consenting anew: the way there, and back.

A browser that the provider sends to us comes back by itself; else its address is pasted. Either way an answer counts
once, within ten minutes and for whoever began. The way there is a link on a page and no redirect, for our policy lets
no form lead to another site.
"""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request
from flask_limiter import RateLimitExceeded

from shared_accounts.accounts import consent, contribution, oauth_api, upstream_oauth
from shared_accounts.accounts.oauth_schemas import OAuthWish
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console import forms
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import NotFound, ServiceError, TooManyRequests
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings

_ANSWER = ("code", "state", "error")
_LONGEST = 8192


@page("/accounts/consent")
def consenting() -> Any:
    """Say what a consent does, and ask what to call the account."""
    provider_id = request.args.get("provider", "")
    if upstream_oauth.find(settings().upstream_oauth_providers, provider_id) is None:
        raise NotFound
    return _asked(provider_id, {})


@act("/accounts/consent")
def begin_consent() -> Any:
    """Show where to consent; dedicated at first, for what sharing it would earn is known only once it is here."""
    refuse_silenced()
    given = forms.values()
    wish: dict[str, Any] = {name: given[name] for name in ("provider", "account_id") if name in given}
    if "account_id" not in wish:
        wish = {**wish, "sharing": "dedicated", **({"name": given["name"]} if "name" in given else {})}
    loaded, errors = forms.load(OAuthWish(), wish)
    if errors:
        return _asked(given.get("provider", ""), errors), 422
    try:
        address, _ = oauth_api.depart(loaded)
    except RateLimitExceeded:
        return _asked(loaded["provider"], {"name": say(TooManyRequests.message)}), 429
    return _waiting(consent.provider(loaded["provider"]), address, loaded.get("account_id"))


@page("/accounts/consent/return")
def consented() -> Any:
    """Finish what a provider's page has sent the browser back with."""
    answer = {name: request.args[name] for name in _ANSWER if name in request.args}
    if not answer:
        raise NotFound
    return _finished(answer)


@act("/accounts/consent/return")
def paste_consent() -> Any:
    """Finish with the address on which the browser ended."""
    return _finished(upstream_oauth.read_answer(request.form.get("callback_url", "")[:_LONGEST]))


def _finished(answer: dict[str, str]) -> Any:
    refuse_silenced()
    try:
        account, _, is_new = oauth_api.finish(answer, field="callback_url")
    except ServiceError as refusal:
        db.session.rollback()
        return render_template("screens/consent_failed.html", error=say(refusal.message)), refusal.status
    db.session.commit()
    return back("account", account_id=account.id, said="contributed" if is_new else "renewed")


def _asked(provider_id: str, errors: Errors) -> str:
    provider = consent.provider(provider_id)
    filled = request.form.get("name", "")[:100]
    return render_template("screens/consent.html", provider=provider, filled=filled, errors=errors)


def _waiting(provider: Any, address: str, account_id: int | None) -> str:
    name = contribution.mine(g.person.id, account_id).name if account_id else ""
    comes_back = oauth_api.comes_back(provider)
    return render_template(
        "screens/consent_waiting.html", provider=provider, address=address, name=name, comes_back=comes_back
    )
