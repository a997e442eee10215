"""/api/quotas: what a user may draw, and why her pools moved."""

from __future__ import annotations

from typing import Any

from flask import g
from marshmallow import Schema, fields
from sqlalchemy import select

from shared_accounts.auth.guards import signed_in
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.quotas import forecast
from shared_accounts.quotas.models import LedgerEntry, QuotaPool

blp = Door("quotas", __name__, url_prefix="/api/quotas", description="Quota pools and their ledger")


class PoolSchema(Schema):
    """One pool; amounts in units, as strings with four decimals."""

    model_group = fields.String()
    balance = fields.String()
    reserved = fields.String()
    available = fields.String()
    capacity = fields.String()
    refill_per_hour = fields.String()
    refilled_through = fields.AwareDateTime()
    full_at = fields.AwareDateTime(allow_none=True)


class EntrySchema(Schema):
    """One movement of a pool."""

    id = fields.Integer()
    at = fields.AwareDateTime()
    model_group = fields.String()
    kind = fields.String()
    amount = fields.String()
    balance_after = fields.String()
    account_id = fields.Integer(allow_none=True)
    exchange_id = fields.UUID(allow_none=True)
    note = fields.String(allow_none=True)


@blp.get("")
@signed_in
@blp.response(200, PoolSchema(many=True))
@blp.refuses(401, 403)
def pools() -> list[dict[str, Any]]:
    """Show the caller's pools, one per model group."""
    mine = select(QuotaPool).where(QuotaPool.user_id == g.person.id).order_by(QuotaPool.model_group)
    return [_pool(pool) for pool in db.session.scalars(mine)]


@blp.get("/ledger")
@signed_in
@blp.response(200, EntrySchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(401, 403)
def ledger(pagination_parameters: Any) -> list[dict[str, Any]]:
    """Show why the caller's pools moved, newest first."""
    query = (
        db.session.query(LedgerEntry, QuotaPool.model_group)
        .join(QuotaPool, QuotaPool.id == LedgerEntry.pool_id)
        .filter(QuotaPool.user_id == g.person.id)
    )
    pagination_parameters.item_count = query.count()
    first, size = pagination_parameters.first_item, pagination_parameters.page_size
    return [_entry(*row) for row in query.order_by(LedgerEntry.id.desc()).offset(first).limit(size)]


def _pool(pool: QuotaPool) -> dict[str, Any]:
    return {
        "model_group": pool.model_group,
        "balance": forecast.units(pool.balance),
        "reserved": forecast.units(pool.reserved),
        "available": forecast.units(pool.balance - pool.reserved),
        "capacity": forecast.units(pool.capacity),
        "refill_per_hour": forecast.units(pool.refill_per_hour),
        "refilled_through": pool.refilled_through,
        "full_at": forecast.full_at(pool),
    }


def _entry(entry: LedgerEntry, model_group: str) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "model_group": model_group,
        "kind": entry.kind,
        "amount": forecast.units(entry.amount),
        "balance_after": forecast.units(entry.balance_after),
        "account_id": entry.account_id,
        "exchange_id": entry.exchange_id,
        "note": entry.note,
    }
