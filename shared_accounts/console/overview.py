"""The first page: what one can use, when more comes back, and who has to act."""

from __future__ import annotations

from typing import Any

from flask import g, render_template

from shared_accounts.console import alerts, figures, holdings, pools, trend
from shared_accounts.console.door import page
from shared_accounts.console.frame import NEEDS_OWNER


@page("/overview")
def overview() -> Any:
    """Show what is left, today in four numbers, one's own accounts and whether the books balance."""
    mine, held, so_far = pools.of(g.person.id), holdings.of(g.person.id), figures.standing(g.person.id)
    g.need = sum(one.state in NEEDS_OWNER for one in held)
    today, yesterday = figures.today_and_yesterday(g.person.id)
    return render_template(
        "screens/overview.html",
        pools=mine,
        holdings=held,
        so_far=so_far,
        today=today,
        yesterday=yesterday,
        trend=trend.of(g.person.id),
        usable=sum(one.available > 0 for one in mine),
        next_refill=min((one.next_refill for one in mine if one.next_refill), default=None),
        news=alerts.news(),
        proof=figures.last_proof(),
        next_proof=figures.next_proof(),
        is_new=not (held and so_far.keys and so_far.has_called),
    )
