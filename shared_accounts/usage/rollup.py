"""Keep the log's sums by hour, and with them those by day.

Invariant: every hour up to the latest in `usage_hours` is counted, exactly as the log has it; what was opened later is
read from the log. So nobody has to remember how far counting went, and questions are answered to the last line at
every moment, however late the count is.

An hour is counted when it can change no more: it is over, no transaction that began before its end is under way (a
line's `opened_at` is the beginning of its transaction), and none of its lines is open. A line that closes late keeps
its hour, and the later ones, open. Lines that appear in a counted hour all the same, because the server's clock went
back or somebody restored them, are found by their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, insert, select, text

from shared_accounts.extensions import db
from shared_accounts.usage import days
from shared_accounts.usage.measures import DIMENSIONS, MEASURES, from_log
from shared_accounts.usage.models import UsageHour, UsageLog, UsageTotal

HOUR = timedelta(hours=1)

_SETTLES = timedelta(minutes=1)  # for clocks that are set, and for transactions that are just beginning

_ALONE = text("select pg_try_advisory_xact_lock(hashtextextended('usage roll-up', 0))")
_ALONE_AT_LAST = text("select pg_advisory_xact_lock(hashtextextended('usage roll-up', 0))")
_TIME_TO_COUNT = text("set local statement_timeout = '30s'")  # of a busy hour; requests have less

_NEXT = text("""
select date_trunc('hour', min(opened_at), 'UTC') from usage_log
where opened_at >= (select coalesce(max(hour) + interval '1 hour', '-infinity') from usage_hours)""")

_UNDER_WAY = text("""
select exists (select from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
      and xact_start < :moment)""")

_LATE = text("""
select counted.hour from (select max(hour) as latest, coalesce(:until, now()) as until from usage_hours) known,
    generate_series(date_trunc('hour', until - :span, 'UTC'), least(latest, until), interval '1 hour') as counted (hour)
where latest is not null and (select count(*) from usage_log
        where opened_at >= counted.hour and opened_at < counted.hour + interval '1 hour' and state = 'closed')
    > (select coalesce(sum(calls), 0) from usage_totals where usage_totals.hour = counted.hour)
order by counted.hour""")


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the hours are counted, and since when the log has every line; nothing: none is counted, none is gone."""

    through: datetime | None
    kept_since: datetime | None


def reach() -> Reach:
    """Return both in one look, for whoever asks several questions about one moment."""
    latest = select(func.max(UsageHour.hour)).scalar_subquery()
    hour, kept = db.session.execute(select(latest, func.usage_kept_since())).tuples().one()
    return Reach(None if hour is None else hour + HOUR, kept)


def through() -> datetime | None:
    """Return the end of the hours that are counted; what was opened from then on is read from the log."""
    latest = db.session.scalar(select(func.max(UsageHour.hour)))
    return None if latest is None else latest + HOUR


def kept_since() -> datetime | None:
    """Return the beginning of what the log still holds; None while nothing has been dropped from it."""
    since: datetime | None = db.session.scalar(select(func.usage_kept_since()))
    return since


def count_next() -> bool:
    """Count the earliest hour that is due; returns whether there was one. Beside another count it leaves it to that."""
    db.session.execute(_TIME_TO_COUNT)
    if not db.session.scalar(_ALONE):
        return False
    hour = db.session.scalar(_NEXT)
    if hour is None or not _is_over(hour + HOUR):
        return False
    _count(hour)
    return True


def late_hours(span: timedelta, until: datetime | None = None) -> list[datetime]:
    """Return the counted hours of a while, until now or then, that have more closed lines than were counted."""
    db.session.execute(_TIME_TO_COUNT)
    return list(db.session.scalars(_LATE, {"span": span, "until": until}))


def alone() -> None:
    """Have no hour counted by anybody else until this transaction ends, waiting for a count that is under way."""
    db.session.execute(_TIME_TO_COUNT)
    db.session.execute(text("set local lock_timeout = '30s'"))
    db.session.execute(_ALONE_AT_LAST)


def recount(hour: datetime) -> None:
    """Count a counted hour again; beside another count, or when the log has not all of it any more, nothing happens."""
    db.session.execute(_TIME_TO_COUNT)
    kept = kept_since()
    if (kept is None or hour >= kept + HOUR) and db.session.scalar(_ALONE):
        _count(hour)


def _count(hour: datetime) -> None:
    """Replace an hour's sums: whatever stood there, and however often it is done, they are then what the log says."""
    for table in (UsageHour, UsageTotal):
        db.session.execute(delete(table).where(table.hour == hour))
    lines = from_log(*_within(hour))
    db.session.execute(insert(UsageHour).from_select([*DIMENSIONS, *MEASURES], lines))
    own = (UsageHour.user_id == UsageHour.contributor_id).label("own")
    shared = (UsageHour.model, UsageHour.endpoint, UsageHour.client_app, UsageHour.outcome, UsageHour.currency)
    alike = (UsageHour.hour, own, *shared)
    sums = select(*alike, *(func.sum(getattr(UsageHour, name)) for name in MEASURES)).where(UsageHour.hour == hour)
    names = [column.key for column in alike]
    db.session.execute(insert(UsageTotal).from_select([*names, *MEASURES], sums.group_by(*alike)))
    days.follow(hour)


def transactions_from_before(moment: datetime) -> bool:
    """Tell whether a transaction is under way, of anybody but us, that began before this moment.

    PostgreSQL looks once per transaction: asked twice in one, it says the same again.
    """
    return bool(db.session.scalar(_UNDER_WAY, {"moment": moment}))


def _is_over(end: datetime) -> bool:
    """Tell whether all lines that were opened before this moment are here, and closed.

    The order matters: each statement sees what was committed when it began, so the lines of the transactions that
    the second one no longer finds are seen by the third.
    """
    if not db.session.scalar(select(func.now() > end + _SETTLES)) or transactions_from_before(end):
        return False
    is_open = (UsageLog.state == "open") & (UsageLog.opened_at < end)
    return not db.session.scalar(select(select(UsageLog.id).where(is_open).exists()))


def _within(hour: datetime) -> tuple[ColumnElement[bool], ...]:
    return UsageLog.opened_at >= hour, UsageLog.opened_at < hour + HOUR
