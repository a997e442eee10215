"""Group commit: what many ask of the database at the same moment goes there in one statement, and one commit.

A commit costs PostgreSQL as much as the statement before it; a row in company takes a sixth of what one alone does.
With 64 clients, per chat: PostgreSQL 1.24 → 0.27 ms of CPU, the gateway 1.33 → 0.79.

Nobody waits for a timer. Who comes first goes at once, a group of one; those who come while she is under way form the
next, and one of them leads it. There is no greenlet of its own that could die: the leader runs the statement for all,
and when it has ended, the first of those who wait leads the next.

Invariant: everybody gets an answer of her own, and only when what she asked for is durable. A group that fails as a
whole, by one bad row, a lock that somebody holds or a leader who was killed, has changed nothing or may be repeated:
then each of them asks again, alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import psycopg2

from shared_accounts.errors import DatabaseUnavailable

Asked = TypeVar("Asked")
Told = TypeVar("Told")

_MOST = 128


class GroupCommit(Generic[Asked, Told]):
    """Asks for several `together`, or for one, in the order they came.

    `together` returns an answer for each, and None to whom it cannot answer in company. It must not wait for long, for
    everybody waits with it; `alone` may, for nobody else does.
    """

    def __init__(
        self, alone: Callable[[Asked], Told], together: Callable[[Sequence[Asked]], Sequence[Told | None]]
    ) -> None:
        self.alone = alone
        self.together = together
        self._lock = threading.Lock()
        self._waiting: deque[_Turn[Asked, Told]] = deque()
        self._is_led = False

    def ask(self, asked: Asked) -> Told:
        """Return the answer; raises what asking for this one alone raises, and `DatabaseUnavailable` with her group."""
        turn: _Turn[Asked, Told] = _Turn(asked)
        with self._lock:
            self._waiting.append(turn)
            turn.leads, self._is_led = not self._is_led, True
        if not turn.leads:
            self._await(turn)
        if turn.leads:
            self._lead()
        if turn.failed:
            raise DatabaseUnavailable
        return self.alone(asked) if turn.told is None else turn.told

    def _lead(self) -> None:
        """Run the next group, whose first is the caller, and tell everybody; whatever happens, somebody leads on."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST))]
        try:
            self._tell(group)
        finally:
            self._pass_on()
            for turn in group[1:]:
                turn.come.release()

    def _tell(self, group: list[_Turn[Asked, Told]]) -> None:
        try:
            answers = self.together([turn.asked for turn in group])
        except DatabaseUnavailable:
            for turn in group:
                turn.failed = True
        except psycopg2.Error:
            return  # one of them is to blame: each finds out alone
        else:
            for turn, told in zip(group, answers, strict=True):
                turn.told = told

    def _pass_on(self) -> None:
        with self._lock:
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].come.release()

    def _await(self, turn: _Turn[Asked, Told]) -> None:
        try:
            turn.come.acquire()
        except BaseException:
            # Killed while she waits: nothing was asked for her yet, or it was and nobody hears the answer.
            with self._lock:
                if turn in self._waiting:
                    self._waiting.remove(turn)
            if turn.leads:
                self._pass_on()
            raise


class _Turn(Generic[Asked, Told]):
    """One who waits for her answer, or to lead."""

    __slots__ = ("asked", "come", "failed", "leads", "told")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.told: Told | None = None
        self.failed = False
        self.leads = False
        self.come = threading.Lock()
        """Held by herself until somebody else lets her go on."""
        self.come.acquire()
