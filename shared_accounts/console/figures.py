"""The figures of the overview: today against yesterday by this time, first steps, and whether the books balance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select

from shared_accounts.console import show
from shared_accounts.extensions import db
from shared_accounts.keys.models import ApiKey
from shared_accounts.metrics.models import JobRun
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.usage import months
from shared_accounts.usage.models import UsageHour, UsageLog

_DAY = timedelta(days=1)
_PROOF = "prove_ledger"


@dataclass(frozen=True, slots=True)
class Period:
    """What somebody called for in a stretch of time."""

    requests: int
    charged: int
    first_byte_ms: float | None
    unserved: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody has done so far, and what her ledger says."""

    keys: int
    has_called: bool
    entries: int
    total: int


def today_and_yesterday(user_id: int) -> tuple[Period, Period]:
    """Return this day so far, as the reader's clock counts days, and the day before until the same time."""
    now = show.now()
    midnight, start = show.midnight(now.date()), show.midnight(now.date() - _DAY)
    today, before = (UsageLog.opened_at >= midnight), (UsageLog.opened_at < now - _DAY)
    hers = select(*_period(today), *_period(before)).where(
        UsageLog.user_id == user_id, UsageLog.opened_at >= start, *months.near(start, None)
    )
    row = db.session.execute(hers).one()
    half = len(row) // 2
    return _read(row[:half]), _read(row[half:])


def standing(user_id: int) -> Standing:
    """Return it in one look."""
    keys = select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id).scalar_subquery()
    called = or_(*(select(table).where(table.user_id == user_id).exists() for table in (UsageLog, UsageHour)))
    hers = select(QuotaPool.id).where(QuotaPool.user_id == user_id)
    entries = select(keys, called, func.count(), func.coalesce(func.sum(LedgerEntry.amount), 0))
    row = db.session.execute(entries.where(LedgerEntry.pool_id.in_(hers))).one()
    return Standing(int(row[0]), bool(row[1]), int(row[2]), int(row[3]))


def last_proof() -> JobRun | None:
    """Return how the last proof of everybody's ledger went, nothing if there was none yet."""
    run: JobRun | None = db.session.get(JobRun, _PROOF)
    return run if run is not None and run.last_finished is not None else None


def next_proof() -> datetime:
    """Return the full hour at which the ledger is proved next."""
    return show.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def _period(within: Any) -> tuple[Any, ...]:
    median = func.percentile_cont(0.5).within_group(UsageLog.first_byte_ms)
    return (
        func.count().filter(within),
        func.coalesce(func.sum(UsageLog.charged).filter(within), 0),
        median.filter(within),
        func.count().filter(within & UsageLog.outcome.not_in(("served", "client_left"))),
    )


def _read(row: Any) -> Period:
    requests, charged, first_byte, unserved = row
    return Period(int(requests), int(charged), None if first_byte is None else float(first_byte), int(unserved))
