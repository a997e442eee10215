"""Note what becomes of every task a worker runs, in a transaction of its own beside the task's.

Noting is best effort: while PostgreSQL is away a run goes unnoted, and the task itself is never the worse for it.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from celery import Task, current_task
from celery.signals import task_postrun, task_prerun
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from shared_accounts.extensions import db
from shared_accounts.metrics.models import FAILED, SUCCEEDED

log = logging.getLogger(__name__)

_STARTED = text("""
insert into job_runs (task, last_started) values (:task, now())
on conflict (task) do update set last_started = excluded.last_started""")
_FINISHED = text("""
update job_runs set last_finished = now(), last_outcome = :outcome, duration_ms = :ms, total_ms = total_ms + :ms,
    found = :found, succeeded = succeeded + (:outcome = 'succeeded')::int,
    failed = failed + (:outcome = 'failed')::int,
    failed_in_a_row = case when :outcome = 'failed' then failed_in_a_row + 1 else 0 end
where task = :task""")

_running: dict[str, float] = {}
_found: dict[str, int] = {}


def found(count: int) -> None:
    """Say, from inside a task that looks for trouble, how much it found; outside a worker nobody listens."""
    if current_task and current_task.request.id:
        _found[current_task.request.id] = count


@task_prerun.connect  # type: ignore[untyped-decorator]
def _starts(task_id: str, task: Task, **_: Any) -> None:
    _running[task_id] = monotonic()
    _note(task, _STARTED)


@task_postrun.connect  # type: ignore[untyped-decorator]
def _ends(task_id: str, task: Task, state: str, **_: Any) -> None:
    ms = round((monotonic() - _running.pop(task_id, monotonic())) * 1000)
    outcome = SUCCEEDED if state == "SUCCESS" else FAILED
    _note(task, _FINISHED, outcome=outcome, ms=ms, found=_found.pop(task_id, None))


def _note(task: Task, statement: Any, **facts: object) -> None:
    name = task.name.removeprefix("shared_accounts.")
    try:
        with task.app_to_enter.app_context(), db.engine.begin() as connection:
            connection.execute(statement, {"task": name, **facts})
    except SQLAlchemyError as error:
        log.warning("a run was not noted", extra={"task": name, "error": type(error).__name__})
