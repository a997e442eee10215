"""Sharing an account, spending from a pool and opening an exchange in the books, in a line each."""

from __future__ import annotations

from typing import Any

from flask import current_app
from sqlalchemy import select, update

from shared_accounts.accounts import contribution, withdrawal
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.selection import Candidate
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.gateway import attempts, books
from shared_accounts.quotas import ledger
from shared_accounts.quotas.ledger import Terms
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.quotas.pricing import Rule
from shared_accounts.users.models import User
from shared_accounts.users.roster import Caller
from tests import factories

UPSTREAM = "http://127.0.0.1:9/v1"
REFERENCE = 1_000_000
STANDARD = Terms(capacity=2 * MICRO, refill_per_hour=400_000, balance=2 * MICRO)


def shared_account(owner: User, *groups: str, terms: Terms = STANDARD) -> Account:
    """An account that has earned its owner what sharing it earns."""
    groups = groups or ("m",)
    account = factories.account(owner, models=groups)
    ledger.grow(owner.id, account.id, dict.fromkeys(groups, terms))
    db.session.commit()
    return account


def contributed(owner: User, credential: str = "sk-of-hers", **overrides: Any) -> Account:
    """An account as its owner contributes it, once its credential has been proved."""
    parts = current_app.extensions
    fields = {"sharing": "shared", "models": ["m"], "allowance_tokens": REFERENCE, "window_hours": 5, **overrides}
    offer = contribution.Offer(
        name="Hers", base_url=UPSTREAM, target=parts["guard"].parse(UPSTREAM), credential=f"{credential:0>32}",
        max_concurrency=None, **fields,
    )  # fmt: skip
    made = contribution.contribute(owner.id, offer, vault=parts["vault"], settings=parts["settings"])
    db.session.commit()
    return made


def change(account: Account, **changes: Any) -> Account:
    """What its owner's PATCH does."""
    mine = contribution.mine(account.owner_id, account.id)
    contribution.change(mine, changes, current_app.extensions["settings"])
    db.session.commit()
    return account


def withdraw(account: Account) -> None:
    """What its owner's DELETE does."""
    withdrawal.withdraw(contribution.mine(account.owner_id, account.id))
    db.session.commit()


def caller_for(user: User) -> Caller:
    """A user as the guard knows her by a key of her own."""
    key, _ = factories.api_key(user)
    return Caller(user.id, "active", False, False, key.id, key.fingerprint, None)


def opening(caller: Caller, estimate: int, group: str = "m", *, lease_seconds: float = 3600, **more: Any) -> Any:
    """An exchange before it happens, as the gateway describes it to the books."""
    fields = {"id": attempts.new_id(), "endpoint": "/v1/chat/completions", "stream": False, "worker": "tests", **more}
    terms = {"rule": Rule(group, group, REFERENCE), "estimate": estimate, "lease_seconds": lease_seconds}
    return books.Opening(caller=caller, model=group, **terms, **fields)


def open_line(opened: Any, account_id: int) -> str:
    """Open an exchange on this account; returns the verdict without its reason."""
    # The books ask for a candidate's id alone: what the account is like they read from its row.
    chosen = object.__new__(Candidate)
    object.__setattr__(chosen, "id", account_id)
    return books.open_line(opened, chosen).partition(":")[0]


def pool_of(user: User, group: str = "m") -> QuotaPool:
    """A pool as the database has it now."""
    db.session.expire_all()
    return db.session.scalars(
        select(QuotaPool).where(QuotaPool.user_id == user.id, QuotaPool.model_group == group)
    ).one()


def spend(user: User, amount: int, group: str = "m") -> None:
    """What the gateway's statements do when an exchange is settled, in three lines."""
    pool = pool_of(user, group)
    pool.balance -= amount
    db.session.add(LedgerEntry(pool_id=pool.id, kind="spend", amount=-amount, balance_after=pool.balance))
    db.session.commit()


def backdate(kind: str, when: object) -> None:
    """Let every entry of a kind have been made at another time."""
    db.session.execute(update(LedgerEntry).where(LedgerEntry.kind == kind).values(at=when))
    db.session.commit()
