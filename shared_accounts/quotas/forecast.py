"""When quota comes back: the question every refusal has to answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas.models import QuotaPool
from shared_accounts.quotas.refill import refill
from shared_accounts.quotas.terms import Figures

_HOUR = timedelta(hours=1)
_MOST_HOURS = 48


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a reservation did not fit, and in how many seconds it would; nothing if never at these terms."""

    message: str
    seconds: int | None
    details: dict[str, Any]


def units(micro: int) -> str:
    """Show micro-units as units with four decimals, rounded towards zero so that nothing is promised twice."""
    tenths = abs(micro) // (MICRO // 10_000)
    return f"{'-' if micro < 0 and tenths else ''}{tenths // 10_000}.{tenths % 10_000:04d}"


def refill_now(user_id: int, model_group: str) -> bool:
    """Give a pool the hours it has not received yet; returns whether it received anything."""
    pool = _pool(user_id, model_group)
    return pool is not None and refill(pool_ids=[pool.id]) > 0


def shortage(user_id: int, model_group: str, needed: int) -> Shortage:
    """Explain to a user why `needed` micro-units could not be reserved."""
    pool = _pool(user_id, model_group)
    if pool is None:
        message = "You have no quota for this model yet: share an account that serves it to earn some."
        return Shortage(message, None, {"model_group": model_group, "needed": units(needed), "available": units(0)})
    free = pool.balance - pool.reserved
    fits = fits_at(pool, needed)
    seconds = None if fits is None else max(1, int((fits - _now()).total_seconds()) + 1)
    when = f"it would fit at {fits.isoformat()}" if fits else "it is more than your pool can ever hold"
    details = {
        "model_group": model_group,
        "needed": units(needed),
        "available": units(free),
        "fits_at": fits.isoformat() if fits else None,
    }
    message = f"This request may cost {units(needed)} units and {units(free)} are free: {when}."
    return Shortage(message, seconds, details)


def fits_at(pool: QuotaPool | Figures, needed: int) -> datetime | None:
    """Return the full hour at which `needed` would be free if nothing else is spent; nothing if never."""
    missing = needed - (pool.balance - pool.reserved)
    if missing <= 0:
        return pool.refilled_through.astimezone(UTC)
    if pool.refill_per_hour <= 0 or pool.balance + missing > pool.capacity:
        return None
    hours = -(-missing // pool.refill_per_hour)
    return pool.refilled_through.astimezone(UTC) + hours * _HOUR


def full_at(pool: QuotaPool | Figures) -> datetime | None:
    """Return the full hour at which the pool will be full, nothing if it is, or never will be."""
    if pool.balance >= pool.capacity:
        return None
    return fits_at(pool, pool.capacity - pool.reserved)


def hours(pool: QuotaPool) -> list[tuple[datetime, int]]:
    """Return the balance at each full hour to come, if nothing is spent: until the pool is full, two days at most."""
    missing = pool.capacity - pool.balance
    if missing <= 0 or pool.refill_per_hour <= 0:
        return []
    count = min(_MOST_HOURS, -(-missing // pool.refill_per_hour))
    start = pool.refilled_through.astimezone(UTC)
    return [
        (start + hour * _HOUR, min(pool.capacity, pool.balance + hour * pool.refill_per_hour))
        for hour in range(1, count + 1)
    ]


def _pool(user_id: int, model_group: str) -> QuotaPool | None:
    where = (QuotaPool.user_id == user_id) & (QuotaPool.model_group == model_group)
    return db.session.scalar(select(QuotaPool).where(where).execution_options(populate_existing=True))


def _now() -> datetime:
    return db.session.scalar(select(func.now())) or datetime.now(UTC)
