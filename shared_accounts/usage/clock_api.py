"""When the roll-ups are made: a task of the timetable in `tasks`.

What is not counted yet is read from the log, so a late count costs time, not truth.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from shared_accounts.clockwork import task
from shared_accounts.extensions import db
from shared_accounts.usage import rollup

log = logging.getLogger(__name__)

_MOST_HOURS_AT_ONCE = 48  # of a busy service these are most of what a task's time allows
_LOOKS_BACK = timedelta(days=2)


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
