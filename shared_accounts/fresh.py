"""What is read again every few seconds, by one for all.

Invariant: once something is known, nobody waits for it to be read anew but whoever reads. Without that, all who come
while the old is out of date read: with sixty-four clients, sixty-four times the same rows, every two seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

Known = TypeVar("Known")


class Fresh(Generic[Known]):
    """Reads with `read`, and goes by what was read for `seconds`; others go by it until it has been read anew."""

    def __init__(self, seconds: float, read: Callable[[], Known]) -> None:
        self._seconds = seconds
        self._read = read
        self._until = 0.0
        self._known: list[Known] = []

    def get(self) -> Known:
        """Return what is known; raises what reading raises, and then whoever comes next reads."""
        if self._known and self._until > monotonic():
            return self._known[0]
        return self.read()

    def read(self) -> Known:
        """Read it now."""
        self._until = monotonic() + self._seconds
        try:
            self._known = [self._read()]
        except BaseException:
            self._until = 0.0
            raise
        return self._known[0]
