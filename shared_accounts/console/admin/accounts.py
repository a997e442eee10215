"""Everybody's accounts: who contributed them, how they fare; taken out, given back, and what one may be worth."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request
from sqlalchemy import func, select

from shared_accounts.accounts import oversight, standing
from shared_accounts.accounts.api import settings_now
from shared_accounts.accounts.models import AccountUse
from shared_accounts.admin.accounts_api import STATES, AccountFilters, Disabling, Worth
from shared_accounts.console import account, forms, holdings
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db

_PAGE = 50
_DAYS = 7


@admin_page("/accounts")
def all_accounts() -> Any:
    """List everybody's accounts, newest first."""
    number = forms.number("page")
    filters = forms.filters(AccountFilters())
    found, count = oversight.page(number, _PAGE, **filters)
    held = holdings.described([one for one, _ in found])
    return render_template(
        "admin/accounts.html",
        accounts=[(one, owner) for one, (_, owner) in zip(held, found, strict=True)],
        drawn=_drawn([one.row.id for one in held]),
        states=STATES,
        filters=filters,
        count=count,
        number=number,
        pages=-(-count // _PAGE),
    )


@admin_page("/accounts/<int:account_id>")
def any_account(account_id: int) -> Any:
    """Show anybody's account."""
    return _shown(account_id, {})


@admin_page("/accounts/<int:account_id>/disable")
def disabling_account(account_id: int) -> Any:
    """Ask why."""
    return _asked(account_id, {})


@admin_act("/accounts/<int:account_id>/disable")
def disable_account(account_id: int) -> Any:
    """Take an account out of service; its owner reads the reason."""
    given, errors = forms.load(Disabling(), forms.values())
    if errors:
        return _asked(account_id, errors), 422
    oversight.disable(account_id, given["reason"], actor_id=g.person.id)
    db.session.commit()
    return news.tell("any_account", "disabled", account_id=account_id)


@admin_act("/accounts/<int:account_id>/enable")
def enable_account(account_id: int) -> Any:
    """Give an account back to service that an admin had disabled."""
    oversight.enable(account_id, actor_id=g.person.id)
    db.session.commit()
    return news.tell("any_account", "enabled", account_id=account_id)


@admin_act("/accounts/<int:account_id>/worth")
def set_worth(account_id: int) -> Any:
    """Say what the account may be worth at most; what its owner earns follows at once."""
    given, errors = forms.load(Worth(), {"max_worth": forms.values().get("max_worth")})
    if errors:
        return _shown(account_id, errors), 422
    try:
        oversight.set_worth(account_id, given["max_worth"], settings_now())
    except ServiceError as refusal:
        db.session.rollback()
        return _shown(account_id, {"max_worth": say(refusal.message)}), refusal.status
    db.session.commit()
    return news.tell("any_account", "worth", account_id=account_id)


def _drawn(account_ids: list[int]) -> dict[int, int]:
    """Return what was drawn from each of these in a week, by whomever."""
    query = select(AccountUse.account_id, func.sum(AccountUse.cost)).where(
        AccountUse.account_id.in_(account_ids), AccountUse.day > func.current_date() - _DAYS
    )
    found = db.session.execute(query.group_by(AccountUse.account_id)).tuples()
    return {account_id: int(cost) for account_id, cost in found}


def _shown(account_id: int, errors: Errors) -> str:
    row, owner = oversight.get(account_id)
    (holding,) = holdings.described([row])
    users, own = account.users_of(row)
    return render_template(
        "admin/account.html",
        holding=holding,
        account=row,
        owner=owner,
        users=users,
        own=own,
        credits=account.credits_of(row.id),
        events=standing.events(row.id)[:20],
        standard=settings_now().max_account_worth,
        errors=errors,
        filled=request.form if errors else None,
        news=news.told(),
    )


def _asked(account_id: int, errors: Errors) -> str:
    row, owner = oversight.get(account_id)
    filled = request.form.get("reason", "")[:200]
    return render_template("admin/account_disable.html", account=row, owner=owner, errors=errors, filled=filled)
