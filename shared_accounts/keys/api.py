"""/api/api-keys: the caller's own keys for tools, and what each of them may do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import g
from flask_smorest.pagination import PaginationParameters
from marshmallow import Schema, fields, validate

from shared_accounts.accounts.limits import Units
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced, refuse_stale, signed_in
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door, Text
from shared_accounts.keys import budgets, keyring, limits
from shared_accounts.keys.models import ApiKey
from shared_accounts.keys.schemas import KeyFacts, KeyTerms, NewKeyTerms, Rotation, Switch
from shared_accounts.requests_in import settings

blp = Door("api-keys", __name__, url_prefix="/api/api-keys", description="Keys for OpenAI-compatible tools")


def _units(what: str) -> Units:
    more_than_nothing = validate.Range(1, error="Must be more than nothing.")
    return Units(allow_none=True, validate=more_than_nothing, metadata={"description": what})


class Budgets(Schema):
    """What a key may spend, in units, on whosever accounts; null for no limit, and what is not named stays."""

    total = _units("In all")
    five_hours = _units("In any five hours")
    day = _units("In any 24 hours")
    week = _units("In any 7 days")
    month = _units("In any 30 days")


class NewKey(NewKeyTerms):
    """What a key is asked for with."""

    budgets = fields.Nested(Budgets)


class KeyChange(KeyTerms):
    """What an owner may change later."""

    name = Text(min=1, max=100)
    budgets = fields.Nested(Budgets)


class KeySchema(KeyFacts):
    """A key as its owner sees it."""

    budgets = fields.Nested(Budgets)


class StandingSchema(Schema):
    """How one budget stands: `spent` by what has ended, `held` by what is under way."""

    budget = fields.String()
    limit = Units()
    spent = Units()
    held = Units()


class ShownKeySchema(KeySchema):
    """A key, and how its budgets stand."""

    spending = fields.List(fields.Nested(StandingSchema))


class IssuedKeySchema(KeySchema):
    """A new key, with its secret."""

    key = fields.String(attribute="secret", metadata={"description": "The secret, shown this once"})


@blp.post("")
@signed_in
@blp.arguments(NewKey)
@blp.response(201, IssuedKeySchema)
@blp.refuses(422)
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Make a key.

    The answer holds the secret, for the only time: we keep nothing it could be read from. A user has at most
    as many keys as her trust level allows. Silenced users are refused with `ACCOUNT_SILENCED`.
    """
    _refuse_new_secrets()
    key, secret = keyring.issue(g.person.id, **_columns(body))
    trail.record("api_key.created", on=g.person.id, target=f"api_key:{key.id}")
    return _issued(key, secret)


@blp.get("")
@signed_in
@blp.response(200, KeySchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
def list_keys(pagination_parameters: PaginationParameters) -> list[ApiKey]:
    """List your keys, newest first."""
    page = pagination_parameters
    keys, page.item_count = keyring.mine(g.person.id, page.page, page.page_size)
    return keys


@blp.get("/<int:key_id>")
@signed_in
@blp.response(200, ShownKeySchema)
@blp.refuses(404)
def show(key_id: int) -> dict[str, Any]:
    """Show one of your keys, without its secret, and what is spent of its budgets."""
    key = keyring.get(g.person.id, key_id)
    return {**_shown(key), "spending": budgets.standing(key.id)}


@blp.patch("/<int:key_id>")
@signed_in
@blp.arguments(KeyChange)
@blp.response(200, KeySchema)
@blp.refuses(404, 422)
def change(body: dict[str, Any], key_id: int) -> ApiKey:
    """Change what a key may do; requests notice at once.

    What is not named stays as it is, null takes a limit away. A budget counts what the key has cost before, too.
    """
    key = keyring.get(g.person.id, key_id, to_change=True)
    limits.change(key, _columns(body))
    trail.record("api_key.changed", on=g.person.id, target=f"api_key:{key_id}", fields=sorted(body))
    db.session.commit()
    return key


@blp.patch("/<int:key_id>/status")
@signed_in
@blp.arguments(Switch)
@blp.response(200, KeySchema)
@blp.refuses(404)
def switch(body: dict[str, Any], key_id: int) -> ApiKey:
    """Switch a key off or on again; requests notice at once."""
    key = keyring.switch(g.person.id, key_id, on=body["is_active"])
    trail.record("api_key.switched", on=g.person.id, target=f"api_key:{key_id}", on_now=body["is_active"])
    db.session.commit()
    return key


@blp.post("/<int:key_id>/rotate")
@signed_in
@blp.arguments(Rotation)
@blp.response(200, IssuedKeySchema)
@blp.refuses(404, 422)
def rotate(body: dict[str, Any], key_id: int) -> dict[str, Any]:
    """Give a key a new secret, shown this once; the old one stays good for `grace_minutes`, a day at most.

    Limits, budgets and what is spent of them stay. A further rotation ends the grace of the one before.
    """
    _refuse_new_secrets()
    key, secret = keyring.rotate(g.person.id, key_id, timedelta(minutes=body["grace_minutes"]))
    trail.record("api_key.rotated", on=g.person.id, target=f"api_key:{key_id}", **body)
    return _issued(key, secret)


@blp.delete("/<int:key_id>")
@signed_in
@blp.response(200, Done)
@blp.refuses(404)
def delete(key_id: int) -> dict[str, Any]:
    """Delete a key for good; its usage stays in the log."""
    keyring.revoke(g.person.id, key_id)
    trail.record("api_key.deleted", on=g.person.id, target=f"api_key:{key_id}")
    db.session.commit()
    return {"message": "The API key has been deleted.", "success": True}


def _refuse_new_secrets() -> None:
    refuse_silenced()
    if settings().keys_need_fresh_sign_in:
        refuse_stale()


def _issued(key: ApiKey, secret: str) -> dict[str, Any]:
    db.session.commit()
    return {**_shown(key), "secret": secret}


def _shown(key: ApiKey) -> dict[str, Any]:
    columns = [field.attribute or name for name, field in KeySchema().fields.items()]
    return {name: getattr(key, name) for name in columns}


def _columns(body: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked for by the names of the columns it goes to."""
    amounts = body.get("budgets", {})
    rest = {name: value for name, value in body.items() if name != "budgets"}
    return rest | {f"budget_{name}": amount for name, amount in amounts.items()}
