"""The scheduled work: when each job ran last, how it fared, when it runs next; and running one now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import crontab
from flask import render_template
from sqlalchemy import select

from shared_accounts import clockwork, tasks
from shared_accounts.audit import trail
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.errors import NotFound
from shared_accounts.extensions import celery, db
from shared_accounts.metrics.models import JobRun

_PREFIX = "shared_accounts."
_LONGEST_RUN = timedelta(seconds=90)
_GRACE = timedelta(minutes=2)
"""How much later than planned a job may begin before it counts as late: beat and worker may be busy."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the timetable with its last run; `state` is a badge's."""

    name: str
    every: timedelta
    run: JobRun | None
    state: str
    next_run: datetime


@admin_page("/jobs")
def jobs() -> Any:
    """List the scheduled work."""
    found = listed()
    return render_template(
        "admin/jobs.html", jobs=found, late=sum(one.state == "late" for one in found), news=news.told()
    )


@admin_act("/jobs/<name>/run")
def run_job(name: str) -> Any:
    """Have a job run as soon as a worker is free; running one twice changes nothing."""
    if f"{_PREFIX}{name}" not in {entry["task"] for entry in tasks.TIMETABLE.values()}:
        raise NotFound
    trail.record("job.run", target=f"job:{name}")
    db.session.commit()
    clockwork.soon(celery.tasks[f"{_PREFIX}{name}"])
    return news.tell("jobs", "asked")


def listed() -> list[Job]:
    """Return every job of the timetable, those first that run least often."""
    runs, now = {run.task: run for run in db.session.scalars(select(JobRun))}, datetime.now(UTC)
    found = [
        _job(entry["task"].removeprefix(_PREFIX), entry["schedule"], runs, now) for entry in tasks.TIMETABLE.values()
    ]
    return sorted(found, key=lambda one: (-one.every, one.name))


def _job(name: str, schedule: Any, runs: dict[str, JobRun], now: datetime) -> Job:
    run = runs.get(name)
    since = run.last_started if run else now
    due = after(schedule, since)
    return Job(name, _every(schedule, now), run, state_of(run, due, now), max(due, now))


def state_of(run: JobRun | None, due: datetime, now: datetime) -> str:
    """Return how a job stands: what it should have begun by now decides before how its last run ended."""
    if run is None:
        return "never"
    if now > due + _GRACE:
        return "late"
    if run.last_finished is None or run.last_finished < run.last_started:
        return "running" if now < run.last_started + _LONGEST_RUN else "failed"
    return run.last_outcome or "never"


def after(schedule: Any, since: datetime) -> datetime:
    """Return when a schedule comes round next after a moment."""
    if not isinstance(schedule, crontab):
        return since + timedelta(seconds=float(schedule))
    minutes = sorted(schedule.minute)
    hour = since.replace(minute=0, second=0, microsecond=0)
    times = [hour + timedelta(minutes=one) for one in (*minutes, minutes[0] + 60)]
    return next(one for one in times if one > since)


def _every(schedule: Any, now: datetime) -> timedelta:
    first = after(schedule, now)
    return after(schedule, first) - first
