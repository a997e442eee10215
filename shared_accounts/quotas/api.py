"""/api/quotas: what a user may draw, what it comes from, when it comes back, and why it moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from flask import g
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import func, select

from shared_accounts.accounts.models import Account
from shared_accounts.auth.guards import signed_in
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.quotas import arithmetic, forecast, history, ledger
from shared_accounts.quotas.arithmetic import Earning
from shared_accounts.quotas.models import Credit, QuotaPool
from shared_accounts.quotas.schemas import EntrySchema, ForecastQuery, ForecastSchema, LedgerFilters, PoolSchema

blp = Door("quotas", __name__, url_prefix="/api/quotas", description="Quota pools and their ledger")


@blp.get("")
@signed_in
@blp.response(200, PoolSchema(many=True))
@blp.refuses(401, 403)
def pools() -> list[dict[str, Any]]:
    """Show the caller's pools, one per model group, with the accounts that earn them."""
    return _explained(ledger.pools_of(g.person.id))


@blp.get("/<path:model_group>")
@signed_in
@blp.response(200, PoolSchema)
@blp.refuses(401, 403, 404)
def pool(model_group: str) -> dict[str, Any]:
    """Show the caller's pool for one model group, whose name may contain slashes."""
    return _explained([_mine(model_group)])[0]


@blp.get("/forecast")
@signed_in
@blp.arguments(ForecastQuery, location="query")
@blp.response(200, ForecastSchema)
@blp.refuses(401, 403, 404, 422)
def when(query: dict[str, Any]) -> dict[str, Any]:
    """Say how much of a pool comes back at which hour, and when `units` are free, if nothing is spent meanwhile."""
    forecast.refill_now(g.person.id, query["model_group"])
    mine, needed = _mine(query["model_group"]), query["units"]
    shown = {
        "available": forecast.units(mine.balance - mine.reserved),
        "fits_at": forecast.fits_at(mine, needed) if needed else None,
        "full_at": forecast.full_at(mine),
        "hours": [{"at": at, "balance": forecast.units(balance)} for at, balance in forecast.hours(mine)],
    }
    db.session.commit()
    return shown


@blp.get("/ledger")
@signed_in
@blp.arguments(LedgerFilters, location="query")
@blp.response(200, EntrySchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(401, 403, 422)
def entries(filters: dict[str, Any], pagination_parameters: PaginationParameters) -> list[dict[str, Any]]:
    """Show why the caller's pools moved, newest first."""
    page, wanted = pagination_parameters, history.entries(g.person.id, **filters)
    page.item_count = db.session.scalar(select(func.count()).select_from(wanted.order_by(None).subquery())) or 0
    found = db.session.execute(wanted.offset(page.first_item).limit(page.page_size))
    return [history.shown(*row) for row in found]


def _mine(model_group: str) -> QuotaPool:
    mine = (QuotaPool.user_id == g.person.id) & (QuotaPool.model_group == model_group)
    found = None if "\0" in model_group else db.session.scalar(select(QuotaPool).where(mine))
    if found is None:
        raise NotFound
    return found


def _explained(found: Sequence[QuotaPool]) -> list[dict[str, Any]]:
    query = (
        select(Credit, Account.name)
        .join(Account, Account.id == Credit.account_id)
        .where(Credit.pool_id.in_([one.id for one in found]))
        .order_by(Credit.account_id)
    )
    earnings: defaultdict[int, list[Earning]] = defaultdict(list)
    for credit, name in db.session.execute(query):
        earning = Earning(credit.account_id, name, credit.capacity, credit.refill_per_hour, credit.resting)
        earnings[credit.pool_id].append(earning)
    return [arithmetic.explained(one, earnings[one.id]) for one in found]
