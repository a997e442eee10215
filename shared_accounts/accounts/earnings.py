"""What sharing an account earns its owner, by the rules for models and the settings in force.

Invariant: whoever credits an account, or takes back what it was credited to credit it anew, holds all of its owner's
pools, locked in id order before a new one is made; so two changes of her accounts cannot wait for each other in a
circle, and what one account earns is never taken back halfway.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, func, select

from shared_accounts.accounts.models import OUT_OF_SERVICE, Account, AccountWindow
from shared_accounts.config import MICRO, Settings
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger, pricing, rules
from shared_accounts.quotas.models import Credit, QuotaPool
from shared_accounts.quotas.rules import Rules
from shared_accounts.quotas.terms import Terms

BEARING = ("sharing", "models", "allowance_tokens")
"""What an owner may change and her credit hangs on."""

_EARNS = (Account.sharing == "shared") & Account.state.not_in(("draining", "withdrawn"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """What an account's credit hangs on; one that is yet to be contributed has no number."""

    account_id: int | None = None
    sharing: str
    models: list[str]
    allowance_tokens: int
    max_worth: int | None = None
    state: str = "active"

    @classmethod
    def of(cls, account: Account) -> Bearing:
        """Return it as it stands."""
        return cls(
            account_id=account.id,
            sharing=account.sharing,
            models=account.models,
            allowance_tokens=account.allowance_tokens,
            max_worth=account.max_worth,
            state=account.state,
        )

    @property
    def is_resting(self) -> bool:
        """Whether its part of the refill rests."""
        return self.state in OUT_OF_SERVICE


def credit(account: Account, settings: Settings) -> None:
    """Credit the owner with what her account is worth, if she shares it."""
    in_force = rules.current(reference=settings.reference_allowance_tokens)
    _grow(account, offered(Bearing.of(account), settings, in_force))


def offered(bearing: Bearing, settings: Settings, in_force: Rules) -> dict[str, Terms]:
    """Return what sharing an account brings its owner's pools; the balance with what is left of its windows.

    Specification section 5: an account whose window is half used brings half of its opening balance.
    """
    if bearing.sharing != "shared":
        return {}
    left = _left(bearing, in_force) if bearing.account_id else {}
    return {
        group: replace(one, balance=int(one.balance * left.get(group, 1)))
        for group, one in _terms(bearing, settings, in_force).items()
    }


def _grow(account: Account, terms: dict[str, Terms]) -> None:
    if account.sharing == "shared":
        _hold_pools(account.owner_id)
        ledger.grow(account.owner_id, account.id, terms, resting=account.state in OUT_OF_SERVICE)


def take_back(account: Account) -> None:
    """Take back exactly what the account was credited."""
    _hold_pools(account.owner_id)
    ledger.shrink(account.id)


def outdated(settings: Settings) -> list[int]:
    """Return, in order, the accounts that earn something else than the rules now say."""
    in_force = rules.current(reference=settings.reference_allowance_tokens)
    known = select(Account.id, Account.models, Account.allowance_tokens, Account.max_worth).where(_EARNS)
    credited = _credited()
    return [
        one.id
        for one in db.session.execute(known.order_by(Account.id))
        if credited[one.id] != _figures(_terms(one, settings, in_force))
    ]


def bring_up_to_date(account_id: int, settings: Settings) -> bool:
    """Credit an account anew if it earns something else than the rules now say; returns whether it did.

    What was in a pool that no longer pays for it is taken back as a withdrawal takes it: a debt stays a debt.
    """
    found = select(Account).where(Account.id == account_id, _EARNS).with_for_update()
    account = db.session.scalar(found.execution_options(populate_existing=True))
    if account is None:
        return False
    in_force = rules.current(reference=settings.reference_allowance_tokens)
    terms = _terms(account, settings, in_force)
    if _credited(account_id)[account_id] == _figures(terms):
        return False
    take_back(account)
    _grow(account, terms)  # whole: it is not the owner who changed something
    return True


def _left(bearing: Bearing, in_force: Rules) -> dict[str, float]:
    """Return what is left, from 0 to 1, of each window of the account that runs now."""
    running = select(AccountWindow, func.now()).where(AccountWindow.account_id == bearing.account_id)
    left = {}
    for row, now in db.session.execute(running).tuples():
        used = row.used * in_force.reference(row.model_group) / (bearing.allowance_tokens * MICRO)
        is_exhausted = row.exhausted_until is not None and row.exhausted_until > now
        if is_exhausted or row.resets_at > now:
            left[row.model_group] = 0.0 if is_exhausted else max(0.0, 1 - used)
    return left


def _terms(account: Account | Bearing | Row[Any], settings: Settings, in_force: Rules) -> dict[str, Terms]:
    ceiling = account.max_worth or settings.max_account_worth
    return {
        group: _worth(account.allowance_tokens, in_force.reference(group), settings, ceiling)
        for group in in_force.groups(account.models)
    }


def _worth(allowance_tokens: int, reference: int, settings: Settings, ceiling: int) -> Terms:
    share = pricing.worth(allowance_tokens, reference=reference, ceiling=ceiling)
    capacity = settings.quota_capacity_per_account * share // MICRO
    return Terms(
        capacity=capacity,
        refill_per_hour=settings.quota_refill_per_account * share // MICRO,
        balance=capacity,
    )


def _figures(terms: dict[str, Terms]) -> dict[str, tuple[int, int]]:
    return {group: (one.capacity, one.refill_per_hour) for group, one in terms.items()}


def _credited(account_id: int | None = None) -> defaultdict[int, dict[str, tuple[int, int]]]:
    query = select(Credit.account_id, Credit.model_group, Credit.capacity, Credit.refill_per_hour)
    if account_id is not None:
        query = query.where(Credit.account_id == account_id)
    found: defaultdict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
    for account, group, capacity, refill in db.session.execute(query).tuples():
        found[account][group] = (capacity, refill)
    return found


def _hold_pools(owner_id: int) -> None:
    hers = select(QuotaPool.id).where(QuotaPool.user_id == owner_id).order_by(QuotaPool.id)
    db.session.execute(hers.with_for_update()).all()
