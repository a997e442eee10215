"""Which accounts could serve a call, in the order to try them (specification section 6).

The candidates come from what each worker has read of a model's ring a moment ago (`Supply`); that is only a hint.
`VERIFIED` asks again of the chosen one, inside the statement that opens the exchange, so that a paused, cooling or
withdrawn account serves nobody, however old the hint.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import random
from secrets import randbelow
from time import monotonic
from zlib import crc32

from shared_accounts.accounts.candidates import Candidate, Reader, Whose
from shared_accounts.accounts.eligibility import WHY_NOT
from shared_accounts.accounts.ring import LOTS, PAGE, Ring, some_of
from shared_accounts.crypto import Vault
from shared_accounts.outbound.addresses import Guard
from shared_accounts.users.roster import Caller

__all__ = ["VERIFIED", "Candidate", "Skip", "Supply"]

VERIFIED = f"""
select accounts.id, accounts.owner_id, accounts.owner_id = caller.user_id as own, {
    WHY_NOT.format(
        own="(accounts.owner_id = caller.user_id)",
        caller="caller.user_id",
        model_group="asked.model_group",
        reference="asked.reference",
        id="asked.id",
        counting="{counting}",
    )
} as why_not
from accounts where accounts.id = asked.account_id and caller.state = 'active'"""
"""The account that `asked` names, and why it may not serve this caller now, if it may not."""

_EVERYBODYS = Whose("shared")
_PATIENCE = 4  # so many more exchanges than the idlest may lie on the account that knows the conversation
_NEIGHBOURS = 4  # so many share the conversations that begin between two lots; each knows its stand-ins
_MOST_KEPT = 20_000

Skip = Callable[[Candidate], None]


@dataclass(slots=True)
class _Serving:
    """Whom we know to serve one model: the rings read since one moment."""

    model: str
    until: float
    rings: dict[tuple[Whose, int | None], Ring] = field(default_factory=dict)

    @property
    def shared(self) -> list[Candidate]:
        """What is known of the accounts that everybody shares."""
        return list(self.rings[_EVERYBODYS, None].accounts.values())


class Supply:
    """A worker's short-lived knowledge of who serves what, and how busy it keeps each of them."""

    def __init__(self, vault: Vault, guard: Guard, seconds: float, reference: int) -> None:
        self._reader = Reader(vault, guard, reference)
        self._seconds = seconds
        self._serving: dict[str, _Serving] = {}
        self._kept = 0
        self.in_flight: Counter[int] = Counter()

    def forget(self, model: str) -> None:
        """Read anew next time: what is known has proved stale."""
        forgotten = self._serving.pop(model, None)
        if forgotten is not None:
            forgotten.until = 0.0  # for who is reading more of it at this moment

    def serving(self, model: str) -> _Serving:
        """Return what is known of the accounts in service for `model`, the cooling ones included."""
        found, now = self._serving.get(model), monotonic()
        if found is not None and found.until >= now:
            return found
        if found is not None:
            found.until = now + self._seconds  # one reads for all; the others go by the old meanwhile
        fresh = _Serving(model, now + self._seconds)
        try:
            self._ring(fresh, _EVERYBODYS)
        finally:
            if self._serving.get(model) is found:  # it is not kept: nobody serves, or it could not be read
                self._serving.pop(model, None)
        return fresh

    def candidates(
        self, caller: Caller, model: str, conversation: int | None = None, cooling: Skip = lambda _: None
    ) -> Iterator[Candidate]:
        """Yield who could serve this caller, best first; those in cooldown are told to `cooling`, as far as met.

        A conversation that goes on stays with one account while that is healthy and not much busier than others:
        upstreams cache prompts.
        """
        serving = self.serving(model)
        for sharing in ("shared", "dedicated") if caller.prefer_shared else ("dedicated", "shared"):
            rings = self._rings(serving, caller, sharing)
            home = self._home(serving, rings[0], conversation) if rings and conversation is not None else None
            yield from self._in_order(rings, home, cooling)

    def again(self, candidate: Candidate, model: str) -> Candidate | None:
        """Read one account anew; nothing when it no longer serves the model, or is cooling."""
        ring = Ring(self._reader, model, _where(candidate), start=candidate.lot, page=1)
        found = ring.accounts.get(candidate.id)
        return found if found and found.cooling_until <= monotonic() else None

    def cooling_for(self, caller: Caller, model: str) -> float | None:
        """Seconds until the first known account serves her again; None when nobody serves her the model at all."""
        serving = self.serving(model)
        rings = [ring for sharing in ("dedicated", "shared") for ring in self._rings(serving, caller, sharing)]
        waits = [one.cooling_until - monotonic() for ring in rings for one in ring.accounts.values()]
        return max(0.0, min(waits)) if waits else None

    def _rings(self, serving: _Serving, caller: Caller, sharing: str) -> list[Ring]:
        """Return where the accounts of a class lie; her own shared ones are among everybody's, if those are few."""
        mine = Whose(sharing, caller.user_id)
        if sharing == "dedicated" and not caller.has_accounts:
            return []
        if sharing == "dedicated" or caller.use_only_dedicated:
            return [self._ring(serving, mine)]
        everybodys = self._ring(serving, _EVERYBODYS)
        alone = everybodys.few or not caller.has_accounts
        return [everybodys] if alone else [everybodys, self._ring(serving, mine)]

    def _ring(self, serving: _Serving, whose: Whose, conversation: int | None = None) -> Ring:
        ring = serving.rings.get((whose, conversation))
        if ring is None:
            start, page = (randbelow(LOTS), PAGE) if conversation is None else (conversation % LOTS, _NEIGHBOURS)
            ring = Ring(self._reader, serving.model, whose, start=start, page=page)
            serving.rings[whose, conversation] = ring
            self._keep(serving, len(ring.accounts))
        return ring

    def _keep(self, serving: _Serving, accounts: int) -> None:
        # Knowing of nobody is not kept: an account that comes back must serve at once.
        if accounts:
            self._serving[serving.model] = serving
        self._kept += 1 + accounts
        if self._kept > _MOST_KEPT:
            self._serving.clear()
            self._kept = 0

    def _home(self, serving: _Serving, ring: Ring, conversation: int) -> Candidate | None:
        """Return the healthy account a conversation belongs to: the same for every worker, and nothing is stored.

        By rendezvous hashing, so that one account more or less moves only its own conversations; where there are
        many, among the few that follow the conversation's own place on the ring.
        """
        if not ring.few:
            ring = self._ring(serving, ring.whose, conversation)
        now = monotonic()
        healthy = (one for one in ring.accounts.values() if one.cooling_until <= now)
        return max(healthy, key=lambda one: crc32(b"%d:%d" % (conversation, one.id)), default=None)

    def _in_order(self, rings: list[Ring], home: Candidate | None, cooling: Skip) -> Iterator[Candidate]:
        """Yield the home and then the least loaded first, ties by chance; further round the ring while asked for."""
        named: set[int] = set()
        while some := some_of(rings, but=named):
            ready = self._ranked(some, cooling)
            if ready and self.in_flight[ready[0].id]:
                any(ring.read_on() for ring in rings)  # nobody is idle: whoever comes next has more to choose from
            if home and not named and self._bears(home, ready):
                ready = [home, *(one for one in ready if one.id != home.id)]
            yield from ready  # seldom to the second one, so what only a next round needs comes after it
            named.update(one.id for one in (*some, *ready))

    def _ranked(self, some: Iterable[Candidate], cooling: Skip) -> list[Candidate]:
        """Return the healthy ones, the least loaded first: of its window only hundredths count, or there were no ties.

        A loop, and little in it: with sixty accounts a function for each would be a tenth of a chat.
        """
        in_flight, now = self.in_flight.get, monotonic()
        ranked = []
        for one in some:
            if one.cooling_until <= now:
                ranked.append((in_flight(one.id, 0) / one.room, one.hundredths, random(), one.id, one))  # noqa: S311 - no secret
            else:
                cooling(one)
        ranked.sort()
        return [entry[-1] for entry in ranked]

    def _bears(self, home: Candidate, ready: list[Candidate]) -> bool:
        """Tell whether the home is no fuller than its limit and not much busier than the idlest."""
        busy, idlest = self.in_flight[home.id], self.in_flight[ready[0].id] if ready else 0
        return busy < (home.max_concurrency or math.inf) and busy <= idlest + _PATIENCE


def _where(candidate: Candidate) -> Whose:
    return _EVERYBODYS if candidate.sharing == "shared" else Whose("dedicated", candidate.owner_id)
