"""How much of an account's current window is used: it begins with a first use and lasts `window_hours`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from shared_accounts.accounts.models import Account, AccountWindow
from shared_accounts.config import MICRO
from shared_accounts.extensions import db


def current(accounts: list[Account], *, reference: int) -> dict[int, list[dict[str, Any]]]:
    """Return, per account id, the share used (0 to 1) of each model group's window and when it resets."""
    windows: dict[int, list[dict[str, Any]]] = {account.id: [] for account in accounts}
    allowances = {account.id: account.allowance_tokens * MICRO / reference for account in accounts}
    running = select(AccountWindow).where(AccountWindow.account_id.in_(windows), AccountWindow.resets_at > func.now())
    for row in db.session.scalars(running.order_by(AccountWindow.model_group)):
        used = min(1.0, row.used / allowances[row.account_id])
        windows[row.account_id].append({"model_group": row.model_group, "used": used, "resets_at": row.resets_at})
    return windows
