"""How a letter fails."""

from __future__ import annotations


class Undelivered(Exception):
    """It did not arrive; `reason` is in our words, and `for_good` means that another attempt will not help."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.for_good = for_good
