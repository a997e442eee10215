"""/api/admin/prices: what models cost in money, version by version, and which are used without a price."""

from __future__ import annotations

from typing import Any

from flask import g
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import func, select

from shared_accounts.admin.gate import admin_acts
from shared_accounts.admin.price_schemas import NewPrice, PriceFilters, PriceSchema, UnpricedModel
from shared_accounts.auth.guards import admin_only
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.money import price_list
from shared_accounts.money.models import ModelPrice
from shared_accounts.usage import unpriced

blp = Door("admin-prices", __name__, url_prefix="/api/admin/prices", description="For admins: prices in money")


@blp.get("")
@admin_only
@blp.arguments(PriceFilters, location="query")
@blp.response(200, PriceSchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(422)
def list_prices(filters: dict[str, Any], pagination_parameters: PaginationParameters) -> list[dict[str, Any]]:
    """List the versions of prices, by model, of each the one valid from the latest moment first."""
    page = pagination_parameters
    found, page.item_count = listed(page.page, page.page_size, **filters)
    return found


def listed(number: int, size: int, **filters: Any) -> tuple[list[dict[str, Any]], int]:
    """Return one page of versions, and how many there are in all."""
    wanted = price_list.versions(**{"model": None, "only_counting": False, **filters})
    total = db.session.scalar(select(func.count()).select_from(wanted.order_by(None).subquery())) or 0
    found = db.session.execute(wanted.offset((number - 1) * size).limit(size))
    return [_shown(price, counts=counts) for price, counts in found], total


@blp.get("/unpriced")
@admin_only
@blp.response(200, UnpricedModel(many=True))
def list_unpriced() -> list[dict[str, Any]]:
    """List the models whose tokens were used without a price, the most used first."""
    return unpriced.models(g.person.id)


@blp.post("")
@admin_acts
@blp.arguments(NewPrice)
@blp.response(201, PriceSchema)
@blp.alt_response(200, schema=PriceSchema)
@blp.refuses(422)
def lay_down_price(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Add a version of a model's price, valid from now or from `valid_from`; what counts then anyway is shown with 200.

    Requests that were closed before keep their price until an operator runs `flask usage reprice`.
    """
    shown, is_new = put(body)
    db.session.commit()
    return shown, 201 if is_new else 200


def put(body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Add a version to the list; tells whether it is new, for what counts then anyway is not. The caller commits."""
    cached = body["input"] if body["cached"] is None else body["cached"]
    amounts = body["input"], body["output"], cached
    who = {"currency": body["currency"], "since": body["valid_from"], "actor_id": g.person.id}
    price, is_new = price_list.lay_down(body["model"], amounts=amounts, **who)
    counts = db.session.scalar(select(price_list.counts()).where(ModelPrice.id == price.id))
    return _shown(price, counts=bool(counts)), is_new


def _shown(price: ModelPrice, *, counts: bool) -> dict[str, Any]:
    return {name: getattr(price, name) for name in ModelPrice.__table__.columns.keys()} | {"counts": counts}  # noqa: SIM118
