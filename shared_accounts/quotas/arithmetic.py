"""A pool as people see it, with the sum they can check.

Invariant: what is shown of the parts adds up to what is shown of the whole, to the last digit, although both are
cut to four decimals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from shared_accounts.config import MICRO
from shared_accounts.quotas import forecast
from shared_accounts.quotas.forecast import units
from shared_accounts.quotas.models import QuotaPool

_SHOWN = MICRO // 10_000


@dataclass(frozen=True, slots=True)
class Earning:
    """What one account earns a pool now, in micro-units; one that rests earns capacity but no refill."""

    account_id: int
    name: str
    capacity: int
    refill_per_hour: int
    resting: bool


def shown(pool: QuotaPool) -> dict[str, Any]:
    """Return a pool's figures for people, in units."""
    return {
        "model_group": pool.model_group,
        "balance": units(pool.balance),
        "reserved": units(pool.reserved),
        "available": units(pool.balance - pool.reserved),
        "capacity": units(pool.capacity),
        "refill_per_hour": units(pool.refill_per_hour),
        "refilled_through": pool.refilled_through,
        "full_at": forecast.full_at(pool),
        "owed": units(pool.owed),
    }


def explained(pool: QuotaPool, earnings: Sequence[Earning]) -> dict[str, Any]:
    """Return a pool's figures, which accounts they come from, and the sum in a sentence."""
    capacities = parts(one.capacity for one in earnings)
    rates = parts(0 if one.resting else one.refill_per_hour for one in earnings)
    earned = [
        {
            "account_id": one.account_id,
            "name": one.name,
            "capacity": capacity,
            "refill_per_hour": rate,
            "resting": one.resting,
        }
        for one, capacity, rate in zip(earnings, capacities, rates, strict=True)
    ]
    resting = sum(one.resting for one in earnings)
    return {**shown(pool), "earned_by": earned, "arithmetic": _sentence(pool, capacities, resting)}


def parts(amounts: Iterable[int]) -> list[str]:
    """Show amounts so that they add up to what `units` shows of their sum; each is off by less than the last digit."""
    totals = (total // _SHOWN * _SHOWN for total in accumulate(amounts, initial=0))
    return [units(after - before) for before, after in pairwise(totals)]


def _sentence(pool: QuotaPool, capacities: Sequence[str], resting: int) -> str:
    terms = [f"{_accounts(count)} x {each}" for each, count in Counter(capacities).items()]
    sentence = f"{' + '.join(terms) or _accounts(0)} = {units(pool.capacity)}; +{units(pool.refill_per_hour)} each hour"
    if resting:
        sentence += f" ({resting} resting)"
    if pool.owed:
        sentence += f"; {units(pool.owed)} owed for accounts withdrawn"
    return sentence


def _accounts(count: int) -> str:
    return f"{count} account{'' if count == 1 else 's'}"
