"""Everybody's pools, their ledgers, and corrections by hand: an entry in the ledger with its reason."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request
from sqlalchemy import func, select

from shared_accounts.accounts.models import Account
from shared_accounts.admin import quotas_api
from shared_accounts.admin.quotas_api import PoolFilters, QuotaCorrection
from shared_accounts.console import figures, forms
from shared_accounts.console import pools as drawn
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import NotFound, ServiceError
from shared_accounts.extensions import db
from shared_accounts.quotas import corrections, history
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.quotas.refused import DoesNotFit
from shared_accounts.users import roster

_PAGE = 50


@admin_page("/pools")
def pools() -> Any:
    """List everybody's pools, newest first."""
    number = forms.number("page")
    filters = forms.filters(PoolFilters())
    found, count = quotas_api.listed(number, _PAGE, **filters)
    totals = select(func.count(), func.coalesce(func.sum(QuotaPool.balance - QuotaPool.reserved), 0))
    every, free = db.session.execute(totals).one()
    return render_template(
        "admin/pools.html",
        pools=found,
        every=every,
        free=int(free),
        filters=filters,
        count=count,
        number=number,
        pages=-(-count // _PAGE),
        proof=figures.last_proof(),
    )


@admin_page("/pools/<int:pool_id>")
def pool(pool_id: int) -> Any:
    """Show somebody's pool with a page of its ledger."""
    row = _get(pool_id)
    number = forms.number("page")
    query = history.entries(row.user_id, model_group=row.model_group)
    count = db.session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    lines = list(db.session.execute(query.offset((number - 1) * _PAGE).limit(_PAGE)))
    return render_template(
        "admin/pool.html",
        row=row,
        owner=roster.get(row.user_id),
        pool=next(one for one in drawn.of(row.user_id) if one.group == row.model_group),
        lines=lines,
        names=_names([entry for entry, *_ in lines]),
        count=count,
        number=number,
        pages=-(-count // _PAGE),
        news=news.told(),
    )


@admin_page("/pools/<int:pool_id>/correct")
def correcting(pool_id: int) -> Any:
    """Ask by how much, and why."""
    return _asked(pool_id, {})


@admin_act("/pools/<int:pool_id>/correct")
def correct(pool_id: int) -> Any:
    """Correct a pool by hand; the reason stands in its owner's ledger and in the audit log."""
    row = _get(pool_id)
    given = {**forms.values(), "username": "whoever owns it", "model_group": row.model_group}
    if "units" in given:
        given["units"] = given["units"].strip().replace("\u2212", "-").removeprefix("+")
    loaded, errors = forms.load(QuotaCorrection(), given)
    if errors:
        return _asked(pool_id, errors), 422
    reason, amount = loaded["reason"], loaded["units"]
    try:
        corrections.correct(row.user_id, row.model_group, amount, actor_id=g.person.id, reason=reason)
    except DoesNotFit as refusal:
        db.session.rollback()
        bounds = say("At the moment it can be corrected by %(least)s to %(most)s units.", **refusal.details)
        return _asked(pool_id, {"units": bounds}), refusal.status
    except ServiceError as refusal:
        db.session.rollback()
        return _asked(pool_id, forms.wrong(refusal, otherwise="units")), refusal.status
    db.session.commit()
    return news.tell("pool", "corrected", pool_id=pool_id)


def _get(pool_id: int) -> QuotaPool:
    row: QuotaPool | None = db.session.get(QuotaPool, pool_id)
    if row is None:
        raise NotFound
    return row


def _names(lines: list[LedgerEntry]) -> dict[int, str]:
    """Return the names of the accounts that these lines are about."""
    wanted = {entry.account_id for entry in lines if entry.account_id}
    query = select(Account.id, Account.name).where(Account.id.in_(wanted))
    return dict(db.session.execute(query).tuples().all()) if wanted else {}


def _asked(pool_id: int, errors: Errors) -> str:
    row = _get(pool_id)
    filled = {name: request.form.get(name, "")[:200] for name in ("units", "reason")}
    most = max(0, row.capacity - row.balance)
    return render_template(
        "admin/pool_correct.html",
        row=row,
        owner=roster.get(row.user_id),
        least=row.reserved - row.balance,
        most=most,
        errors=errors,
        filled=filled,
    )
