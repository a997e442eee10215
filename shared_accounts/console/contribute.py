"""Contributing an account in two steps: its upstream is asked first, then its owner chooses from what it answered.

Invariant: between the steps the credential lies sealed in a ticket of its owner's, for a quarter of an hour; no page
ever holds it. Nothing is contributed whose upstream has not accepted it in this very request (decision 3).
"""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request
from flask_limiter import RateLimitExceeded

from shared_accounts.accounts import contribution, effects, presets
from shared_accounts.accounts.api import bring, count_probes, guard, offered, proved, settings_now
from shared_accounts.accounts.effects import Effect
from shared_accounts.accounts.schemas import NewAccount
from shared_accounts.auth import tickets
from shared_accounts.auth.api import vault
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console import forms
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import InvalidRequest, ServiceError, TooManyRequests
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings as startup_settings
from shared_accounts.users import standing

_KIND = "contribution"
_SECONDS = 900
_SHOWN = ("preset", "name", "base_url", "models")


@page("/accounts/new")
def contribute() -> Any:
    """Ask which upstream, and for the credential."""
    return _asked({})


@act("/accounts/new")
def try_account() -> Any:
    """Try the credential, and show what it opens and what sharing it would earn; nothing is kept."""
    refuse_silenced()
    body, errors = _body()
    if errors:
        return _asked(errors), 422
    try:
        count_probes(1)
        proof = proved(guard().parse(body["base_url"]), body["api_key"], body.get("models"), body.get("preset"))
        found = proof.models if proof.lists_models else body["models"]
        return _choice(body, found, _proposed(body, found))
    except RateLimitExceeded:
        return _asked({"api_key": say(TooManyRequests.message)}), 429
    except ServiceError as refusal:
        db.session.rollback()
        return _asked(forms.wrong(refusal, otherwise="base_url")), refusal.status


@act("/accounts")
def add_account() -> Any:
    """Contribute the account, for these models, shared or not."""
    refuse_silenced()
    secret, sharing = request.form.get("ticket", ""), request.form.get("sharing", "dedicated")
    kept = tickets.look_at(vault(), _KIND, secret)
    if kept is None or kept["user"] != g.person.id or sharing not in {"shared", "dedicated"}:
        raise InvalidRequest("This form was open for too long. Test the credential again.", field="ticket")
    body, found = kept["body"] | {"sharing": sharing}, kept["found"]
    chosen = [name for name in request.form.getlist("models") if name in found]
    try:
        account_id = _contributed(body, chosen, secret)
    except ServiceError as refusal:
        db.session.rollback()
        return _choice(body, found, chosen, error=say(refusal.message)), refusal.status
    return back("account", account_id=account_id, said="contributed")


def _contributed(body: dict[str, Any], chosen: list[str], secret: str) -> int:
    if body["sharing"] == "shared":
        standing.refuse_sharing(g.person.id)
    if not chosen:
        raise InvalidRequest("Choose at least one model.", field="models")
    count_probes(1)
    settings = settings_now()
    proof = proved(guard().parse(body["base_url"]), body["api_key"], chosen, body.get("preset"))
    account = bring(body, proof.claimed(chosen), settings)
    tickets.redeem(vault(), _KIND, secret)
    db.session.commit()
    return account.id


def _body() -> tuple[dict[str, Any], Errors]:
    """Return what was filled in; a name that was left out is the preset's."""
    given: dict[str, Any] = dict(forms.values())
    if "models" in given:
        given["models"] = [name.strip() for name in given["models"].replace(",", "\n").splitlines() if name.strip()]
    preset = presets.BY_ID.get(given.get("preset", ""))
    if preset is not None:
        given.setdefault("name", preset.name)
    return forms.load(NewAccount(), {**given, "sharing": "dedicated"})


def _proposed(body: dict[str, Any], found: list[str]) -> list[str]:
    return [name for name in body.get("models", found) if name in found] or found


def _choice(body: dict[str, Any], found: list[str], chosen: list[str], *, error: str = "") -> str:
    effects_of_sharing, may_share = _effects(body, chosen or found)
    secret = tickets.issue(vault(), _KIND, {"user": g.person.id, "body": body, "found": found}, seconds=_SECONDS)
    db.session.commit()
    return render_template(
        "screens/contribute_choice.html",
        body=body,
        found=found,
        chosen=set(chosen),
        effects=effects_of_sharing,
        may_share=may_share,
        ticket=secret,
        preset=presets.BY_ID.get(body.get("preset", "")),
        error=error,
    )


def _effects(body: dict[str, Any], models: list[str]) -> tuple[list[Effect], bool]:
    """Return what sharing it would do to the reader's pools, and whether she may share at all."""
    settings = settings_now()
    offer = offered({**body, "sharing": "shared"}, models, settings)
    contribution.refuse_known(offer, vault())
    shown = effects.of_contributing(g.person.id, [offer.bearing], settings)
    return shown, standing.allowance(g.person.id).may_share


def _asked(errors: Errors) -> str:
    filled = {name: request.form.get(name, "")[:500] for name in _SHOWN}
    filled["preset"] = filled["preset"] or request.args.get("preset", "openai")
    return render_template(
        "screens/contribute.html",
        presets=presets.ALL,
        providers=startup_settings().upstream_oauth_providers,
        errors=errors,
        filled=filled,
    )
