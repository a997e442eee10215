"""Take an account out for good, at once or when the last exchange on it has ended."""

from __future__ import annotations

from sqlalchemy import select

from shared_accounts.accounts import standing
from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger
from shared_accounts.usage.models import UsageLog


def withdraw(account: Account) -> None:
    """Take an account out for good: its credit goes back, its credential is erased, its row remains.

    While exchanges are under way on it, it drains: nobody new gets it, and all this follows when the last has ended.
    """
    if is_busy(account.id):
        if account.state != "draining":
            standing.note(account.id, account.state, "draining", "withdrawn by its owner", actor_id=account.owner_id)
            account.state, account.state_reason = "draining", "withdrawn by its owner"
        db.session.flush()
        return
    ledger.shrink(account.id)
    standing.note(account.id, account.state, "withdrawn", "withdrawn by its owner", actor_id=account.owner_id)
    account.state, account.state_reason = "withdrawn", None
    account.sealed_credential = account.sealed_refresh_token = None
    db.session.flush()


def finish_draining() -> bool:
    """Withdraw for good one account that has no exchange under way any more; returns whether there was one.

    The caller commits before the next one: a transaction that withdrew several would lock their owners' pools one
    after another, and so wait in a circle with whoever locks them in order.
    """
    busy = select(UsageLog.id).where(UsageLog.account_id == Account.id, UsageLog.state == "open").exists()
    drained = select(Account).where(Account.state == "draining", ~busy)
    account = db.session.scalar(drained.order_by(Account.id).limit(1).with_for_update(skip_locked=True))
    if account is None:
        return False
    withdraw(account)
    return True


def is_busy(account_id: int) -> bool:
    """Tell whether exchanges are under way on an account."""
    open_line = select(UsageLog.id).where(UsageLog.account_id == account_id, UsageLog.state == "open").limit(1)
    return db.session.scalar(open_line) is not None
