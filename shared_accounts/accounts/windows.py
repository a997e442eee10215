"""How much of an account's current window has been used, as the usage log tells it.

The window slides: it holds the last `window_hours`, and resets when the oldest use in it has left.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from shared_accounts.accounts.models import Account
from shared_accounts.config import MICRO
from shared_accounts.extensions import db

_USED = """
select line.account_id, line.model_group,
    least(1, sum(line.cost)::float8 * :reference / (min(accounts.allowance_tokens)::float8 * :micro)) as used,
    min(line.opened_at) + min(accounts.window_hours) * interval '1 hour' as resets_at
from usage_log line join accounts on accounts.id = line.account_id
where line.account_id = any(:ids) and line.opened_at > now() - accounts.window_hours * interval '1 hour'
  and line.cost > 0
group by line.account_id, line.model_group order by line.model_group
"""


def current(accounts: list[Account], *, reference: int) -> dict[int, list[dict[str, Any]]]:
    """Return, per account id, the share used (0 to 1) of each model group's window and when it resets."""
    windows: dict[int, list[dict[str, Any]]] = {account.id: [] for account in accounts}
    given = {"ids": list(windows), "reference": reference, "micro": MICRO}
    for row in db.session.execute(text(_USED), given):
        windows[row.account_id].append({"model_group": row.model_group, "used": row.used, "resets_at": row.resets_at})
    return windows
