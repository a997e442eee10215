"""How Celery is set up here, and what every task has in common; the tasks themselves are in `tasks`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import Task
from flask import Flask
from kombu.exceptions import OperationalError

from shared_accounts.config import Settings
from shared_accounts.extensions import celery

log = logging.getLogger(__name__)

_SOFT_SECONDS, _HARD_SECONDS = 50, 60


def configuration(settings: Settings, timetable: dict[str, dict[str, Any]]) -> dict[str, Any]:
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
        "beat_schedule": timetable,
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


def task(name: str) -> Callable[[Callable[..., None]], Task]:
    """Register a task under a name that outlives moves of its code, with limits that end it if it hangs."""
    made: Callable[[Callable[..., None]], Task] = celery.task(
        name=f"shared_accounts.{name}", soft_time_limit=_SOFT_SECONDS, time_limit=_HARD_SECONDS
    )
    return made


def bind(app: Flask) -> None:
    """Run every task inside this application's context."""
    ContextTask.app_to_enter = app
    celery.set_default()


def soon(due: Task, *ids: int, countdown: float = 0) -> None:
    """Have a task run soon, for a door that has committed; while the broker is away the timetable sees to it."""
    try:
        due.apply_async(ids, countdown=countdown)
    except OperationalError:
        log.warning("broker unavailable: a task waits for its turn", extra={"task": due.name})
