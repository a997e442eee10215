"""Which accounts could serve a call, in the order to try them (specification section 6).

The candidates come from a list of the accounts serving a model that each worker keeps for a moment
(`Supply`); it is only a hint. `VERIFIED` checks the chosen one again inside the statement that opens the
exchange, so that a paused, cooling or withdrawn account serves nobody, however old the list.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic

from shared_accounts.crypto import Vault
from shared_accounts.extensions import statements
from shared_accounts.outbound.addresses import Guard, Target
from shared_accounts.users.roster import Caller

VERIFIED = """
account as materialized (
    select accounts.id, accounts.owner_id, accounts.owner_id = caller.user_id as own
    from accounts, caller
    where accounts.id = {account_id} and accounts.state = 'active'
      and (accounts.cooling_until is null or accounts.cooling_until <= now())
      and (accounts.sharing = 'shared' or accounts.owner_id = caller.user_id)
      and (accounts.max_concurrency is null or accounts.max_concurrency > (
        select count(*) from usage_log busy
        where busy.account_id = accounts.id and busy.state = 'open' and busy.id <> {id})))"""
"""The chosen account, if it may serve this caller now. (Two exchanges opened in the same instant may both pass
a concurrency limit; the next one sees both.)"""

_SAMPLE = 8  # of a large class, so many are compared by load; the rest waits behind them

statements.register(
    "accounts_serving",
    ("text",),
    """select id, owner_id, sharing, base_url, sealed_credential, strikes,
        greatest(0, extract(epoch from cooling_until - now()))::float8
    from accounts where state = 'active' and models @> array[$1]""",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that could serve an exchange."""

    id: int
    owner_id: int
    sharing: str
    target: Target
    credential: str
    strikes: int
    cooling_until: float
    """By this worker's monotonic clock; 0 when it is not cooling."""


@dataclass(slots=True)
class _Serving:
    """The accounts serving one model, as read at one moment."""

    until: float
    by_owner: dict[int, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    shared: list[Candidate] = field(default_factory=list)


class Supply:
    """A worker's short-lived lists of who serves what, and how busy it keeps each of them."""

    def __init__(self, vault: Vault, guard: Guard, seconds: float) -> None:
        self._vault = vault
        self._guard = guard
        self._seconds = seconds
        self._serving: dict[str, _Serving] = {}
        self.in_flight: Counter[int] = Counter()

    def forget(self, model: str) -> None:
        """Read the list again next time: it has proved stale."""
        self._serving.pop(model, None)

    def serving(self, model: str) -> _Serving:
        """Return the accounts in service for `model`, the cooling ones included."""
        found = self._serving.get(model)
        if found is None or found.until < monotonic():
            found = self._read(model)
            # An empty list is not kept: an account that comes back must serve at once.
            if found.by_owner:
                self._serving[model] = found
        return found

    def candidates(self, caller: Caller, model: str) -> Iterator[Candidate]:
        """Yield who could serve this caller, best first, those in cooldown left out."""
        serving = self.serving(model)
        mine = serving.by_owner.get(caller.user_id, ())
        dedicated = [one for one in mine if one.sharing == "dedicated"]
        shared = [one for one in mine if one.sharing == "shared"] if caller.use_only_dedicated else serving.shared
        classes = (shared, dedicated) if caller.prefer_shared else (dedicated, shared)
        for accounts in classes:
            yield from self._by_load(accounts)

    def cooling_for(self, caller: Caller, model: str) -> float | None:
        """Seconds until the first cooling account serves again; None when nobody serves the model at all."""
        serving = self.serving(model)
        mine = serving.by_owner.get(caller.user_id, [])
        waits = [one.cooling_until - monotonic() for one in [*mine, *serving.shared]]
        return max(0.0, min(waits)) if waits else None

    def _by_load(self, accounts: list[Candidate]) -> Iterator[Candidate]:
        now = monotonic()
        ready = [one for one in accounts if one.cooling_until <= now]
        random.shuffle(ready)
        yield from sorted(ready[:_SAMPLE], key=lambda one: self.in_flight[one.id])
        yield from ready[_SAMPLE:]

    def _read(self, model: str) -> _Serving:
        found = _Serving(until=monotonic() + self._seconds)
        for row in statements.rows("accounts_serving", model):
            candidate = self._candidate(row)
            found.by_owner[candidate.owner_id].append(candidate)
            if candidate.sharing == "shared":
                found.shared.append(candidate)
        return found

    def _candidate(self, row: tuple[int, int, str, str, memoryview, int, float | None]) -> Candidate:
        account_id, owner_id, sharing, base_url, sealed, strikes, cooling = row
        return Candidate(
            id=account_id,
            owner_id=owner_id,
            sharing=sharing,
            target=self._guard.parse(base_url),
            credential=self._vault.unseal(bytes(sealed), purpose=f"account:{account_id}"),
            strikes=strikes,
            cooling_until=monotonic() + cooling if cooling else 0.0,
        )
