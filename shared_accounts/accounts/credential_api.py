"""/api/accounts/{id}/credential: another credential for an account, which stays what it is and keeps its history."""

from __future__ import annotations

from typing import Any

from flask import current_app, g
from marshmallow import Schema, fields, validate
from sqlalchemy import func

from shared_accounts.accounts import api as accounts_api
from shared_accounts.accounts import contribution, presets, standing
from shared_accounts.accounts.api import count_probes, guard, proved
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.schemas import AccountSchema
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.errors import Conflict, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door

blp = Door("credentials", __name__, url_prefix="/api/accounts", description="Replacing a credential")

_MENDED = {"needs_sign_in", "broken"}


class NewCredential(Schema):
    """A credential for the same upstream."""

    api_key = fields.String(required=True, load_only=True, validate=validate.Regexp(r"^[!-~]{1,4096}$(?!\n)"))


@blp.put("/<int:account_id>/credential")
@signed_in
@blp.arguments(NewCredential)
@blp.response(200, AccountSchema)
@blp.refuses(400, 404, 409, 422, 429)
def replace(body: dict[str, str], account_id: int) -> dict[str, Any]:
    """Replace an account's credential, once its upstream has accepted the new one for the models it serves.

    An account that waited for that is back in service at once.
    """
    refuse_silenced()
    account = replaced(account_id, body["api_key"])
    db.session.commit()
    return accounts_api.shown([account])[0]


def replaced(account_id: int, secret: str) -> Account:
    """Try a credential for one of the caller's accounts and put it in place; the caller commits."""
    account = contribution.mine(g.person.id, account_id)
    if account.oauth_provider is not None or account.preset == presets.PLUGIN:
        raise Unprocessable("This account has no key of its own; consent anew instead.", field="api_key")
    if account.state == "draining":
        raise Conflict("This account is being withdrawn.")
    count_probes(1)
    base_url, models, preset = account.base_url, account.models, account.preset
    target = guard().parse(base_url)
    proved(target, secret, models, preset).claimed(models)
    account = contribution.mine(g.person.id, account_id)
    contribution.replace_credential(account, secret, current_app.extensions["vault"], target)
    account.probed_at = func.now()
    db.session.flush()
    if account.state in _MENDED:
        standing.bring_back(account_id, account.state, reason="its credential was replaced", actor_id=g.person.id)
    trail.record("account.changed", on=g.person.id, target=f"account:{account_id}", fields=["credential"])
    db.session.flush()
    db.session.refresh(account)
    return account
