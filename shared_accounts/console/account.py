"""One account: its windows, who used it, what it earns, and what became of it."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request
from sqlalchemy import func, select

from shared_accounts.accounts import contribution, import_api, standing
from shared_accounts.accounts.api import count_probes, settings_now, tried
from shared_accounts.accounts.models import Account, AccountUse
from shared_accounts.accounts.schemas import AccountChange
from shared_accounts.accounts.trial import Tried
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console import forms, holdings
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import ServiceError, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.quotas.models import Credit
from shared_accounts.users.models import User

_DAYS = 7
_LIMITS = ("name", "max_concurrency", "others_per_day", "member_per_day", "quiet_from", "quiet_until")


@page("/accounts/<int:account_id>")
def account(account_id: int) -> Any:
    """Show one of one's accounts."""
    return _shown(contribution.mine(g.person.id, account_id))


@act("/accounts/<int:account_id>/pause")
def pause_account(account_id: int) -> Any:
    """Take the account out of service, or bring it back; its part of the refill rests meanwhile."""
    refuse_silenced()
    paused = request.form.get("paused") == "1"
    row = contribution.mine(g.person.id, account_id)
    if not paused and row.state != "paused":
        raise Unprocessable("Test this account to bring it back.")
    contribution.change(row, {"paused": paused}, settings_now())
    trail.record("account.changed", on=g.person.id, target=f"account:{account_id}", fields=["paused"])
    db.session.commit()
    return back("account", account_id=account_id, said="paused" if paused else "resumed")


@act("/accounts/<int:account_id>/test")
def test_account(account_id: int) -> Any:
    """Try the credential now; one that works brings the account back into service."""
    refuse_silenced()
    count_probes(1)
    found = tried(contribution.mine(g.person.id, account_id))
    row = contribution.mine(g.person.id, account_id)
    if row.sealed_credential == found.sealed:  # else it was another credential that was tried
        import_api.judge(row, found)
    trail.record("account.tested", on=g.person.id, target=f"account:{account_id}", ok=found.refusal is None)
    db.session.commit()
    return _shown(row, tested=found)


@act("/accounts/<int:account_id>/terms")
def change_terms(account_id: int) -> Any:
    """Change the account's name and what its owner keeps of it."""
    refuse_silenced()
    given = forms.values()
    asked: dict[str, Any] = {name: given.get(name) for name in _LIMITS}
    asked["name"] = asked["name"] or ""
    reserve = given.get("owner_reserve", "0").rstrip("% ")
    asked["owner_reserve"] = float(reserve) / 100 if reserve.isascii() and reserve.isdecimal() else reserve
    changes, errors = forms.load(AccountChange(), asked)
    if "owner_reserve" in errors:  # which is a share below, and a percentage here
        errors["owner_reserve"] = say("Write a whole number from 0 to 100.")
    row = contribution.mine(g.person.id, account_id)
    if errors:
        return _shown(row, errors=errors), 422
    try:
        contribution.change(row, changes, settings_now())
    except ServiceError as refusal:
        db.session.rollback()
        return _shown(row, errors=forms.wrong(refusal, otherwise="name")), refusal.status
    trail.record("account.changed", on=g.person.id, target=f"account:{account_id}", fields=sorted(changes))
    db.session.commit()
    return back("account", account_id=account_id, said="saved")


def _shown(row: Account, *, errors: Errors | None = None, tested: Tried | None = None) -> str:
    (holding,) = holdings.described([row])
    users, own = users_of(row)
    return render_template(
        "screens/account.html",
        holding=holding,
        account=row,
        errors=errors or {},
        filled=request.form if errors else None,
        tested=tested,
        events=standing.events(row.id)[:20],
        users=users,
        own=own,
        credits=credits_of(row.id),
        reason=say(row.state_reason) if row.state_reason else "",
        said=request.args.get("said", ""),
    )


def users_of(row: Account) -> tuple[list[Any], Any]:
    """Return what others drew in a week, the most first, and what the owner did herself."""
    query = (
        select(
            User.username, func.sum(AccountUse.calls).label("calls"), func.sum(AccountUse.cost).label("cost"), User.id
        )
        .join(User, User.id == AccountUse.user_id)
        .where(AccountUse.account_id == row.id, AccountUse.day > func.current_date() - _DAYS)
        .group_by(User.id, User.username)
        .order_by(func.sum(AccountUse.cost).desc(), User.id)
    )
    found = list(db.session.execute(query))
    return [one for one in found if one.id != row.owner_id], next(
        (one for one in found if one.id == row.owner_id), None
    )


def credits_of(account_id: int) -> list[Credit]:
    """Return what sharing it is credited with, pool by pool."""
    query = select(Credit).where(Credit.account_id == account_id).order_by(Credit.model_group)
    return list(db.session.scalars(query))
