"""Let other greenlets run while PostgreSQL works, but not for ever.

psycopg2 is C: without a wait callback one slow query stops the whole worker. A server that is frozen, not gone,
answers no query and closes no connection, so the wait has an end of its own, past PostgreSQL's statement timeout.
"""

from __future__ import annotations

from gevent.socket import wait_read, wait_write
from psycopg2 import OperationalError
from psycopg2.extensions import POLL_OK, POLL_READ, connection, set_wait_callback

_PATIENCE_SECONDS = 10.0


def make_psycopg2_yield() -> None:
    """Install the wait callback for this process; a query that hangs then raises `OperationalError`."""
    set_wait_callback(_wait)


def _wait(waiting: connection) -> None:
    silent = OperationalError("no answer from the server")
    while (state := waiting.poll()) != POLL_OK:
        wait = wait_read if state == POLL_READ else wait_write
        wait(waiting.fileno(), timeout=_PATIENCE_SECONDS, timeout_exc=silent)
