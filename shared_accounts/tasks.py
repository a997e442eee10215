"""Every Celery task, thin, and the timetable: all the clocks on one page.

Invariant: a task may run twice, late, or beside itself, and the result is the same as once and on time. What
is due is read from the rows, never from the fact that a task was called.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.schedules import crontab
from flask import Flask, current_app

from shared_accounts.accounts import contribution, health, tally
from shared_accounts.accounts.refresher import Refresher
from shared_accounts.auth import sessions, tickets
from shared_accounts.config import Settings
from shared_accounts.extensions import celery, db
from shared_accounts.gateway import books
from shared_accounts.quotas import proof, refill

log = logging.getLogger(__name__)

_SOFT_SECONDS, _HARD_SECONDS = 50, 60

TIMETABLE: dict[str, dict[str, Any]] = {
    # The first run after the hour pays, the others find nothing due; a missed one is made up in five minutes.
    "refill quotas": {"task": "shared_accounts.refill_quotas", "schedule": crontab(minute="0-59/5")},
    "finish draining": {"task": "shared_accounts.finish_draining", "schedule": 15.0},
    "probe accounts": {"task": "shared_accounts.probe_accounts", "schedule": 60.0},
    "recount windows": {"task": "shared_accounts.recount_windows", "schedule": crontab(minute="3-59/5")},
    "close abandoned exchanges": {"task": "shared_accounts.close_abandoned_exchanges", "schedule": 20.0},
    "refresh upstream tokens": {"task": "shared_accounts.refresh_upstream_tokens", "schedule": 60.0},
    "forget what is over": {"task": "shared_accounts.forget_what_is_over", "schedule": crontab(minute="23")},
    "prove the ledger": {"task": "shared_accounts.prove_ledger", "schedule": crontab(minute="7")},
}


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's settings: results are rows, not messages; a broker that hangs must not hang us."""
    return {
        "broker_url": settings.redis_url,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "socket_timeout": 2,
            "socket_connect_timeout": 1,
            # Longer than the longest task: a task that is still running must not be handed out again.
            "visibility_timeout": 5 * _HARD_SECONDS,
            "unacked_restore_throttle": 1,
        },
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_soft_time_limit": _SOFT_SECONDS,
        "task_time_limit": _HARD_SECONDS,
        "task_publish_retry": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "beat_schedule": TIMETABLE,
        "beat_max_loop_interval": 30,
        "timezone": "UTC",
    }


class ContextTask(Task):  # type: ignore[misc]
    """A task that sees what a request sees."""

    app_to_enter: Flask

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run in the application's context."""
        with self.app_to_enter.app_context():
            return self.run(*args, **kwargs)


celery.Task = ContextTask


def _task(name: str) -> Callable[[Callable[[], None]], Task]:
    """Register a task under a name that outlives moves of its code, with limits that end it if it hangs."""
    made: Callable[[Callable[[], None]], Task] = celery.task(
        name=f"shared_accounts.{name}", soft_time_limit=_SOFT_SECONDS, time_limit=_HARD_SECONDS
    )
    return made


def bind(app: Flask) -> None:
    """Run every task inside this application's context."""
    ContextTask.app_to_enter = app
    celery.set_default()


@_task("refill_quotas")
def refill_quotas() -> None:
    """Give every pool the full hours it has not received yet."""
    moved = refill.refill()
    db.session.commit()
    log.info("quotas refilled", extra={"pools": moved})


@_task("close_abandoned_exchanges")
def close_abandoned_exchanges() -> None:
    """Settle what workers that died have left open."""
    closed = books.close_abandoned()
    if closed:
        log.warning("abandoned exchanges closed", extra={"exchanges": closed})


@_task("refresh_upstream_tokens")
def refresh_upstream_tokens() -> None:
    """Exchange the upstream tokens that end soon for fresh ones, an account at a time."""
    parts = current_app.extensions
    seen: Counter[str] = Counter()
    for outcome in Refresher(parts["settings"].upstream_oauth_providers, parts["vault"]).refresh_due():
        db.session.commit()
        seen[outcome.value] += 1
    if seen:
        log.info("upstream tokens refreshed", extra={"accounts": dict(seen)})


@_task("finish_draining")
def finish_draining() -> None:
    """Withdraw for good the accounts whose last exchange has ended."""
    done = contribution.finish_draining()
    db.session.commit()
    if done:
        log.info("accounts withdrawn", extra={"accounts": done})


@_task("probe_accounts")
def probe_accounts() -> None:
    """Give up on accounts that only fail, and ask those whose turn it is whether they work."""
    broken = health.give_up_on()
    db.session.commit()
    parts = current_app.extensions
    for due in health.take_turns(parts["vault"]):
        db.session.commit()  # no transaction waits for an upstream
        health.conclude(due, health.works(due, parts["wire"], parts["guard"]))
        db.session.commit()
    if broken:
        log.warning("accounts broken", extra={"accounts": broken})


@_task("recount_windows")
def recount_windows() -> None:
    """Mend the windows that a dying worker had not finished counting."""
    wrong = tally.recount()
    db.session.commit()
    if wrong:
        log.info("windows recounted", extra={"windows": wrong})


@_task("forget_what_is_over")
def forget_what_is_over() -> None:
    """Delete tickets nobody can redeem any more, and sessions that have been over for a month."""
    gone = {"tickets": tickets.forget_expired(), "sessions": sessions.forget_old()}
    db.session.commit()
    log.info("forgot what is over", extra=gone)


@_task("prove_ledger")
def prove_ledger() -> None:
    """Prove every pool from its rows, and cry out if one is wrong."""
    problems = proof.verify()
    for problem in problems:
        log.critical("ledger proof failed", extra={"problem": problem})
    if not problems:
        log.info("ledger proved", extra={"pools": proof.count_pools()})
