"""What was used: the log with its filters, newest first, and the same as files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from sqlalchemy import Row

from shared_accounts.console import asked, forms, names
from shared_accounts.console.asked import Asked
from shared_accounts.console.door import page
from shared_accounts.console.frame import held
from shared_accounts.usage import lines, rollup
from shared_accounts.usage.export_api import sheet
from shared_accounts.usage.rollup import Reach
from shared_accounts.usage.schemas import FORMATS
from shared_accounts.usage.stats import Stats, count, series, stats

PAGE = 50
_DEEPEST = 2000
_MOST_CHOICES = 100


@page("/usage")
def usage() -> Any:
    """List exchanges that are over, fifty at a time."""
    if found := _identity():
        return redirect(url_for("console.exchange", exchange_id=found), 303)
    what = asked.read()
    reach = rollup.reach()
    everything = stats(what.everything, reach=reach)
    sums = stats(what.wanted, reach=reach) if what.is_filtered else everything
    number = min(forms.number("page"), _DEEPEST)
    rows = lines.page(what.wanted, offset=(number - 1) * PAGE, limit=PAGE)
    return render_template(
        "screens/usage.html",
        **choices(what, everything, reach, line_accounts(rows)),
        rows=[row[:3] for row in rows],
        total=sums.total,
        served=sum(row.calls for row in sums.by["outcome"] if row.outcome == "served"),
        number=number,
        pages=-(-count(what.wanted, sums.total.calls, reach) // PAGE),
    )


@page("/usage/export")
def export_usage() -> Any:
    """Give the log as a file, with the filters of the page."""
    chosen = request.args.get("format", "")
    return sheet(asked.read().wanted, chosen if chosen in FORMATS else FORMATS[0])


def choices(what: Asked, everything: Stats, reach: Reach, shown: Iterable[int] = ()) -> dict[str, Any]:
    """Return what the form of filters offers, namely all that the time holds; and how to call the accounts shown."""
    used = [row.value for row in series(what.everything, "account_id", reach=reach)][:_MOST_CHOICES]
    known = names.accounts([*used, *shown])
    chosen = what.wanted.model
    models = sorted({row.model for row in everything.by["model"]} | ({chosen} if chosen else set()))
    return {
        "asked": what,
        "models": [(one, one) for one in models],
        "keys": [] if what.others else list(names.keys().items()),
        "named": known,
        "accounts": [(one, known[one].short) for one in used if one in known],
        "shares": what.others or held()[0] > 0,
    }


def line_accounts(rows: list[Row[Any]]) -> set[int]:
    """Return which accounts served these lines."""
    return {line.account_id for line, *_ in rows}


def _identity() -> UUID | None:
    """Return the exchange that is looked for by its id, if it is one."""
    try:
        return UUID(request.args.get("q", "").strip())
    except ValueError:
        return None
