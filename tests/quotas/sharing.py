"""Sharing an account and spending from a pool, in a line each."""

from __future__ import annotations

from sqlalchemy import select, update

from shared_accounts.accounts.models import Account
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger
from shared_accounts.quotas.ledger import Terms
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.users.models import User
from tests import factories

STANDARD = Terms(capacity=2 * MICRO, refill_per_hour=400_000, balance=2 * MICRO)


def shared_account(owner: User, *groups: str, terms: Terms = STANDARD) -> Account:
    """An account that has earned its owner what sharing it earns."""
    groups = groups or ("m",)
    account = factories.account(owner, models=groups)
    ledger.grow(owner.id, account.id, dict.fromkeys(groups, terms))
    db.session.commit()
    return account


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
