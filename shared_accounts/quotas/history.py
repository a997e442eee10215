"""Why pools moved, and by whom, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import aliased

from shared_accounts.quotas.forecast import units
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.users.models import User

KINDS = ("credit", "forfeit", "refill", "spend", "correction", "gift")


def entries(
    user_id: int,
    *,
    model_group: str | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Select[Any]:
    """Return the query for a user's entries with the names of the people in them; `until` itself is left out."""
    counterpart, actor = aliased(User), aliased(User)
    query = (
        select(LedgerEntry, QuotaPool.model_group, counterpart.username, actor.username)
        .join(QuotaPool, QuotaPool.id == LedgerEntry.pool_id)
        .outerjoin(counterpart, counterpart.id == LedgerEntry.counterpart_id)
        .outerjoin(actor, actor.id == LedgerEntry.actor_id)
        .where(QuotaPool.user_id == user_id)
        .order_by(LedgerEntry.id.desc())
    )
    if model_group is not None:
        query = query.where(QuotaPool.model_group == model_group)
    if kind is not None:
        query = query.where(LedgerEntry.kind == kind)
    if since is not None:
        query = query.where(LedgerEntry.at >= since)
    if until is not None:
        query = query.where(LedgerEntry.at < until)
    return query


def shown(entry: LedgerEntry, model_group: str, counterpart: str | None, actor: str | None) -> dict[str, Any]:
    """Return an entry for people, in units."""
    return {
        "id": entry.id,
        "at": entry.at,
        "model_group": model_group,
        "kind": entry.kind,
        "amount": units(entry.amount),
        "balance_after": units(entry.balance_after),
        "account_id": entry.account_id,
        "exchange_id": entry.exchange_id,
        "note": entry.note,
        "counterpart": counterpart,
        "actor": actor,
    }
