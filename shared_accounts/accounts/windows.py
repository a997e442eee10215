"""How much of an account's current window is used: it begins with a first use and lasts `window_hours`.

There is one window for each model group; the models that share an allowance share its window.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from shared_accounts.accounts.models import Account, AccountWindow
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import rules


def current(accounts: list[Account], *, reference: int) -> dict[int, list[dict[str, Any]]]:
    """Return, per account id, the share used (0 to 1) of each model group's window and when it resets.

    `reference` is that of groups for which no other was laid down.
    """
    windows: dict[int, list[dict[str, Any]]] = {account.id: [] for account in accounts}
    allowances = {account.id: account.allowance_tokens * MICRO for account in accounts}
    in_force = rules.current(reference=reference)
    running = select(AccountWindow).where(AccountWindow.account_id.in_(windows), AccountWindow.resets_at > func.now())
    for row in db.session.scalars(running.order_by(AccountWindow.model_group)):
        used = min(1.0, row.used * in_force.reference(row.model_group) / allowances[row.account_id])
        windows[row.account_id].append({"model_group": row.model_group, "used": used, "resets_at": row.resets_at})
    return windows
