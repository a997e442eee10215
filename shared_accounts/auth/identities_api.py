"""/api/auth/identities: the accounts elsewhere that sign you in here."""

from __future__ import annotations

from typing import Any

from flask import Response, g
from marshmallow import Schema, fields

from shared_accounts.auth import identities
from shared_accounts.auth.guards import refuse_stale, signed_in
from shared_accounts.auth.models import Identity
from shared_accounts.auth.return_api import begin
from shared_accounts.auth.sso_api import Departure
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door

blp = Door("identities", __name__, url_prefix="/api/auth/identities", description="Accounts elsewhere that sign you in")


class Afterwards(Schema):
    """Where to go afterwards."""

    next = fields.String(load_default="/", metadata={"description": "A path of ours; anything else is taken for `/`"})


class IdentitySchema(Schema):
    """An account elsewhere."""

    id = fields.Integer()
    provider = fields.String()
    name = fields.String(
        allow_none=True, metadata={"description": "What you were called there when you last came from there"}
    )
    created_at = fields.DateTime()
    last_used_at = fields.DateTime(allow_none=True)


@blp.get("")
@signed_in
@blp.response(200, IdentitySchema(many=True))
def list_identities() -> list[Identity]:
    """List the accounts elsewhere that sign you in here."""
    return identities.mine(g.person.id)


@blp.post("/<provider>/link")
@signed_in
@blp.arguments(Afterwards, location="query")
@blp.response(200, Departure)
@blp.refuses(400, 429, 502)
def link(query: dict[str, str], provider: str) -> Response:
    """Begin to link an account at a provider; send the browser to `authorization_url`.

    You must have signed in lately. The way back is that of a sign-in; it ends with `identity_linked` in the query, or
    for programs with a message. Where a front end finishes the flow from its server, it sends your token along.
    """
    refuse_stale()
    return begin(provider, query["next"], link_user_id=g.person.id)


@blp.delete("/<int:identity_id>")
@signed_in
@blp.response(200, Done)
@blp.refuses(404, 409)
def unlink(identity_id: int) -> dict[str, Any]:
    """Let an account elsewhere sign you in no more.

    You must have signed in lately. Your only way in is refused with 409.
    """
    refuse_stale()
    identities.remove(g.person.id, identity_id)
    db.session.commit()
    return {"message": "The identity has been unlinked.", "success": True}
