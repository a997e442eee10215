"""Where sums come from: whole counted days and hours from the roll-ups, all other lines from the log.

Invariant: the parts of a time do not overlap and leave nothing out, so adding them up is adding up its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from shared_accounts.usage import days, rollup
from shared_accounts.usage.measures import MEASURES, from_log
from shared_accounts.usage.models import UsageDay, UsageDayTotal, UsageHour, UsageLog, UsageTotal
from shared_accounts.usage.wanted import Wanted, between

HOUR = "hour"


def parts(
    wanted: Wanted,
    names: tuple[str, ...],
    through: datetime | None,
    *,
    finest: str | None = None,
    earliest: datetime | None = None,
) -> Iterator[Select[Any]]:
    """Yield queries for parts of the time that do not overlap: counted days and hours, and the lines around them.

    Hours are counted `through` then. With `HOUR` for the finest interval that matters there are no days.
    """
    first, last = _whole_hours(wanted.start, wanted.end, through)
    if earliest is not None and (first is None or first < earliest):
        first = earliest
    if last is None or through is None or (first is not None and first >= last):
        yield _from_log(wanted, names, wanted.start, wanted.end)
        return
    yield from _from_roll_ups(wanted, names, first, last, days_until=None if finest == HOUR else through - rollup.HOUR)
    if wanted.start != first:
        yield _from_log(wanted, names, wanted.start, first)
    yield _from_log(wanted, names, last, wanted.end)


def _from_roll_ups(
    wanted: Wanted, names: tuple[str, ...], first: datetime | None, last: datetime, *, days_until: datetime | None
) -> Iterator[Select[Any]]:
    """Yield queries for whole counted hours, by the day where whole days are added up; those end at `days_until`."""
    hours, by_day = (UsageTotal, UsageDayTotal) if wanted.is_about_everybody else (UsageHour, UsageDay)
    begin = first and days.day_of(first + days.DAY - datetime.resolution)
    end = days_until and days.day_of(min(last, days_until))
    if end is None or (begin is not None and begin >= end):
        yield _sums(wanted, names, hours, hours.hour, first, last)
        return
    yield _sums(wanted, names, by_day, by_day.day, begin, end)
    if first != begin:
        yield _sums(wanted, names, hours, hours.hour, first, begin)
    if last != end:
        yield _sums(wanted, names, hours, hours.hour, end, last)


def _sums(  # noqa: PLR0917 - a table and its time belong together
    wanted: Wanted, names: tuple[str, ...], table: Any, time: Any, start: datetime | None, end: datetime | None
) -> Select[Any]:
    return select(*_columns(table, names, time)).where(*between(time, start, end), *wanted.among(table))


def _whole_hours(
    start: datetime | None, end: datetime | None, through: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """Return the first and the end of the counted hours that lie in a time as a whole; no end: there are none."""
    first = start and _hour(start + rollup.HOUR - datetime.resolution)
    if through is None or end is None:
        return first, through
    return first, min(through, _hour(end))


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _from_log(wanted: Wanted, names: tuple[str, ...], start: datetime | None, end: datetime | None) -> Select[Any]:
    lines = from_log(*between(UsageLog.opened_at, start, end), *wanted.among(UsageLog)).subquery().c
    return select(*_columns(lines, names, lines.hour))


def _columns(source: Any, names: tuple[str, ...], time: Any) -> list[ColumnElement[Any]]:
    own = {"own": source.user_id == source.contributor_id} if hasattr(source, "user_id") else {}
    said = [(own[name] if name in own else getattr(source, name)).label(name) for name in names]
    return [*said, time.label("hour"), *(getattr(source, name) for name in MEASURES)]
