"""A month of one's quota; what was used meanwhile stands on the page to print."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import g, render_template, request

from shared_accounts.console import show
from shared_accounts.console.door import page
from shared_accounts.usage import statement

_FIRST_YEAR = 2000


@page("/usage/statement")
def usage_statement() -> Any:
    """State what moved each pool in a month, from its opening to its closing balance; months are those of UTC."""
    now = datetime.now(UTC)
    name = _month(now)
    start, end = statement.month(name)
    return render_template(
        "screens/usage_statement.html",
        pools=statement.statement(g.person.id, start, end),
        name=name,
        start=start,
        end=end,
        is_over=end <= now,
        printed=show.now(),
        before=(start - timedelta(days=1)).strftime("%Y-%m"),
        after=end.strftime("%Y-%m") if end <= now else None,
    )


def _month(now: datetime) -> str:
    """Return the month that is asked for, if it has begun, else this one."""
    asked, this = request.args.get("month", ""), now.strftime("%Y-%m")
    try:
        start, _ = statement.month(asked)
    except (ValueError, OverflowError):
        return this
    return f"{start:%Y-%m}" if start <= now and start.year >= _FIRST_YEAR else this
