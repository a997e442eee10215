"""What a change of one's accounts would do to one's quota: found out by doing it and undoing it.

Invariant: nothing of it stays, and nobody sees it; what is shown is what the very same verb would do now, debts and
rounding included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared_accounts.console import pools
from shared_accounts.console.pools import Pool
from shared_accounts.extensions import db


@dataclass(frozen=True, slots=True)
class Effect:
    """One pool now and after; nothing before for a pool that would be new."""

    before: Pool | None
    after: Pool

    @property
    def owed(self) -> int:
        """What could not be taken back and would be remembered."""
        return max(0, self.after.owed - (self.before.owed if self.before else 0))


@dataclass(slots=True)
class Rehearsal:
    """The pools that would change; filled when the block is over."""

    effects: list[Effect] = field(default_factory=list)


@contextmanager
def rehearsed(user_id: int) -> Iterator[Rehearsal]:
    """Do what stands in the block, note how the user's pools changed, and undo it; what it raises goes on."""
    rehearsal = Rehearsal()
    known = {one.group: one for one in pools.of(user_id)}
    try:
        yield rehearsal
        db.session.flush()
        db.session.expire_all()
        rehearsal.effects = [
            Effect(known.get(one.group), one) for one in pools.of(user_id) if _differ(known.get(one.group), one)
        ]
    finally:
        db.session.rollback()


def _differ(before: Pool | None, after: Pool) -> bool:
    return before is None or (before.balance, before.capacity, before.refill, before.owed) != (
        after.balance,
        after.capacity,
        after.refill,
        after.owed,
    )
