"""Sharing an account and taking it back: the effect is shown before, in the same table for now and after."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request

from shared_accounts.accounts import contribution, effects, withdrawal
from shared_accounts.accounts.api import settings_now
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.withdrawal_api import CUT_OFF, withdrawn
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console.door import act, back, page
from shared_accounts.errors import InvalidRequest
from shared_accounts.extensions import db
from shared_accounts.users import standing

_OTHER = {"shared": "dedicated", "dedicated": "shared"}


@page("/accounts/<int:account_id>/sharing")
def sharing(account_id: int) -> Any:
    """Show what sharing the account, or keeping it, would do to one's quota."""
    account = contribution.mine(g.person.id, account_id)
    change = {"sharing": _OTHER[account.sharing]}
    _refuse(account, change)
    return render_template(
        "screens/sharing.html",
        account=account,
        wanted=change["sharing"],
        effects=effects.of_changing(account, change, settings_now()),
    )


@act("/accounts/<int:account_id>/sharing")
def share(account_id: int) -> Any:
    """Share the account, or keep it for oneself from now on."""
    wanted = request.form.get("sharing", "")
    if wanted not in _OTHER:
        raise InvalidRequest("Say whether to share it.", field="sharing")
    account, change = contribution.mine(g.person.id, account_id), {"sharing": wanted}
    _refuse(account, change)
    contribution.change(account, change, settings_now())
    trail.record("account.changed", on=g.person.id, target=f"account:{account_id}", fields=["sharing"])
    db.session.commit()
    return back("account", account_id=account_id, said=wanted)


@page("/accounts/<int:account_id>/withdraw")
def withdrawing(account_id: int) -> Any:
    """Show what withdrawing the account would take back, and ask whether what runs on it may finish."""
    account = contribution.mine(g.person.id, account_id)
    return render_template(
        "screens/withdraw.html",
        account=account,
        effects=effects.of_withdrawing(account),
        under_way=withdrawal.under_way(account_id),
    )


@act("/accounts/<int:account_id>/withdraw")
def withdraw(account_id: int) -> Any:
    """Take the account out for good; exchanges that are under way on it may finish, or are cut off."""
    cut_off = request.form.get("running") == CUT_OFF
    state = withdrawn(account_id, cut_off=cut_off)
    return back("accounts", said="cut_off" if cut_off and state == "draining" else state)


def _refuse(account: Account, change: dict[str, str]) -> None:
    """Raise what speaks against sharing it, or keeping it: before one is asked, and again before it is done."""
    refuse_silenced()
    if change["sharing"] == "shared" != account.sharing:
        standing.refuse_sharing(g.person.id)
    contribution.refuse_change(account, change)
