"""Another credential for an account that stays what it is: tried first, sealed at once, never shown."""

from __future__ import annotations

from typing import Any

from flask import g, render_template
from flask_limiter import RateLimitExceeded

from shared_accounts.accounts import contribution, credential_api
from shared_accounts.accounts.credential_api import NewCredential
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console import forms
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import ServiceError, TooManyRequests
from shared_accounts.extensions import db


@page("/accounts/<int:account_id>/credential")
def credential(account_id: int) -> Any:
    """Ask for the new credential."""
    return _asked(account_id, {})


@act("/accounts/<int:account_id>/credential")
def replace_credential(account_id: int) -> Any:
    """Put another credential in the place of the one there is, once the upstream has accepted it."""
    refuse_silenced()
    given, errors = forms.load(NewCredential(), forms.values())
    if errors:
        return _asked(account_id, errors), 422
    try:
        credential_api.replaced(account_id, given["api_key"])
    except ServiceError as refusal:
        db.session.rollback()
        return _asked(account_id, {"api_key": say(refusal.message)}), refusal.status
    except RateLimitExceeded:
        return _asked(account_id, {"api_key": say(TooManyRequests.message)}), 429
    db.session.commit()
    return back("account", account_id=account_id, said="credential")


def _asked(account_id: int, errors: Errors) -> str:
    account = contribution.mine(g.person.id, account_id)
    return render_template("screens/credential.html", account=account, errors=errors)
