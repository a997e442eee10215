"""/api/plugin-api/oauth: add an account by consenting at its provider, by the Plug-in API's contract.

Invariant: an answer counts once, and for the user who asked for it, whatever stands behind the pool: what the browser
carries as `state` is a ticket of ours.
"""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, g, jsonify

from shared_accounts.accounts import oauth_api, upstream_oauth
from shared_accounts.auth import throttle, tickets
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.errors import InvalidRequest
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.plugin import answer_schemas as told
from shared_accounts.plugin.api import answering, changing
from shared_accounts.plugin.pool import success
from shared_accounts.plugin.schemas import BAD_BODY, ConsentReturn, ConsentWish
from shared_accounts.users import standing

blp = Door("plugin-oauth", __name__, url_prefix="/api/plugin-api/oauth", description="Accounts by consent")

_KIND = "plugin-oauth"


@blp.post("/authorize")
@signed_in
@blp.arguments(ConsentWish, error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.DepartureData))
@blp.refuses(400, 409, 429, 502, 503, 504)
def authorize(body: dict[str, int]) -> Response:
    """Begin to add an account: open `auth_url`, consent, and bring back the address where the browser lands.

    Share only what your provider's terms allow you to share.
    """
    refuse_silenced()
    throttle.visit()
    if body["is_shared"]:
        standing.refuse_sharing(g.person.id)
    with answering() as pool:
        leaving = pool.depart(g.person.id, is_shared=body["is_shared"])
    kept = {"user_id": g.person.id, **leaving.kept}
    state = tickets.issue(current_app.extensions["vault"], _KIND, kept, seconds=leaving.seconds)
    db.session.commit()
    data = {"auth_url": leaving.address(state), "state": state, "expires_in": leaving.seconds}
    return jsonify(success(data))


@blp.post("/callback")
@signed_in
@blp.arguments(ConsentReturn, error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.ArrivalData))
@blp.refuses(400, 409, 422, 502, 503, 504)
def callback(body: dict[str, str]) -> Response:
    """Finish: the account enters the pool. An answer counts once, and only for the user who began."""
    refuse_silenced()
    answer = upstream_oauth.read_answer(body["callback_url"])
    if "error" not in answer and not {"code", "state"} <= answer.keys():
        raise InvalidRequest("The address must hold one code and one state.", field="callback_url")
    begun: dict[str, Any] = oauth_api.taken(_KIND, answer, field="callback_url")
    with oauth_api.explained(), changing(shares=begun["is_shared"] == 1) as pool:
        return jsonify(pool.arrive(g.person.id, begun, answer["code"]))
