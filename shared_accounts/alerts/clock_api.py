"""When alerts are looked for and sent: two tasks of the timetable in `tasks`."""

from __future__ import annotations

import logging
from time import monotonic

from flask import current_app

from shared_accounts.alerts import post, raising
from shared_accounts.clockwork import soon, task
from shared_accounts.extensions import db

log = logging.getLogger(__name__)

_RUN_SECONDS = 25.0  # with one more letter well within a task's time


@task("watch_for_alerts")
def watch_for_alerts() -> None:
    """Write down what somebody should know, and have it sent."""
    new = raising.watch(current_app.extensions["settings"])
    db.session.commit()
    if new:
        log.info("alerts raised", extra={"alerts": new})
        soon(deliver_alerts)


@task("deliver_alerts")
def deliver_alerts() -> None:
    """Send the letters that are due; what is left when time is up is the next run's."""
    settings, vault = current_app.extensions["settings"], current_app.extensions["vault"]
    ends, sent = monotonic() + _RUN_SECONDS, 0
    for letter in post.letters(settings, vault):
        db.session.commit()  # no transaction waits for somebody's server
        post.deliver(letter, settings)
        db.session.commit()
        sent += 1
        if monotonic() > ends:
            break
    if sent:
        log.info("alerts sent", extra={"letters": sent})
