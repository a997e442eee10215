"""What a key may spend, in all and over time, by the price of what it asked for, also on its owner's own accounts.

Invariant: of exchanges opened at the same instant with room for the estimates of k, k get in. `over_budget` makes
them take turns on the key's lock, which ends with the statement, and counts with a fresh snapshot: what closed lines
cost, by the hour, and what open ones are expected to. So a budget is passed at most by what the exchanges under way
take beyond their estimates. Keys without a budget are not counted at all.

Time moves in full hours: what was spent in an hour counts until that hour's end is as long ago as the budget is wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text

from shared_accounts.extensions import db
from shared_accounts.keys.models import ApiKey, ApiKeySpend

HAS_BUDGET = """
num_nonnulls(key.budget_total, key.budget_five_hours, key.budget_day, key.budget_week, key.budget_month) > 0"""

_HOUR = timedelta(hours=1)
_WIDTHS = {
    "five_hours": timedelta(hours=5),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}

_STANDING = text(
    "select budget, most, spent, held, since from key_budgets(:key, '00000000-0000-0000-0000-000000000000')"
)
_OPEN_LINES = text("""
select id from usage_log
where user_id = :user and coalesce(api_key_id, 0) = :key and state = 'open' order by id for update""")
_RECOUNT = text("""
insert into api_key_spend (api_key_id, hour, cost)
select :key, coalesce(hour, '-infinity'), sum(cost) from (
    select date_trunc('hour', closed_at, 'UTC') as hour, cost from usage_log
    where api_key_id = :key and state = 'closed' and cost > 0
    union all
    select hour, cost from usage_hours where api_key_id = :key and hour < usage_kept_since()) as line
group by rollup (hour) having sum(cost) > 0""")


@dataclass(frozen=True, slots=True)
class Standing:
    """One budget of a key: its limit, what is spent of it and what the exchanges under way hold, in micro-units."""

    budget: str
    limit: int
    spent: int
    held: int
    since: datetime
    """From when on spending counts at this moment; for the whole, the beginning of time."""

    @property
    def free(self) -> int:
        """What another exchange may still cost."""
        return self.limit - self.spent - self.held


@dataclass(frozen=True, slots=True)
class Shortage:
    """A budget that does not hold what is needed, and when it will; never, if there is no such moment."""

    standing: Standing
    fits_at: datetime | None
    seconds: int | None
    """From now until then."""


def standing(key_id: int) -> list[Standing]:
    """Return how each of a key's budgets stands."""
    return [Standing(*row) for row in db.session.execute(_STANDING, {"key": key_id})]


def shortage(key_id: int, needed: int) -> Shortage | None:
    """Return the budget that will hold `needed` micro-units last of all; None when all of them do now."""
    short = [_shortage(key_id, one, needed) for one in standing(key_id) if one.free < needed]
    never = [one for one in short if one.seconds is None]
    return never[0] if never else max(short, key=lambda one: one.seconds or 0, default=None)


def forgotten_at(key_id: int, one: Standing) -> datetime | None:
    """Return when nothing that is spent or held of a budget now will count any more; None: never, or nothing is."""
    return _shortage(key_id, one, one.limit).fits_at if one.free < one.limit else None


def recount(key: ApiKey) -> None:
    """Count what a key has cost so far; its budget is set already, in the same transaction.

    The open lines are locked, so each of them is counted once: here if it closes before, by its close if after. What is
    gone from the log is in the roll-ups.
    """
    db.session.execute(_OPEN_LINES, {"user": key.user_id, "key": key.id})
    db.session.execute(text("delete from api_key_spend where api_key_id = :key"), {"key": key.id})
    db.session.execute(_RECOUNT, {"key": key.id})


def _shortage(key_id: int, tight: Standing, needed: int) -> Shortage:
    """Tell when enough of what counts will have passed; what is held is taken for spent by now."""
    now = db.session.scalar(select(func.now()))
    missing = needed - tight.free
    if tight.budget not in _WIDTHS or needed > tight.limit or now is None:
        return Shortage(tight, None, None)
    spent = select(ApiKeySpend.hour, ApiKeySpend.cost).where(
        ApiKeySpend.api_key_id == key_id, ApiKeySpend.hour >= tight.since
    )
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for hour, cost in [*db.session.execute(spent.order_by(ApiKeySpend.hour)), (this_hour, tight.held)]:
        missing -= cost
        if missing <= 0:
            fits_at = hour.astimezone(UTC) + _HOUR + _WIDTHS[tight.budget]
            return Shortage(tight, fits_at, max(1, int((fits_at - now).total_seconds()) + 1))
    return Shortage(tight, None, None)
