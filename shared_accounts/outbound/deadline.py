"""A time by which a conversation must be over, whatever the other side does."""

from __future__ import annotations

from threading import Timer
from typing import Self

from shared_accounts.outbound.line import Line


class Deadline:
    """Ends a conversation when its time is up, from another thread or greenlet."""

    def __init__(self, seconds: float) -> None:
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True
        self._line: Line | None = None
        self.passed = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def hold(self, line: Line) -> None:
        """Take the line the conversation is on."""
        self._line = line
        if self.passed:
            line.shut()

    def _end(self) -> None:
        self.passed = True
        if self._line is not None:
            self._line.shut()
