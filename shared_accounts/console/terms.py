"""Sharing an account and taking it back: the effect is shown before, in the same table for now and after."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request

from shared_accounts.accounts import contribution
from shared_accounts.accounts.api import settings_now
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console import effects
from shared_accounts.console.door import act, back, page
from shared_accounts.errors import InvalidRequest
from shared_accounts.extensions import db
from shared_accounts.users import standing

_OTHER = {"shared": "dedicated", "dedicated": "shared"}


@page("/accounts/<int:account_id>/sharing")
def sharing(account_id: int) -> Any:
    """Show what sharing the account, or keeping it, would do to one's quota."""
    account = contribution.mine(g.person.id, account_id)
    name, wanted = account.name, _OTHER[account.sharing]
    with effects.rehearsed(g.person.id) as rehearsal:
        _share(account_id, wanted)
    template = "screens/sharing.html"
    return render_template(template, account_id=account_id, name=name, wanted=wanted, effects=rehearsal.effects)


@act("/accounts/<int:account_id>/sharing")
def share(account_id: int) -> Any:
    """Share the account, or keep it for oneself from now on."""
    wanted = request.form.get("sharing", "")
    if wanted not in _OTHER:
        raise InvalidRequest("Say whether to share it.", field="sharing")
    _share(account_id, wanted)
    trail.record("account.changed", on=g.person.id, target=f"account:{account_id}", fields=["sharing"])
    db.session.commit()
    return back("account", account_id=account_id, said=wanted)


@page("/accounts/<int:account_id>/withdraw")
def withdrawing(account_id: int) -> Any:
    """Show what withdrawing the account would take back."""
    name = contribution.mine(g.person.id, account_id).name
    with effects.rehearsed(g.person.id) as rehearsal:
        account = contribution.mine(g.person.id, account_id)
        contribution.withdraw(account)
        drains = account.state == "draining"
    template = "screens/withdraw.html"
    return render_template(template, account_id=account_id, name=name, effects=rehearsal.effects, drains=drains)


@act("/accounts/<int:account_id>/withdraw")
def withdraw(account_id: int) -> Any:
    """Take the account out for good; exchanges that are under way on it may finish."""
    contribution.withdraw(contribution.mine(g.person.id, account_id))
    trail.record("account.withdrawn", on=g.person.id, target=f"account:{account_id}")
    db.session.commit()
    return back("accounts", said="withdrawn")


def _share(account_id: int, wanted: str) -> None:
    refuse_silenced()
    account = contribution.mine(g.person.id, account_id)
    if wanted == "shared" != account.sharing:
        standing.refuse_sharing(g.person.id)
    contribution.change(account, {"sharing": wanted}, settings_now())
