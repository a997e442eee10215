"""What a worker notes of itself four times a second, for as long as it lives."""

from __future__ import annotations

from time import monotonic

import gevent
from flask import Flask
from sqlalchemy.pool import QueuePool

from shared_accounts.extensions import db, statements
from shared_accounts.metrics import catalogue
from shared_accounts.metrics.board import board

_SECONDS = 0.25


def run(app: Flask) -> None:
    """Note the event loop's lag and the load of the database pools; never returns."""
    with app.app_context():
        pool = db.engine.pool
    size = app.extensions["settings"].statement_pool_size
    for gauge in catalogue.GAUGES:
        gauge.clear()
    catalogue.WORKERS.set(1)
    while True:
        board.beat()
        slept = monotonic()
        gevent.sleep(_SECONDS)
        catalogue.HUB_LAG.observe(max(0, round((monotonic() - slept - _SECONDS) * 1_000_000)))
        if isinstance(pool, QueuePool):
            catalogue.CONNECTIONS.set(pool.checkedout(), "session")
        _note_statements(size)


def _note_statements(size: int) -> None:
    pool = statements._pool  # noqa: SLF001 - its load is nobody else's business
    if pool is not None:
        catalogue.CONNECTIONS.set(size - pool._free - len(pool._idle), "statement")  # noqa: SLF001
        catalogue.WAITING.set(len(pool._waiting))  # noqa: SLF001
