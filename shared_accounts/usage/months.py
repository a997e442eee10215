"""The usage log's months: made before they are needed, dropped as a whole when they are old.

Invariant: every line has its place, whatever its id says. What no month takes lies in the default partition, and moves
when its month is made. A month is dropped only when each of its lines is closed and counted in the roll-ups, which
outlive it.

A month is a range of ids, and an id begins with the clock of the worker that made it, while the times of a line are the
database's. So a line may lie in the month beside its own, and who looks for a time by ids looks `CLOCKS` further.

Each change needs the table for a moment to itself, and only one is made at a time. It waits no longer than calls can
wait behind it; then PostgreSQL says `LockNotAvailable`, and another time will do. Whoever changes months has read
nothing yet in her transaction, or she would hold on to what another needs while she waits for him.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select, text

from shared_accounts.extensions import db
from shared_accounts.usage import rollup
from shared_accounts.usage.models import UsageLog

CLOCKS = timedelta(days=1)
"""How far a worker's clock and the database's may be apart."""
MOST_MOVED = 50_000
"""How many lines move into their month beside traffic: while they do, calls wait."""

_AHEAD = 2
_DECEMBER = 12
_NAME = re.compile(r"usage_log_(\d{4})_(\d\d)")
_BOUNDS = "(first_usage_id(:start)) to (first_usage_id(:end))"
_BETWEEN = "id >= first_usage_id(:start) and id < first_usage_id(:end)"

_ALONE = text("select pg_advisory_xact_lock(hashtextextended('usage months', 0))")
_WAITS = text("set local lock_timeout = '1s'")
_TAKES = text("set local statement_timeout = '30s'")
_KNOWN = text("""
select relname, pg_get_expr(relpartbound, part.oid) like '%(MINVALUE)%' as is_first,
    greatest(reltuples, 0)::bigint as lines, pg_total_relation_size(part.oid) as bytes
from pg_inherits join pg_class part on part.oid = inhrelid where inhparent = 'usage_log'::regclass order by relname""")


@dataclass(frozen=True, slots=True)
class Month:
    """A partition. The first one of a log that was not always divided also holds whatever was before its month."""

    start: datetime
    is_first: bool = False
    lines: int = 0
    bytes: int = 0

    @property
    def table(self) -> str:
        """Its name in the database."""
        return f"usage_log_{self.start:%Y_%m}"

    @property
    def end(self) -> datetime:
        """When the next one begins."""
        return _later(self.start, 1)


def known() -> list[Month]:
    """Return the months there are, the oldest first; how many lines they have is an estimate."""
    found = [(_NAME.fullmatch(name), *facts) for name, *facts in db.session.execute(_KNOWN).tuples()]
    return [Month(datetime(int(name[1]), int(name[2]), 1, tzinfo=UTC), *facts) for name, *facts in found if name]


def near(start: datetime | None, end: datetime | None) -> list[ColumnElement[bool]]:
    """Return conditions by which PostgreSQL passes over the months that hold no line of a time."""
    return [
        *([] if start is None else [UsageLog.id >= func.first_usage_id(start - CLOCKS)]),
        *([] if end is None else [UsageLog.id < func.first_usage_id(end + CLOCKS)]),
    ]


def make_next(*, most_moved: int = MOST_MOVED) -> Month | None:
    """Make the next month that is missing of this one and two ahead; returns it, or nothing if there is none.

    Its lines in the default partition move there. If they are more than `most_moved`, nothing happens.
    """
    _be_alone()
    there = {month.start for month in known()}
    made = next((Month(start) for start in _wanted() if start not in there), None)
    if made is None:
        return None
    span = {"start": made.start, "end": made.end}
    # All of the lock at once: one that is raised later waits for those who already wait for us.
    _do("lock table usage_log_default in access exclusive mode")
    if _count(f"usage_log_default where {_BETWEEN}", **span) > most_moved:
        return None
    _do(f"create table {made.table} (like usage_log including defaults including constraints) with (fillfactor = 80)")
    _do(
        f"with moved as (delete from usage_log_default where {_BETWEEN} returning *)"
        f" insert into {made.table} select * from moved",
        **span,
    )
    _do(f"alter table usage_log attach partition {made.table} for values from {_BOUNDS}", **span)
    return made


def due(keep: int) -> Month | None:
    """Return the oldest month if it is older than the `keep` whole months before this one; with 0 none ever is."""
    oldest = next(iter(known()), None)
    return oldest if keep and oldest is not None and oldest.end <= _horizon(keep) else None


def late_hours(month: Month) -> list[datetime]:
    """Return the month's hours that have more lines than were counted: to be counted again before it goes."""
    # By way of the whole log: whoever reads a month before it, and then the log, waits in a circle with a drop.
    among = near(None if month.is_first else month.start, month.end)
    first = db.session.scalar(select(func.min(UsageLog.opened_at)).where(*among))
    return [] if first is None else rollup.late_hours(month.end - first, month.end)


def drop(month: Month) -> bool:
    """Drop a month, for good; returns whether it went: with an open line or one that is not counted it stays."""
    _be_alone()
    _do("lock table only usage_log in access exclusive mode")
    if month.table not in {one.table for one in known()}:
        return False
    counted = rollup.through()
    is_open = _count(f"(select from {month.table} where state = 'open' limit 1) line")
    latest = db.session.scalar(text(f"select max(opened_at) from {month.table}"))
    if is_open or (latest is not None and (counted is None or latest >= counted)):
        return False
    _do(f"alter table usage_log detach partition {month.table}")
    _do(f"drop table {month.table}")
    return True


def forget_strays(keep: int) -> int:
    """Delete what is as old as a month that is dropped and lies in none; returns how many lines lie in no month."""
    if keep:
        before = min(_horizon(keep), rollup.through() or datetime.min.replace(tzinfo=UTC))
        _do("delete from usage_log_default where state = 'closed' and opened_at < :before", before=before)
    return _count("usage_log_default")


def _be_alone() -> None:
    """Wait until nobody else is changing months; nobody is from here until this transaction ends."""
    db.session.execute(_WAITS)
    db.session.execute(_TAKES)
    db.session.execute(_ALONE)


def _wanted() -> Iterator[datetime]:
    return (_later(_this_month(), ahead) for ahead in range(_AHEAD + 1))


def _horizon(keep: int) -> datetime:
    return _later(_this_month(), -keep)


def _this_month() -> datetime:
    now: datetime = db.session.execute(select(func.now())).scalar_one()
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _later(month: datetime, by: int) -> datetime:
    years, before = divmod(month.month - 1 + by, _DECEMBER)
    return month.replace(year=month.year + years, month=before + 1)


def _do(statement: str, **values: Any) -> None:
    db.session.execute(text(statement), values)


def _count(of: str, **values: Any) -> int:
    return db.session.scalar(text(f"select count(*) from {of}"), values) or 0
