"""Doing things at the same moment, each with a session and a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import text

from shared_accounts.extensions import db
from tests.conftest import rows
from tests.gateway.scene import wait_until

T = TypeVar("T")

WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


def at_once(app: Flask, *calls: Callable[[], T]) -> list[T]:
    """Make these calls at the same moment; returns what each returned, or raises what the first one raised."""
    start = threading.Barrier(len(calls))
    with ThreadPoolExecutor(len(calls)) as threads:
        made = [threads.submit(_in_context, app, start, call) for call in calls]
    return [one.result() for one in made]


def from_one_gate(app: Flask, *calls: Callable[[], T]) -> list[T]:
    """Make these calls so that each has read what is due, and waits to change it, before the first of them may.

    Those that have nothing to change end by themselves.
    """
    db.session.rollback()
    start = threading.Barrier(len(calls))
    with ThreadPoolExecutor(len(calls)) as threads, _nobody_changes_anything():
        made = [threads.submit(_in_context, app, start, call) for call in calls]
        wait_until(lambda: waiting() == sum(not one.done() for one in made), "somebody neither waits nor ends")
    return [one.result() for one in made]


def waiting() -> int:
    """Return how many connections wait for a lock at this moment."""
    found = len(db.session.execute(text(WAITING)).all())
    db.session.rollback()
    return found


def everything() -> dict[str, Sequence[dict[str, Any]]]:
    """All rows there are, as they are committed."""
    db.session.rollback()
    found = {table: rows(f"{table} order by 1, 2") for table in _tables()}
    db.session.rollback()
    return found


@contextmanager
def _nobody_changes_anything() -> Iterator[None]:
    with db.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(f"lock table {', '.join(_tables())} in exclusive mode")
        yield


def _in_context(app: Flask, start: threading.Barrier, call: Callable[[], T]) -> T:
    with app.app_context():
        start.wait()
        return call()


def _tables() -> list[str]:
    return [table.name for table in db.metadata.sorted_tables]
