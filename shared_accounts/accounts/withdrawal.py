"""Take an account out for good, at once or when the last exchange on it has ended.

What runs on it may finish, or its owner cuts it off. That stands in the account's row, and every worker asks each
second for the accounts that serve its exchanges: it alone holds the connections to close, and settles them as ever.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select

from shared_accounts.accounts import standing
from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db, statements
from shared_accounts.quotas import ledger
from shared_accounts.usage.models import UsageLog

_WITHDRAWN, _CUT_OFF = "withdrawn by its owner", "what ran on it was cut off by its owner"

statements.register("cut_off_accounts", ("bigint[]",), "select id from accounts where id = any($1) and cut_off")


def withdraw(account: Account, *, cut_off: bool = False) -> None:
    """Take an account out for good: its credit goes back, its credential is erased, its row remains.

    While exchanges are under way on it, it drains: nobody new gets it, and all this follows when the last has ended.
    With `cut_off` they are ended within moments; that can still be asked for while it drains.
    """
    if under_way(account.id):
        if account.state != "draining":
            standing.note(account.id, account.state, "draining", _WITHDRAWN, actor_id=account.owner_id)
            account.state, account.state_reason = "draining", _WITHDRAWN
        if cut_off and not account.cut_off:
            standing.note(account.id, "draining", "draining", _CUT_OFF, actor_id=account.owner_id)
        account.cut_off = account.cut_off or cut_off
        db.session.flush()
        return
    ledger.shrink(account.id)
    standing.note(account.id, account.state, "withdrawn", _WITHDRAWN, actor_id=account.owner_id)
    account.state, account.state_reason, account.cut_off = "withdrawn", None, account.cut_off or cut_off
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


def under_way(account_id: int) -> int:
    """Return how many exchanges are under way on an account."""
    lines = select(func.count()).where(UsageLog.account_id == account_id, UsageLog.state == "open")
    return db.session.execute(lines).scalar_one()


def cut_off(account_ids: Collection[int]) -> set[int]:
    """Return which of these accounts have been withdrawn by owners who do not let what runs on them finish."""
    found = statements.rows("cut_off_accounts", "{" + ",".join(map(str, account_ids)) + "}")
    return {account_id for (account_id,) in found}
