"""As much of a model's ring of accounts as one has looked at: from some lot on, clockwise, page by page."""

from __future__ import annotations

import random

from shared_accounts.accounts.candidates import Candidate, Reader, Stretch, Whose

LOTS = 1 << 32
"""Lots lie from 0 up to, not including, this."""

PAGE = 64
_COMPARED = (
    32  # by load, or a few more, of those that are known: the idlest of so many is hardly busier than that of all
)
_MOST_PAGES = 4


class Ring:
    """Some accounts of a model, the first page of them read at once and the others when asked for.

    Invariant: going round ends where it began, so nobody is met twice; and after so many pages it ends anyway, so
    that a model with ten thousand accounts in trouble costs its caller a few reads, not hundreds.
    """

    def __init__(self, reader: Reader, model: str, whose: Whose, *, start: int, page: int = PAGE) -> None:
        self.whose = whose
        self.accounts: dict[int, Candidate] = {}
        self._whole = False
        self._reader = reader
        self._model = model
        self._page = page
        self._pages = 0
        self._origin = start - 1
        self._ahead = Stretch(self._origin, LOTS, self._origin)
        self.read_on()
        self.few = self._whole
        """Whether the first page held them all."""

    def read_on(self) -> bool:
        """Read the next page, if there is one; returns whether there was."""
        if self._whole or self._pages == _MOST_PAGES:
            return False
        ahead = self._ahead
        page = self._reader.page(self._model, self.whose, ahead, self._page)
        if self._ahead is ahead:  # else another greenlet has read this page meanwhile
            self._pages += 1
            self._whole = not page.more
            self.accounts = self.accounts | {one.id: one for one in page.candidates}
            self._ahead = self._after(page.last)
        return True

    def _after(self, lot: int) -> Stretch:
        return Stretch(lot, LOTS, self._origin) if lot >= self._origin else Stretch(lot, self._origin, -1)


def some_of(rings: list[Ring], *, but: set[int]) -> list[Candidate]:
    """Return others than those, some by chance if they are many; when all that are known are those, read on."""
    while True:
        others = _others(rings, but)
        if others:
            # Not a stretch: neighbours were met at the same time, and are busy together.
            step = max(1, len(others) // _COMPARED)
            return others[random.randrange(step) :: step]  # noqa: S311 - no secret
        if not any(ring.read_on() for ring in rings):
            return []


def _others(rings: list[Ring], but: set[int]) -> list[Candidate]:
    if len(rings) == 1 and not but:
        return list(rings[0].accounts.values())
    return list({one.id: one for ring in rings for one in ring.accounts.values() if one.id not in but}.values())
