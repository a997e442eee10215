"""When the roll-ups are made and the log's months change: tasks of the timetable in `tasks`.

What is not counted yet is read from the log, so a late count costs time, not truth; and a line whose month is not made
yet lies in the default partition.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

from flask import current_app
from psycopg2.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from shared_accounts.clockwork import task
from shared_accounts.extensions import db
from shared_accounts.usage import months, rollup

T = TypeVar("T")

log = logging.getLogger(__name__)

_MOST_HOURS_AT_ONCE = 48  # of a busy service these are most of what a task's time allows
_LOOKS_BACK = timedelta(days=2)
_PAUSES = (1, 2, 3, 4, 5)


@task("roll_up_usage")
def roll_up_usage() -> None:
    """Count the hours of the usage log that are over; once an hour look whether a counted one has got more lines."""
    counted = 0
    while counted < _MOST_HOURS_AT_ONCE and rollup.count_next():
        db.session.commit()
        counted += 1
    late = rollup.late_hours(_LOOKS_BACK) if counted else []
    db.session.commit()
    for hour in late:
        rollup.recount(hour)
        db.session.commit()
    if counted:
        log.info("usage rolled up", extra={"hours": counted, "late_hours": len(late)})


@task("turn_usage_months")
def turn_usage_months() -> None:
    """Make the months of the usage log that come next, and drop those that are older than it is kept."""
    made, dropped, strays = turn(current_app.extensions["settings"].usage_log_months)
    if made or dropped:
        tables = {"made": [month.table for month in made], "dropped": [month.table for month in dropped]}
        log.info("usage months turned", extra=tables)
    if strays:
        log.warning("usage lines lie in no month", extra={"lines": strays})


def turn(keep: int, most_moved: int = months.MOST_MOVED) -> tuple[list[months.Month], list[months.Month], int]:
    """Make what is missing, drop what is due; returns what was made and dropped, and how many lines lie in no month."""
    made, dropped = [], []
    while (month := _patiently(partial(months.make_next, most_moved=most_moved))) is not None:
        made.append(month)
    while (month := months.due(keep)) is not None:
        for hour in months.late_hours(month):
            rollup.recount(hour)
            db.session.commit()
        if not _patiently(partial(months.drop, month)):
            break
        dropped.append(month)
    strays = months.forget_strays(keep)
    db.session.commit()
    return made, dropped, strays


def _patiently(act: Callable[[], T]) -> T:
    """Do it in a transaction of its own, again if somebody is in the way; raises what the last try raised."""
    for pause in _PAUSES:
        try:
            return _at_once(act)
        except OperationalError as error:
            db.session.rollback()
            if not isinstance(error.orig, LockNotAvailable):
                raise
        time.sleep(pause)
    return _at_once(act)


def _at_once(act: Callable[[], T]) -> T:
    db.session.commit()  # what was read before is held on to no more
    done = act()
    db.session.commit()
    return done
