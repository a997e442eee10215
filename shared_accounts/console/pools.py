"""A person's pools as the pages draw them: what is free, what comes each hour, and which accounts it comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select

from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from shared_accounts.quotas import forecast, ledger
from shared_accounts.quotas.arithmetic import Earning
from shared_accounts.quotas.models import Credit, QuotaPool

_HOUR = timedelta(hours=1)
_FEW_STEPS = 12


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool and its arithmetic, in micro-units; `steps` are the balances at the full hours until it is full."""

    group: str
    balance: int
    reserved: int
    capacity: int
    refill: int
    owed: int
    refilled_through: datetime
    full_at: datetime | None
    steps: list[tuple[datetime, int]]
    earnings: list[Earning] = field(default_factory=list)

    @property
    def available(self) -> int:
        """What a request can still reserve."""
        return self.balance - self.reserved

    @property
    def is_resting(self) -> bool:
        """Whether nothing comes any more although something would be missing."""
        return self.refill == 0 and self.balance < self.capacity

    @property
    def next_refill(self) -> datetime | None:
        """When the next part comes, nothing if none is missing."""
        return self.refilled_through + _HOUR if self.steps else None

    @property
    def few_steps(self) -> list[tuple[datetime, int]]:
        """The steps as far as a bar can show them apart: one for many when there are many."""
        every = -(-len(self.steps) // _FEW_STEPS) or 1
        return [step for number, step in enumerate(reversed(self.steps)) if number % every == 0][::-1]


def of(user_id: int) -> list[Pool]:
    """Return somebody's pools by name, with what earns them."""
    found = ledger.pools_of(user_id)
    earned = _earnings([one.id for one in found])
    return [_pool(one, earned[one.id]) for one in found]


def _pool(row: QuotaPool, earnings: list[Earning]) -> Pool:
    return Pool(
        group=row.model_group,
        balance=row.balance,
        reserved=row.reserved,
        capacity=row.capacity,
        refill=row.refill_per_hour,
        owed=row.owed,
        refilled_through=row.refilled_through,
        full_at=forecast.full_at(row),
        steps=forecast.hours(row),
        earnings=earnings,
    )


def _earnings(pool_ids: Sequence[int]) -> defaultdict[int, list[Earning]]:
    query = select(Credit, Account.name).join(Account, Account.id == Credit.account_id)
    query = query.where(Credit.pool_id.in_(pool_ids)).order_by(Credit.account_id)
    earned: defaultdict[int, list[Earning]] = defaultdict(list)
    for credit, name in db.session.execute(query).tuples():
        one = Earning(credit.account_id, name, credit.capacity, credit.refill_per_hour, credit.resting)
        earned[credit.pool_id].append(one)
    return earned
