"""How much there was of something over time: columns for a chart and rows for its table, the same numbers in both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import request
from sqlalchemy import func, select

from shared_accounts.config import MICRO
from shared_accounts.console import show
from shared_accounts.console.language import zone
from shared_accounts.extensions import db
from shared_accounts.usage import months
from shared_accounts.usage.models import UsageLog

RANGES = {"24h": ("hour", 24), "7d": ("day", 7), "30d": ("day", 30)}
"""What can be asked for: how wide a column is, and how many there are."""

Counts = dict[tuple[datetime, Any], int]

_MOST_LAYERS = 5
_MOST_LINES = 4
_FEW = 10


@dataclass(frozen=True, slots=True)
class Trend:
    """Columns from the oldest to the newest, each with a count per layer; beyond five groups the rest is one layer.

    A nameless layer is that rest. Of units the counts are micro-units.
    """

    chosen: str
    by: str
    layers: list[str]
    columns: list[tuple[datetime, list[int]]]
    of_units: bool = False

    @property
    def highest(self) -> int:
        """The largest sum of a column."""
        return max((sum(counts) for _, counts in self.columns), default=0)

    @property
    def ticks(self) -> list[int]:
        """The round values at which lines are drawn, the highest column below the last one."""
        unit = 100 if self.of_units else 1  # four decimals
        step = unit
        for factor in _round_numbers():
            step = unit * factor
            if step * _MOST_LINES >= self.highest:
                break
        return list(range(0, max(self.highest + step, 2 * step), step))[: _MOST_LINES + 1]

    @property
    def every(self) -> int:
        """Which columns are named below: every so many, counted from the newest."""
        return 4 if self.by == "hour" else 1 if len(self.columns) <= _FEW else 6 if self.by == "day" else 3

    def label(self, start: datetime) -> str:
        """Name a column."""
        if self.by == "month":
            return show.month(show.local(start))
        return show.clock(start) if self.by == "hour" else show.day(start)

    def tick(self, value: int) -> str:
        """Write a value on the scale, as short as it may be."""
        return f"{value / MICRO:,.4f}".rstrip("0").rstrip(".") if self.of_units else show.count(value)

    def say(self, value: int) -> str:
        """Write a value exactly."""
        return show.plain_units(value) if self.of_units else show.count(value)


def of(user_id: int) -> Trend:
    """Return somebody's requests over the time that the query asks for."""
    chosen = request.args.get("range", "24h")
    chosen = chosen if chosen in RANGES else "24h"
    by, length = RANGES[chosen]
    columns = starts(by, length)
    return stacked(chosen, by, columns, _counts(user_id, by, columns[0]))


def stacked(
    chosen: str,
    by: str,
    columns: list[datetime],
    counts: Counts,
    *,
    names: dict[Any, str] | None = None,
    of_units: bool = False,
) -> Trend:
    """Stack counts by what they are of, the largest first; `names` says what to call each."""
    totals = Counter[Any]()
    for (_, value), number in counts.items():
        totals[value] += number
    layers = _layers([value for value, _ in totals.most_common()])

    def column(start: datetime) -> list[int]:
        return [sum(counts.get((start, value), 0) for value in together) for together in layers]

    called = [_name(together, names or {}) for together in layers]
    return Trend(chosen, by, called, [(start, column(start)) for start in columns], of_units)


def starts(by: str, length: int, end: datetime | None = None) -> list[datetime]:
    """Return when each of so many hours, days or months begins, the last one being that of `end` or of now."""
    there, backwards = show.local(end) if end else show.now(), range(length - 1, -1, -1)
    if by == "day":
        return [show.midnight(there.date() - timedelta(days=ago)) for ago in backwards]
    if by == "month":
        months = [divmod(there.year * 12 + there.month - 1 - ago, 12) for ago in backwards]
        return [show.midnight(there.date().replace(year=year, month=month + 1, day=1)) for year, month in months]
    hour = there.replace(minute=0, second=0, microsecond=0)
    return [hour - timedelta(hours=ago) for ago in backwards]


def _counts(user_id: int, by: str, since: datetime) -> Counts:
    start: Any = func.date_trunc(by, UsageLog.opened_at, str(zone())).label("start")
    query = select(start, UsageLog.model_group, func.count()).where(
        UsageLog.user_id == user_id, UsageLog.opened_at >= since, *months.near(since, None)
    )
    found = db.session.execute(query.group_by(start, UsageLog.model_group)).tuples()
    return {(moment, group): number for moment, group, number in found}


def _layers(values: list[Any]) -> list[list[Any]]:
    """Return what each layer stands for; the last may be of many."""
    if len(values) <= _MOST_LAYERS:
        return [[value] for value in values]
    return [*([value] for value in values[: _MOST_LAYERS - 1]), values[_MOST_LAYERS - 1 :]]


def _name(together: list[Any], names: dict[Any, str]) -> str:
    return names.get(together[0], str(together[0])) if len(together) == 1 else ""


def _round_numbers() -> Iterable[int]:
    """Yield 1, 2, 5, 10, 20, 50 and so on."""
    for power in range(18):
        yield from (digit * 10**power for digit in (1, 2, 5))
