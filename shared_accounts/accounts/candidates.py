"""The accounts that serve a model, read a page at a time from where they lie on its ring.

Each account has a fixed lot (`AccountModel`), and who reads goes clockwise from some lot on. So a page costs the same
however many accounts there are. What was read is only a hint; see `selection.VERIFIED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from shared_accounts.accounts import presets
from shared_accounts.config import MICRO
from shared_accounts.crypto import Vault
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import statements
from shared_accounts.outbound.addresses import Guard, Target

UNLIMITED = 100
"""An account without a limit counts as if it had this one."""
_TYPES = ("text", "bigint", "bigint", "bigint", "bigint", "bigint")


def _clockwise(those: str) -> str:
    """Read `$6` of those that serve model `$1`: with lots after `$3` up to `$4`, then from the first up to `$5`."""
    return f"""
with page as materialized (
    select lap, lot, account_id from (
        (select 0 as lap, lot, account_id from account_models
            where model = $1 and {those} and lot > $3 and lot <= $4 order by lot limit $6)
        union all
        (select 1, lot, account_id from account_models
            where model = $1 and {those} and lot <= $5 order by lot limit $6)) met
    order by lap, lot limit $6),
named as materialized (select coalesce(max(model_group), $1) as model_group from model_rules where model = $1),
rule as materialized (
    select model_group, coalesce((select max(reference_tokens) from model_rules other where alias_of is null
        and coalesce(other.model_group, other.model) = named.model_group), $2)::float8 as reference from named),
spent as materialized (
    select page.*, exhausted_until, case when resets_at > now() then resets_at end as resets_at,
        case when resets_at > now() then used * (select reference from rule) / {MICRO} else 0 end as tokens
    from page left join account_windows known
        on known.account_id = page.account_id and known.model_group = (select model_group from rule))
select lot, id, owner_id, sharing, base_url, preset, sealed_credential, strikes, max_concurrency,
    tokens / allowance_tokens, greatest(0, extract(epoch from greatest(cooling_until, exhausted_until,
        case when tokens >= allowance_tokens then resets_at end) - now()))::float8
from spent join accounts on accounts.id = spent.account_id order by lap, lot"""


statements.register("shared_clockwise", _TYPES, _clockwise("shared"))
statements.register("own_clockwise", (*_TYPES, "bigint", "boolean"), _clockwise("owner_id = $7 and shared = $8"))


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
    max_concurrency: int | None = None
    room: int = UNLIMITED
    """How many at once it counts as taking: reckoned once, for each chat asks it of many."""
    hundredths: int = 0
    """Of its window, that were used when it was read."""
    lot: int = 0
    preset: str | None = None

    @property
    def credential(self) -> str:
        """The upstream's key, opened anew each time: it takes microseconds, and no list of keys lies in memory."""
        return self.vault.unseal(self.sealed, purpose=f"account:{self.id}")

    @property
    def dialect(self) -> presets.Dialect:
        """What its upstream speaks."""
        return presets.dialect(self.target.origin.host, self.preset)


class Whose(NamedTuple):
    """What everybody shares; or, with an owner, what she shares or keeps to herself."""

    sharing: str
    owner_id: int | None = None


class Stretch(NamedTuple):
    """A part of the ring: after one lot up to another, and then, past the last, up to a third."""

    after: int
    until: int
    then_until: int


class Page(NamedTuple):
    """The first few candidates of a stretch, the lot of the last, and whether more come after it."""

    candidates: list[Candidate]
    last: int
    more: bool


class Reader:
    """Reads candidates; the one place that knows their rows."""

    def __init__(self, vault: Vault, guard: Guard, reference: int) -> None:
        """Take as `reference` the allowance, in weighted tokens, of a model for which no rule lays down another."""
        self._vault = vault
        self._guard = guard
        self._reference = reference
        self._targets: dict[str, Target | None] = {}

    def page(self, model: str, whose: Whose, stretch: Stretch, size: int) -> Page:
        """Return at most so many candidates, clockwise, the cooling ones included."""
        given = (model, self._reference, *stretch, size + 1)
        if whose.owner_id is None:
            rows = statements.rows("shared_clockwise", *given)
        else:
            rows = statements.rows("own_clockwise", *given, whose.owner_id, whose.sharing == "shared")
        candidates = [one for row in rows[:size] if (one := self._candidate(row))]
        return Page(candidates, rows[:size][-1][0] if rows else stretch.after, len(rows) > size)

    def _candidate(self, row: tuple[Any, ...]) -> Candidate | None:
        lot, account_id, owner_id, sharing, base_url, preset, sealed, strikes, max_concurrency, used, cooling = row
        target = self._target(base_url)
        if target is None:
            return None
        return Candidate(
            id=account_id,
            owner_id=owner_id,
            sharing=sharing,
            target=target,
            sealed=bytes(sealed),
            vault=self._vault,
            strikes=strikes,
            cooling_until=monotonic() + cooling if cooling else 0.0,
            max_concurrency=max_concurrency,
            room=max_concurrency or UNLIMITED,
            hundredths=int(used * 100),
            lot=lot,
            preset=preset,
        )

    def _target(self, base_url: str) -> Target | None:
        """Take an address apart, once; nothing for one that the operator no longer allows."""
        if base_url not in self._targets:
            try:
                self._targets[base_url] = self._guard.parse(base_url)
            except Unprocessable:
                self._targets[base_url] = None
        return self._targets[base_url]
