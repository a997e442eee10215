"""What one may draw, the sum it comes from, and every line that moved it."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request
from sqlalchemy import func, select

from shared_accounts.accounts.models import Account
from shared_accounts.console import figures, forms, pools
from shared_accounts.console.door import page
from shared_accounts.extensions import db
from shared_accounts.quotas import history
from shared_accounts.quotas.models import LedgerEntry

_PAGE = 50


@page("/quota")
def quota() -> Any:
    """Show one pool with its arithmetic and a page of its ledger."""
    mine = pools.of(g.person.id)
    if not mine:
        return render_template("screens/quota_none.html")
    asked = request.args.get("group", "")
    pool = next((one for one in mine if one.group == asked), mine[0])
    kind = request.args.get("kind", "")
    kind = kind if kind in history.KINDS else ""
    number = forms.number("page")
    lines, count = _lines(pool.group, kind, number)
    return render_template(
        "screens/quota.html",
        pools=mine,
        pool=pool,
        free=sum(one.available for one in mine),
        totals=_totals(pool.group),
        lines=lines,
        names=_names([entry for entry, *_ in lines]),
        kinds=history.KINDS,
        kind=kind,
        number=number,
        pages=-(-count // _PAGE),
        count=count,
        proof=figures.last_proof(),
    )


def _lines(group: str, kind: str, number: int) -> tuple[list[Any], int]:
    query = history.entries(g.person.id, model_group=group, kind=kind or None)
    count = db.session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    return list(db.session.execute(query.offset((number - 1) * _PAGE).limit(_PAGE))), count


def _totals(group: str) -> dict[str, tuple[int, int]]:
    """Return, for each kind of line, how many there are and what they add up to."""
    lines = history.entries(g.person.id, model_group=group).order_by(None).subquery()
    totals = select(lines.c.kind, func.count(), func.sum(lines.c.amount)).group_by(lines.c.kind)
    return {kind: (count, int(total)) for kind, count, total in db.session.execute(totals).tuples()}


def _names(lines: list[LedgerEntry]) -> dict[int, str]:
    """Return the names of the reader's accounts that these lines are about."""
    wanted = {entry.account_id for entry in lines if entry.account_id}
    if not wanted:
        return {}
    mine = select(Account.id, Account.name).where(Account.id.in_(wanted), Account.owner_id == g.person.id)
    return dict(db.session.execute(mine).tuples().all())
