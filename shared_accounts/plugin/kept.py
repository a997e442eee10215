"""An answer that is dear to get: asked for by one at a time, and kept for a while.

Invariant: in one process the question is never asked twice at once, and not again while its answer is fresh. Nor do
those who waited for an answer that did not come each try in turn: for a moment its failure is theirs, too.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

_FAILURE_SECONDS = 5.0


class Kept(Generic[T]):
    """Keeps an answer for so many seconds, and these failures of the question for five."""

    def __init__(self, seconds: float, *, failures: type[Exception]) -> None:
        self._seconds = seconds
        self._failures = failures
        self._turn = Lock()
        self._until = 0.0
        self._answer: T
        self._failure: Exception | None = None

    def get(self, ask: Callable[[], T]) -> T:
        """Return the answer, asking for it unless it is fresh; raises what asking raises."""
        with self._turn:
            if self._until <= monotonic():
                self._ask(ask)
            if self._failure is not None:
                raise self._failure
            return self._answer

    def _ask(self, ask: Callable[[], T]) -> None:
        try:
            self._answer, self._failure = ask(), None
            self._until = monotonic() + self._seconds
        except self._failures as failure:
            self._failure = failure
            self._until = monotonic() + _FAILURE_SECONDS
