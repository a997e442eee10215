"""How many requests there were, by hour or by day, and of which models."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import request
from sqlalchemy import func, select

from shared_accounts.console import show
from shared_accounts.console.language import zone
from shared_accounts.extensions import db
from shared_accounts.usage.models import UsageLog

RANGES = {"24h": ("hour", 24), "7d": ("day", 7), "30d": ("day", 30)}
"""What can be asked for: how wide a column is, and how many there are."""

_MOST_LAYERS = 5


@dataclass(frozen=True, slots=True)
class Trend:
    """Columns from the oldest to the newest, each with a count per layer; beyond five groups the rest is one layer."""

    chosen: str
    by: str
    layers: list[str]
    columns: list[tuple[datetime, list[int]]]

    @property
    def highest(self) -> int:
        """The largest sum of a column."""
        return max((sum(counts) for _, counts in self.columns), default=0)


def of(user_id: int) -> Trend:
    """Return somebody's requests over the time that the query asks for."""
    chosen = request.args.get("range", "24h")
    chosen = chosen if chosen in RANGES else "24h"
    by, length = RANGES[chosen]
    starts = _starts(by, length)
    counts = _counts(user_id, by, starts[0])
    totals = Counter[str]()
    for (_, group), number in counts.items():
        totals[group] += number
    layers, named = _layers(totals)

    def column(start: datetime) -> list[int]:
        return [sum(counts.get((start, group), 0) for group in named[one]) for one in layers]

    return Trend(chosen, by, layers, [(start, column(start)) for start in starts])


def _starts(by: str, length: int) -> list[datetime]:
    now, backwards = show.now(), range(length - 1, -1, -1)
    if by == "day":
        return [show.midnight(now.date() - timedelta(days=ago)) for ago in backwards]
    hour = now.replace(minute=0, second=0, microsecond=0)
    return [hour - timedelta(hours=ago) for ago in backwards]


def _counts(user_id: int, by: str, since: datetime) -> dict[tuple[datetime, str], int]:
    start: Any = func.date_trunc(by, UsageLog.opened_at, str(zone())).label("start")
    query = select(start, UsageLog.model_group, func.count()).where(
        UsageLog.user_id == user_id, UsageLog.opened_at >= since
    )
    found = db.session.execute(query.group_by(start, UsageLog.model_group)).tuples()
    return {(moment, group): number for moment, group, number in found}


def _layers(totals: Counter[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the layers' names, the largest first, and which groups each stands for; the last may be nameless."""
    names = [group for group, _ in totals.most_common()]
    if len(names) <= _MOST_LAYERS:
        return names, {name: [name] for name in names}
    kept, rest = names[: _MOST_LAYERS - 1], names[_MOST_LAYERS - 1 :]
    return [*kept, ""], {**{name: [name] for name in kept}, "": rest}
