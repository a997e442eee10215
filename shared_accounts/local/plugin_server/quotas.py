"""Quotas: a user's pools, what everybody shares, and what was consumed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, request

from shared_accounts.local.plugin_server.answers import Refused, success, told
from shared_accounts.local.plugin_server.rows import Consumption, ModelQuota
from shared_accounts.local.plugin_server.turn import Turn, Who, route

routes = Blueprint("quotas", __name__)
_POOL = ("pool_id", "user_id", "model_name", "quota", "max_quota", "last_recovered_at", "last_updated_at")
_CONSUMPTION = (
    "log_id",
    "user_id",
    "cookie_id",
    "model_name",
    "quota_before",
    "quota_after",
    "quota_consumed",
    "is_shared",
    "consumed_at",
)


@route(routes, "GET", "/api/quotas/user")
def pools(turn: Turn) -> Response:
    """Tell what the caller may draw from shared accounts, most first."""
    user = turn.member()
    rows = [pool for pool in turn.state.pools.values() if pool.user_id == user.user_id]
    return success([told(row, *_POOL) for row in sorted(rows, key=lambda row: row.quota, reverse=True)])


@route(routes, "GET", "/api/quotas/shared-pool")
def shared_pool(turn: Turn) -> Response:
    """Sum up what all shared accounts have left; once it was a bare list."""
    mine = _consumed_by(turn)
    by_model: defaultdict[str, list[ModelQuota]] = defaultdict(list)
    for row in turn.state.shared_quotas():
        by_model[row.model_name].append(row)
    totals = [_total(model, rows) for model, rows in sorted(by_model.items())]
    if turn.state.switches.old_shared_pool:
        return success([{**total, "available_cookies": int(total["available_cookies"])} for total in totals])
    consumption = {
        "total_requests": len(mine),
        "total_quota_consumed": _sum(mine),
        "shared_quota_consumed": _sum(one for one in mine if one.is_shared == 1),
        "private_quota_consumed": _sum(one for one in mine if one.is_shared != 1),
    }
    return success({"quotas": totals, "user_consumption": consumption})


@route(routes, "GET", "/api/quotas/consumption")
def consumption(turn: Turn) -> Response:
    """List what the caller consumed, newest first; all of it, unless `limit` says less."""
    since, until, limit = _date("start_date"), _date("end_date"), _limit()
    rows = [
        one
        for one in reversed(_consumed_by(turn))
        if (since is None or one.consumed_at >= since) and (until is None or one.consumed_at <= until)
    ]
    return success([told(one, *_CONSUMPTION) for one in rows[:limit]])


@route(routes, "GET", "/api/quotas/consumption/stats/<path:model_name>")
def stats(turn: Turn, model_name: str) -> Response:
    """Sum up the caller's consumption of one model; sums of nothing are null."""
    rows = [one for one in _consumed_by(turn) if one.model_name == model_name]
    total = sum((one.quota_consumed for one in rows), Decimal(0))
    return success(
        {
            "total_requests": str(len(rows)),
            "total_quota_consumed": total if rows else None,
            "avg_quota_consumed": f"{total / len(rows):.16f}" if rows else None,
            "last_used_at": max((one.consumed_at for one in rows), default=None),
        }
    )


@route(routes, "GET", "/api/quotas/low", Who.ADMIN)
def low(_turn: Turn) -> Response:
    """Fail: the original's statement names a column there is not."""
    raise Refused(500, "column a.user_uuid does not exist")


def _consumed_by(turn: Turn) -> list[Consumption]:
    user = turn.member()
    return [one for one in turn.state.consumptions if one.user_id == user.user_id]


def _total(model: str, rows: list[ModelQuota]) -> dict[str, Any]:
    total = sum((row.quota for row in rows), Decimal(0))
    return {
        "model_name": model,
        "total_quota": total,
        "earliest_reset_time": min((row.reset_time for row in rows if row.reset_time), default=None),
        "available_cookies": str(len(rows)),
        "status": int(total > 0),
        "last_fetched_at": max(row.last_fetched_at for row in rows),
    }


def _sum(rows: Iterable[Consumption]) -> float:
    return float(sum((one.quota_consumed for one in rows), Decimal(0)))


def _limit() -> int | None:
    """Read the limit as `parseInt` does; what is no number, and 0, is no limit."""
    number = re.match(r"\s*[-+]?\d+", request.args.get("limit", ""))
    limit = int(number[0]) if number else 0
    if limit < 0:
        raise Refused(500, "LIMIT must not be negative")
    return limit or None


def _date(name: str) -> datetime | None:
    """Read a date; a day means its first moment, so that `end_date` leaves the last day out."""
    text = request.args.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(500, 'invalid input syntax for type timestamp: "0NaN-NaN-NaNTNaN:NaN:NaN.NaN+NaN:NaN"') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
