"""When the ledger is proved: a task of the timetable in `tasks`."""

from __future__ import annotations

import logging

from flask import current_app

from shared_accounts.alerts import raising
from shared_accounts.clockwork import task
from shared_accounts.extensions import db
from shared_accounts.metrics import jobs
from shared_accounts.quotas import proof

log = logging.getLogger(__name__)


@task("prove_ledger")
def prove_ledger() -> None:
    """Prove every pool from its rows, and cry out if one is wrong: in the log, and to the operator, once."""
    proof.take_time()
    problems = proof.verify()
    jobs.found(len(problems))
    for problem in problems:
        log.critical("ledger proof failed", extra={"problem": problem})
    if not problems:
        log.info("ledger proved", extra={"pools": proof.count_pools()})
    raising.ledger_was_proved(current_app.extensions["settings"], len(problems))
    db.session.commit()
