"""/api/plugin-api: what is left of accounts and pools, and what was consumed, by the Plug-in API's contract."""

from __future__ import annotations

from flask import Response, g, jsonify

from shared_accounts.auth.guards import signed_in
from shared_accounts.errors import NotFound
from shared_accounts.json_bodies import Door
from shared_accounts.plugin import answer_schemas as told
from shared_accounts.plugin.api import answering, changing
from shared_accounts.plugin.pool import Span
from shared_accounts.plugin.schemas import BAD_BODY, Calls, SwitchStatus

blp = Door("plugin-quotas", __name__, url_prefix="/api/plugin-api", description="Quota, by the Plug-in API's contract")


@blp.get("/accounts/<cookie_id>/quotas")
@signed_in
@blp.response(200, told.telling(told.ModelQuotaData, many=True))
@blp.refuses(404, 422, 502, 503, 504)
def list_account_quotas(cookie_id: str) -> Response:
    """Tell what is left of one of the caller's accounts, per model, least first."""
    with answering() as pool:
        return jsonify(pool.account_quotas(g.person.id, cookie_id))


@blp.put("/accounts/<cookie_id>/quotas/<path:model_name>/status")
@signed_in
@blp.arguments(SwitchStatus, error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.ChangeData))
@blp.refuses(400, 404, 409, 502, 503, 504)
def set_model_status(body: dict[str, int], cookie_id: str, model_name: str) -> Response:
    """Switch one model of an account on or off; its name may contain slashes. The quota it earns follows."""
    with changing() as pool:
        return jsonify(pool.set_model_status(g.person.id, cookie_id, model_name, body["status"]))


@blp.get("/quotas/user")
@signed_in
@blp.response(200, told.telling(told.PoolData, many=True))
@blp.refuses(502, 503, 504)
def list_pools() -> Response:
    """List the caller's pools, fullest first."""
    with answering() as pool:
        return jsonify(pool.user_quotas(g.person.id))


@blp.get("/quotas/shared-pool")
@signed_in
@blp.response(200, told.telling(told.SharedPoolData))
@blp.refuses(502, 503, 504)
def show_shared_pool() -> Response:
    """Tell what all shared accounts have left, per model, and what the caller has consumed in all."""
    with answering() as pool:
        return jsonify(pool.shared_pool(g.person.id))


@blp.get("/quotas/consumption")
@signed_in
@blp.arguments(Calls, location="query", error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.CallData, many=True))
@blp.refuses(400, 502, 503, 504)
def list_consumption(span: Span) -> Response:
    """List what the caller's calls consumed, newest first."""
    with answering() as pool:
        return jsonify(pool.consumption(g.person.id, span))


@blp.get("/quotas/consumption/stats/<path:model_name>")
@signed_in
@blp.response(200, told.telling(told.StatsData))
@blp.refuses(404, 502, 503, 504)
def show_consumption(model_name: str) -> Response:
    """Sum up what the caller consumed of one model, whose name may contain slashes."""
    if "\0" in model_name:
        raise NotFound
    with answering() as pool:
        return jsonify(pool.consumption_stats(g.person.id, model_name))
