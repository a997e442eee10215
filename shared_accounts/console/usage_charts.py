"""What was used over time: by model, key or account, in exchanges or in units."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flask import render_template, request

from shared_accounts.console import asked, names, show, trend, usage
from shared_accounts.console.asked import Asked
from shared_accounts.console.door import page
from shared_accounts.console.language import say, zone
from shared_accounts.console.trend import Trend
from shared_accounts.usage import rollup
from shared_accounts.usage.rollup import Reach
from shared_accounts.usage.stats import series, stats

DIMENSIONS = {"model": "model", "key": "api_key_id", "account": "account_id", "member": "user_id"}
MEASURES = ("requests", "units")

_A_DAY, _AN_HOUR = timedelta(days=1), timedelta(hours=1)
_MOST_HOURS, _MOST_DAYS, _MOST_MONTHS = 48, 62, 12
_COLUMNS = {"today": ("hour", 24), "7d": ("day", 7), "30d": ("day", 30), "all": ("month", _MOST_MONTHS)}


@page("/usage/charts")
def usage_charts() -> Any:
    """Draw what was used, and say the same in a table."""
    what = asked.read()
    by, measure = _chosen("by", _dimensions(what)), _chosen("measure", MEASURES)
    reach = rollup.reach()
    everything = stats(what.everything, reach=reach)
    offered = usage.choices(what, everything, reach)
    called = {"key": dict(offered["keys"]), "account": {one.id: one.short for one in offered["named"].values()}}
    return render_template(
        "screens/usage_charts.html",
        **offered,
        total=(stats(what.wanted, reach=reach) if what.is_filtered else everything).total,
        trend=_trend(what, by, measure, called.get(by, {}), reach),
        by=by,
        measure=measure,
        dimensions=_dimensions(what),
    )


def _dimensions(what: Asked) -> tuple[str, ...]:
    return ("model", "member", "account") if what.others else ("model", "key", "account")


def _chosen(name: str, allowed: tuple[str, ...]) -> str:
    found = request.args.get(name, "")
    return found if found in allowed else allowed[0]


def _trend(what: Asked, by: str, measure: str, called: dict[Any, str], reach: Reach) -> Trend:
    interval, columns = _columns(what)
    wanted = replace(what.wanted, start=columns[0]) if what.period == "all" else what.wanted
    rows = series(wanted, DIMENSIONS[by], interval, str(zone()), reach)
    spent = "cost" if what.others else "charged"
    counts = {(row.at, row.value): int(row.calls if measure == "requests" else getattr(row, spent)) for row in rows}
    if by == "member":
        called = names.people(row.value for row in rows)
    called = {0: say("no key"), **called} if by == "key" else dict(called)
    called |= {value: f"#{value}" for _, value in counts if isinstance(value, int) and value not in called}
    return trend.stacked(what.period, interval, columns, counts, names=called, of_units=measure == "units")


def _columns(what: Asked) -> tuple[str, list[datetime]]:
    """Return how wide a column is, and when each begins."""
    start, end = what.wanted.start, what.wanted.end
    if start is None or end is None:
        interval, length = _COLUMNS[what.period]
        last = start + _A_DAY - _AN_HOUR if start and what.period == "today" else None
        return interval, trend.starts(interval, length, last)
    last = end - datetime.resolution
    hours, days = -(-(end - start) // _AN_HOUR), (show.local(last).date() - show.local(start).date()).days + 1
    if hours <= _MOST_HOURS:
        return "hour", trend.starts("hour", hours, last)
    return ("day", trend.starts("day", days, last)) if days <= _MOST_DAYS else ("month", _months(last))


def _months(last: datetime) -> list[datetime]:
    return trend.starts("month", _MOST_MONTHS, last)
