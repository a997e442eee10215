"""/api/admin/accounts: everybody's accounts; taken out, given back, and what one may be worth."""

from __future__ import annotations

from typing import Any

from flask import g
from flask_smorest.pagination import PaginationParameters
from marshmallow import Schema, fields, pre_load, validate

from shared_accounts.accounts import oversight
from shared_accounts.accounts.api import settings_now
from shared_accounts.accounts.models import Account
from shared_accounts.admin.gate import admin_acts
from shared_accounts.auth.guards import admin_only
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door, Text
from shared_accounts.quotas.forecast import units
from shared_accounts.quotas.schemas import Units

blp = Door("admin-accounts", __name__, url_prefix="/api/admin/accounts", description="For admins: accounts")

STATES = ("active", "needs_sign_in", "broken", "paused", "disabled", "draining", "withdrawn")
_SHOWN = ("id", "name", "base_url", "owner_id", "sharing", "state", "state_reason", "models", "created_at")


class AccountFilters(Schema):
    """Which accounts to list; withdrawn ones only when asked for. An empty filter is none."""

    search = Text(max=100, metadata={"description": "A part of the account's name"})
    owner = Text(max=50, metadata={"description": "A part of the owner's name"})
    state = fields.String(validate=validate.OneOf(STATES))
    sharing = fields.String(validate=validate.OneOf(["dedicated", "shared"]))

    @pre_load
    def _drop_empty(self, data: Any, **_: Any) -> dict[str, Any]:
        return {name: data[name] for name in data if data[name]}


class OverseenAccount(Schema):
    """An account as an admin sees it; never its credential."""

    id = fields.Integer()
    name = fields.String()
    base_url = fields.String()
    owner_id = fields.Integer()
    owner = fields.String()
    sharing = fields.String()
    state = fields.String()
    state_reason = fields.String(allow_none=True)
    models = fields.List(fields.String())
    max_worth = fields.String(
        allow_none=True, metadata={"description": "What sharing it is credited with at most; null: the setting's"}
    )
    created_at = fields.AwareDateTime()


class Disabling(Schema):
    """Why an account is taken out."""

    reason = Text(min=1, max=200, required=True, metadata={"description": "Its owner reads it"})


class Worth(Schema):
    """What an account may be worth."""

    max_worth = Units(required=True, allow_none=True, metadata={"description": "Null: as the setting says"})


@blp.get("")
@admin_only
@blp.arguments(AccountFilters, location="query")
@blp.response(200, OverseenAccount(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(422)
def list_accounts(filters: dict[str, Any], pagination_parameters: PaginationParameters) -> list[dict[str, Any]]:
    """List everybody's accounts, newest first."""
    page = pagination_parameters
    found, page.item_count = oversight.page(page.page, page.page_size, **filters)
    return [_shown(account, owner) for account, owner in found]


@blp.get("/<int:account_id>")
@admin_only
@blp.response(200, OverseenAccount)
@blp.refuses(404)
def show_account(account_id: int) -> dict[str, Any]:
    """Show anybody's account."""
    return _looked_up(account_id)


@blp.post("/<int:account_id>/disable")
@admin_acts
@blp.arguments(Disabling)
@blp.response(200, OverseenAccount)
@blp.refuses(404, 422)
def disable_account(body: dict[str, str], account_id: int) -> dict[str, Any]:
    """Take an account out of service, whatever its state; only an admin gives it back."""
    oversight.disable(account_id, body["reason"], actor_id=g.person.id)
    return _done(account_id)


@blp.post("/<int:account_id>/enable")
@admin_acts
@blp.response(200, OverseenAccount)
@blp.refuses(404, 409)
def enable_account(account_id: int) -> dict[str, Any]:
    """Give an account back to service that an admin had disabled."""
    oversight.enable(account_id, actor_id=g.person.id)
    return _done(account_id)


@blp.put("/<int:account_id>/worth")
@admin_acts
@blp.arguments(Worth)
@blp.response(200, OverseenAccount)
@blp.refuses(404, 422)
def set_account_worth(body: dict[str, int | None], account_id: int) -> dict[str, Any]:
    """Say what an account may be worth at most; what its owner earns by sharing it follows at once."""
    oversight.set_worth(account_id, body["max_worth"], settings_now())
    return _done(account_id)


def _done(account_id: int) -> dict[str, Any]:
    shown = _looked_up(account_id)
    db.session.commit()
    return shown


def _looked_up(account_id: int) -> dict[str, Any]:
    account, owner = oversight.get(account_id)
    return _shown(account, owner)


def _shown(account: Account, owner: str) -> dict[str, Any]:
    worth = None if account.max_worth is None else units(account.max_worth)
    return {name: getattr(account, name) for name in _SHOWN} | {"owner": owner, "max_worth": worth}
