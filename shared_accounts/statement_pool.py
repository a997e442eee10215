"""The connections of the prepared statements, handed from one to the next.

A plan is made when a statement is first run, and is right for the tables as they are then. So each connection makes its
plans anew: after a second, after two more, and so on, at last every ten minutes. Measured: of a log that was empty when
the plans were made, each group of closings read all lines, and PostgreSQL took 0.7 ms a chat instead of 0.2.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import psycopg2
from gevent import Timeout
from psycopg2.extensions import connection

from shared_accounts.errors import DatabaseUnavailable

_CONNECT_SECONDS = 3
_WAIT_SECONDS = 5
_YOUNG_SECONDS, _OLD_SECONDS = 1.0, 600.0


class Connection(connection):
    """A connection that makes its plans anew: soon while it is young, for tables may grow fast, and then seldom."""

    planned_at = 0.0
    plans_last = _YOUNG_SECONDS

    def run(self, call: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        with self.cursor() as cursor:
            self._plan_anew(cursor)
            cursor.execute(call, values)
            return cursor.fetchall() if cursor.description else []

    def _plan_anew(self, cursor: Any) -> None:
        now = monotonic()
        self.planned_at = self.planned_at or now
        if now - self.planned_at >= self.plans_last:
            self.planned_at, self.plans_last = now, min(2 * self.plans_last, _OLD_SECONDS)
            cursor.execute("discard plans")


class Pool:
    """Connections handed from one waiter to the next in the order they came.

    A pool that lets whoever runs next take a free connection starves those who wait: under load on one hot
    row, some waited for seconds while others never did.
    """

    def __init__(self, dsn: str, options: str, prepare: list[str], size: int) -> None:
        self.dsn = dsn
        self._options = options
        self._prepare = prepare
        self._free = size
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._waiting: deque[queue.SimpleQueue[Connection | None]] = deque()
        self._process = os.getpid()

    def run(self, call: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run one statement on one connection; a connection in doubt is not used again."""
        held = self._take()
        sound = False
        try:
            if held is None:
                held = self._connect()
            rows = held.run(call, values)
            sound = True
        except (psycopg2.IntegrityError, psycopg2.DataError, psycopg2.errors.LockNotAvailable):
            sound = True
            raise
        else:
            return rows
        finally:
            # A greenlet killed in the middle of a query leaves its connection in an unknown state, too.
            if held is not None and not sound:
                held.close()
            self._give_back(held if sound else None)

    def forget_idle(self) -> None:
        """Close every connection that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._free += len(idle)
        for one in idle:
            one.close()

    def _take(self) -> Connection | None:
        """Return an idle connection, or nothing when the taker may make one."""
        with self._lock:
            if self._process != os.getpid():
                # A forked child must not speak on its parent's connections.
                self._free += len(self._idle)
                self._idle, self._process = [], os.getpid()
            if self._idle:
                return self._idle.pop()
            if self._free:
                self._free -= 1
                return None
            turn: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
            self._waiting.append(turn)
        try:
            return turn.get(timeout=_WAIT_SECONDS)
        except queue.Empty:
            return self._give_up(turn)
        except BaseException:
            # The waiter is being killed: what was handed to it in that moment goes to the next one.
            with suppress(DatabaseUnavailable):
                self._give_back(self._give_up(turn))
            raise

    def _give_up(self, turn: queue.SimpleQueue[Connection | None]) -> Connection | None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                raise DatabaseUnavailable
        return turn.get()  # it came in the very moment we lost patience

    def _give_back(self, held: Connection | None) -> None:
        """Hand a connection, or the right to make one, to whoever has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().put(held)
            elif held is None:
                self._free += 1
            else:
                self._idle.append(held)

    def _connect(self) -> Connection:
        # psycopg2 ignores connect_timeout once it waits cooperatively, hence the timer.
        with Timeout(_CONNECT_SECONDS, psycopg2.OperationalError("connect timed out")):
            made = psycopg2.connect(
                self.dsn,
                options=self._options,
                connection_factory=Connection,
                keepalives_idle=30,
                tcp_user_timeout=10000,
            )
        made.autocommit = True
        with made.cursor() as cursor:
            for text in self._prepare:
                cursor.execute(text)
        return made
