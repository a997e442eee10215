"""/api/api-keys: the caller's own keys for tools."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import g
from flask_smorest.pagination import PaginationParameters
from marshmallow import Schema, ValidationError, fields, pre_load

from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced, refuse_stale, signed_in
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door, Text
from shared_accounts.keys import keyring
from shared_accounts.keys.keyring import Entry
from shared_accounts.requests_in import settings

blp = Door("api-keys", __name__, url_prefix="/api/api-keys", description="Keys for OpenAI-compatible tools")

_LONGEST_LIFE = timedelta(days=3650)


def _in_reach(moment: datetime) -> None:
    now = datetime.now(UTC)
    if not now < moment <= now + _LONGEST_LIFE:
        raise ValidationError("Must lie in the next ten years.")


class NewKey(Schema):
    """What a key is asked for with."""

    name = Text(min=1, max=100, load_default="API key")
    description = Text(max=500, allow_none=True, load_default=None)
    expires_at = fields.AwareDateTime(allow_none=True, load_default=None, validate=_in_reach)

    @pre_load
    def _drop_empty_name(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        # The original front end sends null when the field was left empty.
        return {name: value for name, value in data.items() if name != "name" or value is not None}


class Switch(Schema):
    """On or off."""

    is_active = fields.Boolean(required=True, truthy={True}, falsy={False})


class KeySchema(Schema):
    """A key as its owner sees it; the secret is not kept, so it is not here."""

    id = fields.Integer(attribute="key.id")
    name = fields.String(attribute="key.name")
    description = fields.String(attribute="key.description")
    key_preview = fields.String(attribute="key.preview")
    is_active = fields.Boolean(attribute="key.is_active")
    created_at = fields.DateTime(attribute="key.created_at")
    last_used_at = fields.DateTime()
    expires_at = fields.DateTime(attribute="key.expires_at")


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
    refuse_silenced()
    if settings().keys_need_fresh_sign_in:
        refuse_stale()
    key, secret = keyring.issue(g.person.id, body["name"], body["description"], body["expires_at"])
    trail.record("api_key.created", on=g.person.id, target=f"api_key:{key.id}")
    db.session.commit()
    return {"key": key, "secret": secret, "last_used_at": None}


@blp.get("")
@signed_in
@blp.response(200, KeySchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
def list_keys(pagination_parameters: PaginationParameters) -> list[Entry]:
    """List your keys, newest first."""
    page = pagination_parameters
    entries, page.item_count = keyring.mine(g.person.id, page.page, page.page_size)
    return entries


@blp.get("/<int:key_id>")
@signed_in
@blp.response(200, KeySchema)
@blp.refuses(404)
def show(key_id: int) -> Entry:
    """Show one of your keys, without its secret."""
    return keyring.get(g.person.id, key_id)


@blp.patch("/<int:key_id>/status")
@signed_in
@blp.arguments(Switch)
@blp.response(200, KeySchema)
@blp.refuses(404)
def switch(body: dict[str, Any], key_id: int) -> Entry:
    """Switch a key off or on again; requests notice at once."""
    entry = keyring.switch(g.person.id, key_id, on=body["is_active"])
    trail.record("api_key.switched", on=g.person.id, target=f"api_key:{key_id}", on_now=body["is_active"])
    db.session.commit()
    return entry


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
