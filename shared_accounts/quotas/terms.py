"""What an account adds to a pool and takes from it: one arithmetic for the deed and for a look ahead. Pure.

`ledger` does to a locked pool what is reckoned here, and whoever asks what a change would do reckons the same; so the
two cannot disagree. All amounts are integer micro-units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Terms:
    """What an account adds to its owner's pool."""

    capacity: int
    refill_per_hour: int
    balance: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A pool at one moment."""

    refilled_through: datetime
    balance: int = 0
    reserved: int = 0
    capacity: int = 0
    refill_per_hour: int = 0
    owed: int = 0


class Credited(Protocol):
    """What a pool was credited with for one account."""

    capacity: int
    refill_per_hour: int
    balance: int
    resting: bool


def grown(pool: Figures, offer: Terms, *, resting: bool) -> tuple[Figures, int]:
    """Return the pool with what an account offers, and how much balance that is, a debt that it paid included.

    A balance never rises above the new capacity, and a debt left by an earlier withdrawal is paid first. An account
    that rests brings capacity, but nothing by the hour.
    """
    capacity = pool.capacity + offer.capacity
    credit = max(0, min(offer.balance, capacity - pool.balance))
    repaid = min(pool.owed, credit)
    grown_to = replace(
        pool,
        balance=pool.balance + credit - repaid,
        capacity=capacity,
        refill_per_hour=pool.refill_per_hour + (0 if resting else offer.refill_per_hour),
        owed=pool.owed - repaid,
    )
    return grown_to, credit


def shrunk(pool: Figures, credit: Credited) -> Figures:
    """Return the pool without what it was credited with; what is spent or reserved already becomes a debt."""
    taken = min(credit.balance, pool.balance - pool.reserved)
    return replace(
        pool,
        balance=pool.balance - taken,
        capacity=pool.capacity - credit.capacity,
        refill_per_hour=pool.refill_per_hour - (0 if credit.resting else credit.refill_per_hour),
        owed=pool.owed + credit.balance - taken,
    )
