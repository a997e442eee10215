"""The roll-ups' days: a long time in few rows.

Invariant: each day (UTC) before that of the latest counted hour is the sum of its hours. Whoever counts an hour has the
days follow in the same transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, delete, func, insert, literal_column, select

from shared_accounts.extensions import db
from shared_accounts.usage.measures import MEASURES
from shared_accounts.usage.models import UsageDay, UsageDayTotal, UsageHour, UsageTotal

DAY = timedelta(days=1)

_LEVELS: tuple[tuple[Any, Any], ...] = ((UsageHour, UsageDay), (UsageTotal, UsageDayTotal))


def day_of(moment: datetime) -> datetime:
    """Return when a time's day (UTC) began."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def follow(hour: datetime) -> None:
    """Add up the day of an hour that has been counted, or counted again, and the days that are over by now."""
    latest = db.session.execute(select(func.max(UsageHour.hour))).scalar_one_or_none()
    if latest is None:
        return
    changed, today = day_of(hour), day_of(latest)
    for hours, by_day in _LEVELS:
        db.session.execute(delete(by_day).where((by_day.day == changed) | (by_day.day >= today)))
        known = db.session.execute(select(func.max(by_day.day))).scalar_one_or_none()
        if known is None or known + DAY < today:
            _add_up(hours, by_day, hours.hour < today, *([] if known is None else [hours.hour >= known + DAY]))
        if known is not None and changed < known:
            _add_up(hours, by_day, hours.hour >= changed, hours.hour < changed + DAY)


def _add_up(hours: Any, by_day: Any, *which: Any) -> None:
    day: Any = literal_column(f"date_trunc('day', {hours.__tablename__}.hour, 'UTC')", DateTime(timezone=True))
    alike = [column.name for column in by_day.__table__.primary_key if column.name != "day"]
    columns = [day, *(getattr(hours, name) for name in alike)]
    sums = [func.sum(getattr(hours, name)) for name in MEASURES]
    added = select(*columns, *sums).where(*which).group_by(*columns)
    db.session.execute(insert(by_day).from_select(["day", *alike, *MEASURES], added))
