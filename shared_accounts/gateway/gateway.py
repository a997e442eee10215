"""What one worker needs to serve chats: built once per process, shared by all its requests."""

from __future__ import annotations

import os
import socket
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING

from shared_accounts.accounts.refresher import Refresher
from shared_accounts.accounts.selection import Candidate, Supply
from shared_accounts.accounts.tally import Tally
from shared_accounts.config import Settings
from shared_accounts.gateway.watch import Watch
from shared_accounts.money.prices import PriceBook
from shared_accounts.outbound.wire import Wire
from shared_accounts.quotas.rules import RuleBook
from shared_accounts.users.roster import Caller

if TYPE_CHECKING:
    from shared_accounts.gateway.books import Closing, Opening
    from shared_accounts.gateway.exchange import Exchange

_MOST_CALLERS = 10_000


class Gateway:
    """The wire, the supply, the watch and the callers seen a moment ago."""

    def __init__(self, settings: Settings, wire: Wire, supply: Supply, refresher: Refresher) -> None:
        self.settings = settings
        self.wire = wire
        self.supply = supply
        self.refresher = refresher
        self.tally = Tally()
        self.rules = RuleBook(settings.supply_cache_seconds, settings.reference_allowance_tokens)
        self.prices = PriceBook(settings.supply_cache_seconds)
        self.watch = Watch(
            self.tally, lease_seconds=settings.lease_seconds, heartbeat_seconds=settings.heartbeat_seconds
        )
        self.callers = RecentCallers(settings.supply_cache_seconds)

    @cached_property
    def worker(self) -> str:
        """Who we are in the usage log, read when the first exchange opens, which is after any fork."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def deadlines(self, start: float) -> tuple[float, float]:
        """Return when an exchange that begins now must be over, and when its upstream must have begun to answer."""
        return start + self.settings.upstream_total_timeout, start + self.settings.upstream_first_byte_timeout

    def take(self, exchange: Exchange, candidate: Candidate) -> None:
        """Count an exchange on its account, so that the next one prefers another."""
        exchange.candidate = candidate
        self.supply.in_flight[candidate.id] += 1

    def release(self, exchange: Exchange) -> None:
        """Uncount it again, when the account refused or the exchange is over; twice is harmless."""
        candidate, exchange.candidate = exchange.candidate, None
        if candidate is None:
            return
        self.supply.in_flight[candidate.id] -= 1
        if self.supply.in_flight[candidate.id] <= 0:
            del self.supply.in_flight[candidate.id]

    def count(self, candidate: Candidate, opening: Opening, closing: Closing) -> None:
        """Add what an exchange took to its account's window and its member's share of the day."""
        tokens = closing.tokens.prompt + closing.tokens.completion if closing.tokens else 0
        self.tally.add(candidate.id, opening.rule.group, opening.caller.user_id, tokens=tokens, cost=closing.cost)


class RecentCallers:
    """Who came a moment ago: a hint that saves a query. The statement that opens the exchange is the judge."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[object, tuple[float, Caller]] = {}

    def get(self, credential: object) -> Caller | None:
        """Return the caller last seen with this credential, if that is not long ago."""
        until, caller = self._seen.get(credential, (0.0, None))
        return caller if until > monotonic() else None

    def put(self, credential: object, caller: Caller) -> None:
        """Remember a caller for a moment."""
        if len(self._seen) >= _MOST_CALLERS:
            self._seen.clear()
        self._seen[credential] = (monotonic() + self._seconds, caller)

    def forget(self, credential: object) -> None:
        """Forget a caller whose credential no longer opens anything."""
        self._seen.pop(credential, None)
