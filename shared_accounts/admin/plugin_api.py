"""/api/admin/plugin: who has a user at the Plug-in API, and what an admin can have done about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import current_app
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import Row, func, select

from shared_accounts.admin.gate import admin_acts
from shared_accounts.admin.plugin_schemas import BindingFilters, BindingSchema, Orphan
from shared_accounts.auth.guards import admin_only
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.plugin import bindings, parts, provisioning
from shared_accounts.plugin.failures import PluginRefused, PluginUnreachable
from shared_accounts.plugin.parts import Plugin
from shared_accounts.plugin.provisioning import Order
from shared_accounts.plugin.refusals import PluginFailed, explain
from shared_accounts.users import roster
from shared_accounts.users.models import User

blp = Door("admin-plugin", __name__, url_prefix="/api/admin/plugin", description="For admins: the Plug-in API")


@blp.get("")
@admin_only
@blp.arguments(BindingFilters, location="query")
@blp.response(200, BindingSchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(422)
def list_bindings(filters: dict[str, str], pagination_parameters: PaginationParameters) -> list[Row[Any]]:
    """List everybody, newest first, and how far her user at the Plug-in API is; `search` is a part of the name."""
    query, page = bindings.seen(), pagination_parameters
    if "search" in filters:
        query = query.where(roster.named_like(filters["search"]))
    if "state" in filters:
        query = query.where(query.selected_columns.state == filters["state"])
    page.item_count = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    return list(db.session.execute(query.offset(page.first_item).limit(page.page_size)))


@blp.get("/orphans")
@admin_only
@blp.response(200, Orphan(many=True))
@blp.refuses(409, 502, 504)
def list_orphans() -> list[dict[str, str]]:
    """List users there that we made and whose answer came too late: nobody uses them, each may be deleted there."""
    plugin = _plugin()
    db.session.rollback()  # no connection is kept while the Plug-in API answers
    with _explained():
        found = provisioning.orphans(plugin)
    return [{"plugin_user_id": there_id, "name": name} for there_id, name in found]


@blp.post("/<int:user_id>/provision")
@admin_acts
@blp.response(200, BindingSchema)
@blp.refuses(404, 409, 502, 503, 504)
def provision(user_id: int) -> Row[Any]:
    """Give somebody a user there now, and wait for it; for whoever has one nothing happens."""
    return _done(Order.PROVISION, user_id)


@blp.post("/<int:user_id>/resync")
@admin_acts
@blp.response(200, BindingSchema)
@blp.refuses(404, 409, 502, 503, 504)
def resync(user_id: int) -> Row[Any]:
    """See that somebody's key there is good, her preference set and her models known; what is missing is made."""
    return _done(Order.RESYNC, user_id)


@blp.post("/<int:user_id>/rotate-key")
@admin_acts
@blp.response(200, BindingSchema)
@blp.refuses(404, 409, 502, 503, 504)
def rotate_key(user_id: int) -> Row[Any]:
    """Replace somebody's key there; the old one dies at once, the new one serves at once and is shown to nobody."""
    return _done(Order.ROTATE_KEY, user_id)


def _done(order: Order, user_id: int) -> Row[Any]:
    with _explained():
        for _ in provisioning.insist(_plugin(), user_id, order):
            db.session.commit()
    return db.session.execute(bindings.seen().where(User.id == user_id)).one()


@contextmanager
def _explained() -> Iterator[None]:
    """Say what the Plug-in API refused as a fault of its own: an admin's request is never to blame for it."""
    try:
        yield
    except PluginUnreachable as failure:
        raise explain(failure) from failure
    except PluginRefused as failure:
        said = f"The Plug-in API answered {failure.status} ({failure.kind})."
        raise PluginFailed(said, retry_after=failure.retry_after) from failure


def _plugin() -> Plugin:
    return parts.required(current_app.extensions["plugin"])
