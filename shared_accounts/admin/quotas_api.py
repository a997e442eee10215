"""/api/admin/quotas: everybody's pools, corrections by hand, and the proof of the whole ledger."""

from __future__ import annotations

from typing import Any

from flask import g
from flask_smorest.pagination import PaginationParameters
from marshmallow import Schema, fields, pre_load
from sqlalchemy import func, select

from shared_accounts.admin.gate import admin_acts
from shared_accounts.auth.guards import admin_only
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door, Text
from shared_accounts.quotas import arithmetic, corrections, proof
from shared_accounts.quotas.models import QuotaPool
from shared_accounts.quotas.schemas import LONGEST_GROUP, PoolFigures, Units
from shared_accounts.users import roster
from shared_accounts.users.models import User

blp = Door("admin-quotas", __name__, url_prefix="/api/admin/quotas", description="For admins: quota")


class PoolFilters(Schema):
    """Which pools to list; an empty filter is none."""

    user = Text(max=50, metadata={"description": "A part of the owner's name, in any spelling of case"})
    model_group = Text(max=LONGEST_GROUP)

    @pre_load
    def _drop_empty(self, data: Any, **_: Any) -> dict[str, Any]:
        return {name: data[name] for name in data if data[name]}


class OwnedPool(PoolFigures):
    """A pool, and whose it is."""

    user_id = fields.Integer()
    username = fields.String()


class QuotaCorrection(Schema):
    """What to add to a pool, or to take from it."""

    username = Text(min=1, max=50, required=True)
    model_group = Text(min=1, max=LONGEST_GROUP, required=True)
    units = Units(signed=True, required=True, metadata={"description": "Below zero to take"})
    reason = Text(min=1, max=200, required=True, metadata={"description": "The owner reads it in her ledger"})


class LedgerProof(Schema):
    """Whether the whole ledger adds up."""

    holds = fields.Boolean()
    pools = fields.Integer(metadata={"description": "How many there are"})
    problems = fields.List(fields.String(), metadata={"description": "A sentence for each broken invariant"})


@blp.get("")
@admin_only
@blp.arguments(PoolFilters, location="query")
@blp.response(200, OwnedPool(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(422)
def list_pools(filters: dict[str, Any], pagination_parameters: PaginationParameters) -> list[dict[str, Any]]:
    """List everybody's pools, newest first."""
    page = pagination_parameters
    found, page.item_count = listed(page.page, page.page_size, **filters)
    return [_owned(pool, username) for pool, username in found]


@blp.post("/corrections")
@admin_acts
@blp.arguments(QuotaCorrection)
@blp.response(201, OwnedPool)
@blp.refuses(404, 409, 422)
def correct(body: dict[str, Any]) -> dict[str, Any]:
    """Correct a pool by hand, within what is free and what its capacity leaves (409 says the bounds).

    The reason stands in the owner's ledger and in the audit log.
    """
    user = roster.find_by_username(body["username"])
    if user is None:
        raise NotFound
    pool = corrections.correct(user.id, body["model_group"], body["units"], actor_id=g.person.id, reason=body["reason"])
    shown = _owned(pool, user.username)
    db.session.commit()
    return shown


@blp.get("/proof")
@admin_only
@blp.response(200, LedgerProof)
def prove() -> dict[str, Any]:
    """Prove from the rows that every pool is what its ledger says."""
    problems = proof.verify()
    return {"holds": not problems, "pools": proof.count_pools(), "problems": problems}


def listed(
    number: int, size: int, *, user: str | None = None, model_group: str | None = None
) -> tuple[list[tuple[QuotaPool, str]], int]:
    """Return one page of pools with their owners' names, newest first, and how many there are in all."""
    query = select(QuotaPool, User.username).join(User, User.id == QuotaPool.user_id)
    if user:
        query = query.where(roster.named_like(user))
    if model_group:
        query = query.where(QuotaPool.model_group == model_group)
    total = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    found = db.session.execute(query.order_by(QuotaPool.id.desc()).offset((number - 1) * size).limit(size))
    return [(pool, username) for pool, username in found], total


def _owned(pool: QuotaPool, username: str) -> dict[str, Any]:
    return {**arithmetic.shown(pool), "user_id": pool.user_id, "username": username}
