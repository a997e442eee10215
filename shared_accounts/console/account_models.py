"""Which models an account serves: switched off and on, and named anew.

What that does to one's quota is shown before it is done. A name that is new has to be the upstream's, in the request
that adds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import g, render_template, request
from flask_limiter import RateLimitExceeded

from shared_accounts.accounts import contribution, effects
from shared_accounts.accounts.api import count_probes, prove_again, settings_now, tried
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.schemas import AccountChange
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console import forms
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import ServiceError, TooManyRequests, Unprocessable
from shared_accounts.extensions import db

_MORE = "more"


@page("/accounts/<int:account_id>/models")
def account_models(account_id: int) -> Any:
    """Show what the account serves, and what is switched off."""
    account = contribution.mine(g.person.id, account_id)
    contribution.refuse_change(account, {})
    return _asked(account, account.models)


@act("/accounts/<int:account_id>/models")
def change_models(account_id: int) -> Any:
    """Change what it serves; if one's quota changes along, that is shown first."""
    refuse_silenced()
    forms.values()
    account = contribution.mine(g.person.id, account_id)
    chosen, known = _chosen(), _known(account)
    if "ask" in request.form:
        return _with_the_upstreams(account, chosen)
    names = [name for name in known if name in chosen] + [name for name in chosen if name not in known]
    wish = {"models": names, "models_off": [name for name in known if name not in chosen]}
    try:
        return _changed(account, wish)
    except ServiceError as refusal:
        db.session.rollback()
        account = contribution.mine(g.person.id, account_id)
        return _asked(account, chosen, errors={_MORE: say(refusal.message)}), refusal.status


def _changed(account: Account, wish: dict[str, Any]) -> Any:
    if not wish["models"]:
        raise Unprocessable("Choose at least one model.", field=_MORE)
    changes, errors = forms.load(AccountChange(), wish)
    if errors:
        return _asked(account, wish["models"], errors={_MORE: next(iter(errors.values()))}), 422
    prove_again(account, changes)
    account = contribution.mine(g.person.id, account.id)
    contribution.refuse_change(account, changes)
    moved = effects.of_changing(account, changes, settings_now())
    if moved and "seen" not in request.form:
        return render_template(
            "screens/account_models_effect.html", account=account, names=changes["models"], effects=moved
        )
    contribution.change(account, changes, settings_now())
    trail.record("account.changed", on=g.person.id, target=f"account:{account.id}", fields=["models"])
    db.session.commit()
    return back("account", account_id=account.id, said="models")


def _with_the_upstreams(account: Account, chosen: list[str]) -> Any:
    """Offer what the upstream lists, too; nothing is changed."""
    account_id, error, found = account.id, "", []
    try:
        count_probes(1)
        shown = tried(account)
        db.session.commit()  # a consent that has ended has
        found = shown.proof.models if shown.refusal is None else []
        if shown.refusal or not found:
            error = say(shown.refusal.message if shown.refusal else "It keeps no list of models; name them here.")
    except RateLimitExceeded:
        error = say(TooManyRequests.message)
    account = contribution.mine(g.person.id, account_id)
    return _asked(account, chosen, found, errors={_MORE: error} if error else {})


def _asked(account: Account, chosen: Iterable[str], found: Iterable[str] = (), *, errors: Errors | None = None) -> str:
    known, chosen = _known(account), list(chosen)
    listed = list(dict.fromkeys([*known, *(name for name in chosen if not errors), *found]))
    return render_template(
        "screens/account_models.html",
        account=account,
        listed=listed,
        chosen=set(chosen),
        more="\n".join(name for name in chosen if name not in listed),
        errors=errors or {},
    )


def _chosen() -> list[str]:
    """Return the names that are switched on, and those that were written down, once each."""
    written = request.form.get(_MORE, "").replace(",", "\n").splitlines()
    return list(dict.fromkeys([*request.form.getlist("models"), *(name.strip() for name in written if name.strip())]))


def _known(account: Account) -> list[str]:
    return list(dict.fromkeys([*account.models, *account.models_off]))
