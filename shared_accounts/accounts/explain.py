"""What would happen to a request now, and why: the choice of an account without the request.

It asks the same question as the statement that opens an exchange (`eligibility.WHY_NOT`), so it cannot tell another
story than the gateway; and it opens, reserves and spends nothing.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import text

from shared_accounts.accounts.candidates import UNLIMITED
from shared_accounts.accounts.eligibility import WHY_NOT
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.users.models import User

_MOST = 50
_CONSIDERED = f"""
select accounts.id, accounts.name, accounts.sharing, accounts.cooling_until, accounts.owner_id = :caller as own,
    (select count(*) from usage_log busy where busy.account_id = accounts.id and busy.state = 'open') as under_way,
    accounts.max_concurrency, coalesce((
        select known.used * cast(:reference as float8) / (accounts.allowance_tokens::float8 * {MICRO})
        from account_windows known where known.account_id = accounts.id
            and known.model_group = :model_group and known.resets_at > now()), 0) as used,
    {
    WHY_NOT.format(
        own="(accounts.owner_id = :caller)",
        caller=":caller",
        model_group=":model_group",
        reference=":reference",
        id="cast(:nobody as uuid)",
        counting="true",
    )
} as why_not
from accounts
where :model = any(accounts.models) and accounts.state <> 'withdrawn'
  and (accounts.owner_id = :caller or accounts.sharing = 'shared')
order by accounts.id limit {_MOST}"""


def considered(user: User, model: str, model_group: str, *, reference: int) -> list[dict[str, Any]]:
    """Return the accounts that serve a model, in the order they would be tried; `why_not` is null for a candidate."""
    given = {
        "caller": user.id,
        "model": model,
        "model_group": model_group,
        "reference": reference,
        "nobody": str(uuid.uuid4()),
    }
    rows = [dict(row) for row in db.session.execute(text(_CONSIDERED), given).mappings()]
    db.session.rollback()  # asking for a slot holds a lock on it
    for row in rows:
        if user.use_only_dedicated and not row["own"]:
            row["why_not"] = "you use only your own accounts"
        row["name"] = row["name"] if row["own"] else None
    return sorted(rows, key=lambda row: (row["why_not"] is not None, _rank(row, user), _load(row)))


def _rank(row: dict[str, Any], user: User) -> bool:
    """Return whether an account's class comes second for this user."""
    is_dedicated = row["own"] and row["sharing"] == "dedicated"
    return bool(is_dedicated == user.prefer_shared)


def _load(row: dict[str, Any]) -> tuple[float, int]:
    """Return how busy it is, as `selection` has it."""
    return row["under_way"] / (row["max_concurrency"] or UNLIMITED), int(row["used"] * 100)
