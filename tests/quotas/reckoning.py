"""What every pool must hold, reckoned in plain Python from the rules of the specification (section 5), without SQL.

The machine in `test_machine.py` does each thing twice, once here and once with the real code on a real PostgreSQL,
and expects the same figures to the last micro-unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared_accounts.config import MICRO

HOUR = timedelta(hours=1)
CAPACITY, RATE, REFERENCE = 2 * MICRO, 400_000, 1_000_000

Key = tuple[int, str]
"""A user and a model group."""


@dataclass
class Pool:
    """A pool's figures."""

    through: datetime
    balance: int = 0
    reserved: int = 0
    capacity: int = 0
    rate: int = 0
    owed: int = 0
    refilled: int = 0
    moved: int = 0
    """What was spent, given and corrected, in sum."""

    @property
    def free(self) -> int:
        return self.balance - self.reserved

    @property
    def room(self) -> int:
        return max(0, self.capacity - self.balance)

    def refill(self, hour: datetime) -> None:
        """Pay every full hour once, up to the capacity; a clock set back pays nothing."""
        if hour <= self.through:
            return
        hours = (hour - self.through) // HOUR
        amount = min(self.room, hours * self.rate)
        self.balance, self.refilled, self.through = self.balance + amount, self.refilled + amount, hour

    def move(self, amount: int) -> None:
        """Spend, give or correct."""
        self.balance, self.moved = self.balance + amount, self.moved + amount


@dataclass
class Credit:
    """What sharing one account has brought its owner, for one model group."""

    key: Key
    capacity: int
    rate: int
    balance: int
    resting: bool = False


class Reckoning:
    """All pools, and why they are what they are."""

    def __init__(self) -> None:
        self.pools: dict[Key, Pool] = {}
        self.credits: dict[tuple[int, str], Credit] = {}
        self.given: list[tuple[Key, datetime, int]] = []

    def grow(self, owner: int, account: int, groups: Iterable[str], allowance: int, hour: datetime) -> None:
        """Credit what an account of this allowance is worth; no more than one standard account, whatever is claimed."""
        worth = min(allowance * MICRO // REFERENCE, MICRO)
        capacity, rate = CAPACITY * worth // MICRO, RATE * worth // MICRO
        for group in groups:
            pool = self.pools.setdefault((owner, group), Pool(through=hour))
            pool.refill(hour)
            pool.capacity, pool.rate = pool.capacity + capacity, pool.rate + rate
            credit = min(capacity, pool.room)
            repaid = min(pool.owed, credit)
            pool.owed, pool.balance = pool.owed - repaid, pool.balance + credit - repaid
            self.credits[account, group] = Credit((owner, group), capacity, rate, credit)

    def shrink(self, account: int, hour: datetime) -> None:
        """Take back exactly what was credited; what is spent or reserved becomes a debt."""
        for name, credit in self._of(account, hour):
            pool = self.pools[credit.key]
            taken = min(credit.balance, pool.free)
            pool.capacity -= credit.capacity
            pool.rate -= 0 if credit.resting else credit.rate
            pool.balance, pool.owed = pool.balance - taken, pool.owed + credit.balance - taken
            del self.credits[name]

    def rest(self, account: int, hour: datetime, *, resting: bool) -> None:
        """Stop or resume an account's part of the refill."""
        for _, credit in self._of(account, hour):
            if credit.resting != resting:
                self.pools[credit.key].rate += -credit.rate if resting else credit.rate
                credit.resting = resting

    def age(self, hours: int) -> None:
        """Let all of this have been so many hours earlier."""
        for pool in self.pools.values():
            pool.through -= hours * HOUR
        self.given = [(key, at - hours * HOUR, amount) for key, at, amount in self.given]

    def refill(self, hour: datetime) -> None:
        """The hourly task; it passes over pools that earn nothing."""
        for pool in self.pools.values():
            if pool.rate:
                pool.refill(hour)

    def reserve(self, key: Key, estimate: int) -> bool:
        """Set an estimate aside, if the pool holds it."""
        pool = self.pools.get(key)
        if pool is None or not 0 < estimate <= pool.free:
            return False
        pool.reserved += estimate
        return True

    def settle(self, key: Key, reserved: int, cost: int) -> int:
        """Replace a reservation by its cost; returns the charge."""
        pool = self.pools[key]
        charge = min(cost, reserved + pool.free)
        pool.reserved -= reserved
        pool.move(-charge)
        return charge

    def bounds(self, key: Key, hour: datetime) -> dict[str, int]:
        """What is free in a pool and what still fits into it, once it is refilled; nothing if there is no pool."""
        if key not in self.pools:
            return {}
        pool = copy(self.pools[key])
        pool.refill(hour)
        return {"free": pool.free, "room": pool.room}

    def given_today(self, giver: Key, moment: datetime) -> int:
        """How much of a model group somebody has given since midnight (UTC)."""
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return sum(amount for key, at, amount in self.given if key == giver and at >= midnight)

    def may_give(self, giver: Key, receiver: Key, amount: int, moment: datetime, limit: int) -> bool:
        """Tell whether a gift is allowed, and if so move it."""
        pools = [self.pools.get(key) for key in (giver, receiver)]
        for pool in filter(None, pools):
            pool.refill(moment.replace(minute=0, second=0, microsecond=0))
        mine, hers = pools
        if not mine or not hers or mine.owed or hers.owed:
            return False
        if amount > min(mine.free, hers.room, limit - self.given_today(giver, moment)):
            return False
        mine.move(-amount)
        hers.move(amount)
        self.given.append((giver, moment, amount))
        return True

    def may_correct(self, key: Key, amount: int, hour: datetime) -> bool:
        """Tell whether a correction is within the bounds, and if so make it."""
        pool = self.pools.get(key)
        if pool is None:
            return False
        pool.refill(hour)
        if not -pool.free <= amount <= pool.room:
            return False
        pool.move(amount)
        return True

    def _of(self, account: int, hour: datetime) -> list[tuple[tuple[int, str], Credit]]:
        found = [(name, credit) for name, credit in self.credits.items() if name[0] == account]
        for _, credit in found:
            self.pools[credit.key].refill(hour)
        return found
