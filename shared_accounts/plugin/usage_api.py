"""/api/usage: what the original dashboard shows, from whatever stands behind the pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Response, g, jsonify

from shared_accounts.auth.guards import signed_in
from shared_accounts.errors import ServiceError
from shared_accounts.json_bodies import Door
from shared_accounts.plugin import answer_schemas as told
from shared_accounts.plugin import overview
from shared_accounts.plugin.api import answering
from shared_accounts.plugin.overview_schemas import (
    AccountWithQuotasData,
    QuotasData,
    SharedStatsData,
    SummaryData,
)
from shared_accounts.plugin.pool import PluginPool, Span, success
from shared_accounts.plugin.refusals import PluginAway, PluginTimeout
from shared_accounts.plugin.schemas import BAD_BODY, FewCalls

blp = Door("plugin-usage", __name__, url_prefix="/api/usage", description="What the original dashboard shows")


@blp.get("/quotas")
@signed_in
@blp.response(200, told.telling(QuotasData))
@blp.refuses(502, 503, 504)
def show_quotas() -> Response:
    """Show the caller's pools, and what everybody shares."""
    with answering() as pool:
        mine = pool.user_quotas(g.person.id)["data"]
        return jsonify(success({"user_quota": mine, "shared_pool_quota": pool.shared_pool(g.person.id)["data"]}))


@blp.get("/consumption")
@signed_in
@blp.arguments(FewCalls, location="query", error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.CallData, many=True))
@blp.refuses(400, 502, 503, 504)
def list_consumption(span: Span) -> Response:
    """List what the caller's calls consumed, newest first; fifty, unless `limit` says otherwise."""
    with answering() as pool:
        return jsonify(pool.consumption(g.person.id, span))


@blp.get("/accounts")
@signed_in
@blp.response(200, told.telling(AccountWithQuotasData, many=True))
@blp.refuses(502, 503, 504)
def list_accounts() -> Response:
    """List the caller's accounts, each with what is left of it; where that cannot be told now, with nothing."""
    with answering() as pool:
        rows = pool.accounts(g.person.id)["data"]
        return jsonify(
            success([{**row, "quotas": quotas} for row, quotas in zip(rows, _quotas(pool, rows), strict=True)])
        )


@blp.get("/summary")
@signed_in
@blp.response(200, told.telling(SummaryData))
@blp.refuses(502, 503, 504)
def show_summary() -> Response:
    """Count the caller's accounts and show her pools, beside what everybody shares."""
    with answering() as pool:
        accounts, pools = pool.accounts(g.person.id)["data"], pool.user_quotas(g.person.id)["data"]
        return jsonify(success(overview.summary(accounts, pools, pool.shared_pool(g.person.id)["data"])))


@blp.get("/shared-pool/stats")
@signed_in
@blp.response(200, told.telling(SharedStatsData))
@blp.refuses(502, 503, 504)
def show_shared_stats() -> Response:
    """Count the accounts that the caller shares, beside what everybody's have left."""
    with answering() as pool:
        accounts = pool.accounts(g.person.id)["data"]
        return jsonify(success(overview.shared_stats(accounts, pool.shared_pool(g.person.id)["data"])))


def _quotas(pool: PluginPool, accounts: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Ask for one account after the other, until nobody answers: each could take as long to say nothing."""
    is_away = False
    for account in accounts:
        found: list[dict[str, Any]] = []
        try:
            if not is_away:
                found = pool.account_quotas(g.person.id, str(account.get("cookie_id")))["data"]
        except ServiceError as refusal:
            is_away = isinstance(refusal, PluginAway | PluginTimeout)
        yield found
