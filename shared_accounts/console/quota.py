"""What one may draw, the sum it comes from, and every line that moved it."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request
from sqlalchemy import func, select

from shared_accounts.accounts.models import Account
from shared_accounts.console import asked, figures, forms, ledger_days, pools, show
from shared_accounts.console.door import page
from shared_accounts.extensions import db
from shared_accounts.quotas import history

_PAGE = 50


@page("/quota")
def quota() -> Any:
    """Show one pool with its arithmetic, its day and its ledger: folded by the hour, or every line."""
    mine = pools.of(g.person.id)
    if not mine:
        return render_template("screens/quota_none.html")
    pool = next((one for one in mine if one.group == request.args.get("group", "")), mine[0])
    kind = request.args.get("kind", "")
    kind = kind if kind in history.KINDS else ""
    in_full = bool(kind) or request.args.get("view") == "lines"
    today = show.midnight(show.now().date())
    at_midnight = ledger_days.opening(pool, today)
    return render_template(
        "screens/quota.html",
        pools=mine,
        pool=pool,
        free=sum(one.available for one in mine),
        totals=_totals(pool.group),
        course=ledger_days.course(pool, at_midnight),
        kinds=history.KINDS,
        kind=kind,
        in_full=in_full,
        proof=figures.last_proof(),
        said=request.args.get("said", ""),
        **(_every_line(pool.group, kind) if in_full else _by_hour(pool)),
    )


def _by_hour(pool: pools.Pool) -> dict[str, Any]:
    day = ledger_days.of(pool, asked.day(request.args.get("day")))
    return {"day": day, "names": _names({row.account_id for row in day.rows})}


def _every_line(group: str, kind: str) -> dict[str, Any]:
    number = forms.number("page")
    lines, count = _lines(group, kind, number)
    names = _names({entry.account_id for entry, *_ in lines})
    return {"lines": lines, "names": names, "number": number, "pages": -(-count // _PAGE), "count": count}


def _lines(group: str, kind: str, number: int) -> tuple[list[Any], int]:
    query = history.entries(g.person.id, model_group=group, kind=kind or None)
    count = db.session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    return list(db.session.execute(query.offset((number - 1) * _PAGE).limit(_PAGE))), count


def _totals(group: str) -> dict[str, tuple[int, int]]:
    """Return, for each kind of line, how many there are and what they add up to."""
    lines = history.entries(g.person.id, model_group=group).order_by(None).subquery()
    totals = select(lines.c.kind, func.count(), func.sum(lines.c.amount)).group_by(lines.c.kind)
    return {kind: (count, int(total)) for kind, count, total in db.session.execute(totals).tuples()}


def _names(ids: set[int | None]) -> dict[int, str]:
    """Return the names of those of the reader's accounts that lines are about."""
    wanted = ids - {None}
    if not wanted:
        return {}
    mine = select(Account.id, Account.name).where(Account.id.in_(wanted), Account.owner_id == g.person.id)
    return dict(db.session.execute(mine).tuples().all())
