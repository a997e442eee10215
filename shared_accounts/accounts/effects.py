"""What a change of one's accounts would do to one's quota: reckoned as the change itself reckons it, and nothing done.

Invariant: what is shown is what the very same verb would do in this hour, debts and rounding included. The pools are
seen as the refill leaves them that every such change begins with, so that the two sides differ by the change alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared_accounts.accounts import earnings
from shared_accounts.accounts.earnings import Bearing
from shared_accounts.accounts.models import Account
from shared_accounts.config import Settings
from shared_accounts.quotas import forecast, ledger, rules
from shared_accounts.quotas.models import Credit
from shared_accounts.quotas.refill import refilled
from shared_accounts.quotas.terms import Figures, Terms, grown, shrunk

_Offer = tuple[Bearing, str, Terms]


@dataclass(frozen=True, slots=True)
class Effect:
    """One pool now and after; one that would be new holds nothing now."""

    group: str
    before: Figures
    after: Figures

    @property
    def owed(self) -> int:
        """What could not be taken back and would be remembered."""
        return max(0, self.after.owed - self.before.owed)

    @property
    def full_at(self) -> tuple[datetime | None, datetime | None]:
        """When the pool is full again, now and after; nothing if it is, or never will be."""
        return forecast.full_at(self.before), forecast.full_at(self.after)


def of_contributing(owner_id: int, accounts: Iterable[Bearing], settings: Settings) -> list[Effect]:
    """Return what contributing these accounts would do to their owner's pools."""
    return _reckoned(owner_id, (), _offers(accounts, settings))


def of_changing(account: Account, changes: Mapping[str, Any], settings: Settings) -> list[Effect]:
    """Return what an owner's changes of sharing, models or allowance would do to her pools."""
    now = Bearing.of(account)
    after = replace(now, **{name: value for name, value in changes.items() if name in earnings.BEARING})
    return _reckoned(account.owner_id, _credits(account), _offers([after], settings)) if after != now else []


def of_withdrawing(account: Account) -> list[Effect]:
    """Return what withdrawing an account would take back, at once or when its last exchange has ended."""
    return _reckoned(account.owner_id, _credits(account), ())


def _reckoned(owner_id: int, taken_back: Iterable[Credit], offers: Iterable[_Offer]) -> list[Effect]:
    hour, before = refilled(owner_id)
    after = dict(before)
    for credit in taken_back:
        after[credit.model_group] = shrunk(after[credit.model_group], credit)
    for account, group, offer in offers:
        after[group], _ = grown(after.get(group) or Figures(hour), offer, resting=account.is_resting)
    effects = [Effect(group, before.get(group) or Figures(hour), after[group]) for group in sorted(after)]
    return [one for one in effects if one.before != one.after]


def _credits(account: Account) -> list[Credit]:
    return list(ledger.credits_of(account.id).values())


def _offers(given: Iterable[Bearing], settings: Settings) -> Iterator[_Offer]:
    shared = [account for account in given if account.sharing == "shared"]
    if shared:
        in_force = rules.current(reference=settings.reference_allowance_tokens)
        for account in shared:
            for group, offer in earnings.offered(account, settings, in_force).items():
                yield account, group, offer
