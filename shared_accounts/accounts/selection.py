"""Which accounts could serve a call, in the order to try them (specification section 6).

The candidates come from a list of the accounts serving a model that each worker keeps for a moment
(`Supply`); it is only a hint. `VERIFIED` asks again of the chosen one, inside the statement that opens the
exchange, so that a paused, cooling or withdrawn account serves nobody, however old the list.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from zlib import crc32

from shared_accounts.accounts.eligibility import WHY_NOT
from shared_accounts.config import MICRO
from shared_accounts.crypto import Vault
from shared_accounts.extensions import statements
from shared_accounts.outbound.addresses import Guard, Target
from shared_accounts.users.roster import Caller

VERIFIED = f"""
weighed as materialized (
    select accounts.id, accounts.owner_id, accounts.owner_id = caller.user_id as own, {
    WHY_NOT.format(
        own="(accounts.owner_id = caller.user_id)",
        caller="caller.user_id",
        model_group="{model_group}",
        reference="{reference}",
        id="{id}",
    )
} as why_not
    from accounts, caller where accounts.id = {{account_id}} and caller.state = 'active'),
account as materialized (select id, owner_id, own from weighed where why_not is null)"""
"""The chosen account, if it may serve this caller now; `weighed` says why not."""

_FEW = 64  # all of them are compared by load
_SAMPLE = 8  # of more, so many: looking at ten thousand would take milliseconds
_PATIENCE = 4  # so many more exchanges than the idlest may lie on the account that knows the conversation

statements.register(
    "accounts_serving",
    ("text", "text", "bigint"),
    f"""select id, owner_id, sharing, base_url, sealed_credential, strikes, greatest(0, extract(epoch from greatest(
            cooling_until, spent.exhausted_until, case when spent.used::float8 * $3
                >= allowance_tokens::float8 * {MICRO} then spent.resets_at end) - now()))::float8
    from accounts left join account_windows spent on spent.account_id = accounts.id and spent.model_group = $2
    where state = 'active' and models @> array[$1]""",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that could serve an exchange."""

    id: int
    owner_id: int
    sharing: str
    target: Target
    sealed: bytes
    vault: Vault
    strikes: int
    cooling_until: float
    """By this worker's monotonic clock; 0 when it is not cooling."""

    @property
    def credential(self) -> str:
        """The upstream's key, opened anew each time: it takes microseconds, and no list of keys lies in memory."""
        return self.vault.unseal(self.sealed, purpose=f"account:{self.id}")


Skip = Callable[[Candidate], None]


@dataclass(slots=True)
class _Serving:
    """The accounts serving one model, as read at one moment."""

    until: float
    by_owner: dict[int, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    shared: list[Candidate] = field(default_factory=list)


class Supply:
    """A worker's short-lived lists of who serves what, and how busy it keeps each of them."""

    def __init__(self, vault: Vault, guard: Guard, seconds: float, reference: int) -> None:
        self._vault = vault
        self._guard = guard
        self._seconds = seconds
        self._reference = reference
        self._serving: dict[str, _Serving] = {}
        self._targets: dict[str, Target] = {}
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

    def candidates(
        self, caller: Caller, model: str, conversation: int | None = None, cooling: Skip = lambda _: None
    ) -> Iterator[Candidate]:
        """Yield who could serve this caller, best first; those in cooldown are told to `cooling`, as far as met.

        A conversation that goes on stays with one account while that is healthy and not much busier than others:
        upstreams cache prompts.
        """
        for accounts in self._classes(caller, model):
            yield from self._in_order(accounts, conversation, cooling)

    def cooling_for(self, caller: Caller, model: str) -> float | None:
        """Seconds until the first cooling account serves again; None when nobody serves the model at all."""
        serving = self.serving(model)
        mine = serving.by_owner.get(caller.user_id, [])
        waits = [one.cooling_until - monotonic() for one in [*mine, *serving.shared]]
        return max(0.0, min(waits)) if waits else None

    def _classes(self, caller: Caller, model: str) -> tuple[list[Candidate], list[Candidate]]:
        serving = self.serving(model)
        mine = serving.by_owner.get(caller.user_id, ())
        dedicated = [one for one in mine if one.sharing == "dedicated"]
        shared = [one for one in mine if one.sharing == "shared"] if caller.use_only_dedicated else serving.shared
        return (shared, dedicated) if caller.prefer_shared else (dedicated, shared)

    def _in_order(self, accounts: list[Candidate], conversation: int | None, cooling: Skip) -> Iterator[Candidate]:
        """Yield the least loaded first, ties by chance; of many accounts a few are compared, then the rest come."""
        now = monotonic()
        looked_at = random.sample(accounts, len(accounts) if len(accounts) <= _FEW else _SAMPLE)
        ready = sorted(_ready(looked_at, now, cooling), key=lambda one: self.in_flight[one.id])
        if conversation is not None and len(ready) > 1:
            self._put_home_first(ready, _home(accounts, conversation), now)
        yield from ready
        if len(looked_at) < len(accounts):
            named = {one.id for one in (*looked_at, *ready)}
            yield from (one for one in _ready(accounts, now, cooling) if one.id not in named)

    def _put_home_first(self, ready: list[Candidate], home: Candidate, now: float) -> None:
        idle = self.in_flight[ready[0].id]
        if home.cooling_until <= now and self.in_flight[home.id] <= idle + _PATIENCE:
            ready[:] = [home, *(one for one in ready if one is not home)]

    def _read(self, model: str) -> _Serving:
        found = _Serving(until=monotonic() + self._seconds)
        for row in statements.rows("accounts_serving", model, model, self._reference):
            candidate = self._candidate(row)
            found.by_owner[candidate.owner_id].append(candidate)
            if candidate.sharing == "shared":
                found.shared.append(candidate)
        return found

    def _candidate(self, row: tuple[int, int, str, str, memoryview, int, float | None]) -> Candidate:
        account_id, owner_id, sharing, base_url, sealed, strikes, cooling = row
        if base_url not in self._targets:
            self._targets[base_url] = self._guard.parse(base_url)
        return Candidate(
            id=account_id,
            owner_id=owner_id,
            sharing=sharing,
            target=self._targets[base_url],
            sealed=bytes(sealed),
            vault=self._vault,
            strikes=strikes,
            cooling_until=monotonic() + cooling if cooling else 0.0,
        )


def _ready(accounts: list[Candidate], now: float, cooling: Skip) -> Iterator[Candidate]:
    for one in accounts:
        if one.cooling_until <= now:
            yield one
        else:
            cooling(one)


def _home(accounts: list[Candidate], conversation: int) -> Candidate:
    """Return the account a conversation belongs to: every worker finds the same one, and nothing is stored.

    Of a few, by rendezvous hashing, so that one account more or less moves only its own conversations.
    """
    if len(accounts) > _FEW:
        return accounts[conversation % len(accounts)]
    return max(accounts, key=lambda one: crc32(b"%d:%d" % (conversation, one.id)))
