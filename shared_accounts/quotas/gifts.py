"""Give quota to another member.

Invariant: a gift moves what is free from one pool to another of the same model group, in one transaction and with
two entries that sum to nothing; so it mints nothing. It never lifts a pool above its capacity. A pool that owes
neither gives nor receives: giving would hide from the debt what could pay it, and a received gift would pay for
somebody else's withdrawal.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, text

from shared_accounts.errors import NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger
from shared_accounts.quotas.forecast import units
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.quotas.refused import DoesNotFit, GiftLimitReached, GiftsOff, NotEnoughQuota, QuotaOwed
from shared_accounts.users import roster
from shared_accounts.users.models import User


@dataclass(frozen=True, slots=True)
class Gift:
    """What was given, and where it leaves the giver."""

    to: str
    pool: QuotaPool
    amount: int
    left_today: int


def give(giver_id: int, to: str, model_group: str, amount: int, *, note: str | None, daily_limit: int) -> Gift:
    """Give somebody else a part of what is free; the refusals' details say how much would have been possible.

    Raises `NotFound` for a receiver nobody knows or who is disabled, the `Conflict`s of `refused`, and
    `GiftLimitReached` when the giver would exceed the limit for this model group and day (UTC).
    """
    if daily_limit == 0:
        raise GiftsOff
    receiver = _receiver(giver_id, to)
    pools = ledger.locked([giver_id, receiver.id], model_group)
    mine, hers = pools.get(giver_id), pools.get(receiver.id)
    if mine is None:
        raise NotEnoughQuota("You have no quota for this model.", available=units(0))
    left = _left_today(mine, amount, daily_limit)
    _refuse_more_than_free(mine, amount)
    _refuse_more_than_fits(hers, amount)
    if hers is not None:
        ledger.give(mine, hers, amount, note=note)
    return Gift(receiver.username, mine, amount, left - amount)


def _receiver(giver_id: int, to: str) -> User:
    receiver = roster.find_by_username(to)
    if receiver is None or receiver.state == "disabled":
        raise NotFound
    if receiver.id == giver_id:
        raise Unprocessable("You cannot give to yourself.", field="to")
    return receiver


def _left_today(mine: QuotaPool, amount: int, limit: int) -> int:
    """Return how much of the day's limit is left before this gift; the pool's lock makes gifts take turns."""
    day = func.date_trunc("day", func.now(), "UTC")
    tomorrow = day + text("interval '24 hours'")  # '1 day' would follow the session's summer time
    given = select(func.coalesce(-func.sum(LedgerEntry.amount), 0)).where(
        LedgerEntry.pool_id == mine.id,
        LedgerEntry.kind == "gift",
        LedgerEntry.amount < 0,
        LedgerEntry.at >= day,
        LedgerEntry.at < tomorrow,
    )
    rest_of_day = func.ceil(func.extract("epoch", tomorrow - func.now()))
    spent, seconds = db.session.execute(select(given.scalar_subquery(), rest_of_day)).one()
    left = max(0, limit - int(spent))
    if amount > left:
        message = f"Of one model you may give {units(limit)} units a day (UTC); {units(left)} are left today."
        retry = int(seconds) if amount <= limit else None
        raise GiftLimitReached(message, retry_after=retry, daily_limit=units(limit), left_today=units(left))
    return left


def _refuse_more_than_free(mine: QuotaPool, amount: int) -> None:
    free = mine.balance - mine.reserved
    if mine.owed:
        message = f"This pool owes {units(mine.owed)} units for accounts that were withdrawn, so it cannot give."
        raise QuotaOwed(message, owed=units(mine.owed))
    if amount > free:
        raise NotEnoughQuota(f"Only {units(free)} units are free.", available=units(free))


def _refuse_more_than_fits(hers: QuotaPool | None, amount: int) -> None:
    if hers is not None and hers.owed:
        raise QuotaOwed("The receiver's pool is in debt, and a gift pays nobody's debt.")
    room = max(0, hers.capacity - hers.balance) if hers is not None else 0
    if amount > room:
        raise DoesNotFit(f"Only {units(room)} units would fit into the receiver's pool.", fits=units(room))
