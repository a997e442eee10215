"""How the doors of usage show sums and lines: amounts in units, and of a line what its scope may see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from shared_accounts.money.amounts import by_currency, exactly
from shared_accounts.quotas.forecast import units
from shared_accounts.usage import lines
from shared_accounts.usage.answers import UsageLineSchema
from shared_accounts.usage.models import BASES, UsageLog
from shared_accounts.usage.schemas import OWN, SHARED
from shared_accounts.usage.stats import Stats
from shared_accounts.usage.wanted import CONTRIBUTED, Wanted

_MOST_GROUPS = 50
_MOST_MOMENTS = 1000
_LISTS = {
    "model": "by_model",
    "own": "by_config_type",
    "outcome": "by_outcome",
    "client_app": "by_client_app",
    "api_key_id": "by_api_key",
    "user_id": "by_user",
    "account_id": "by_account",
}
_NAMED = {"api_key_id": "api_key", "user_id": "user", "account_id": "account"}
_FOR_CONTRIBUTORS = frozenset({
    "id", "created_at", "user_id", "user", "account_id", "account", "model_name", "success", "outcome", "basis",
    "quota_consumed", "charged", "input_tokens", "output_tokens", "cached_tokens", "total_tokens", "money", "currency",
})  # fmt: skip


def columns(wanted: Wanted) -> list[str]:
    """Return what a line's scope shows of it, in the order of the document."""
    return [name for name in UsageLineSchema().fields if wanted.scope != CONTRIBUTED or name in _FOR_CONTRIBUTORS]


def sums_shown(row: SimpleNamespace) -> dict[str, Any]:
    """Return the sums under the names of the original dashboard."""
    return {
        "total_requests": row.calls,
        "success_requests": row.served,
        "failed_requests": row.calls - row.served,
        "input_tokens": row.prompt_tokens,
        "output_tokens": row.completion_tokens,
        "cached_tokens": row.cached_tokens,
        "total_tokens": row.prompt_tokens + row.completion_tokens,
        "total_quota_consumed": units(int(row.cost)),
        "total_charged": units(int(row.charged)),
        "money": by_currency(row.costs),
        "unpriced_requests": row.unpriced,
        "avg_duration_ms": round(float(row.total_ms / row.timed), 1) if row.timed else None,
        "basis": {basis: getattr(row, basis) for basis in BASES},
    }


def groups_shown(found: Stats) -> dict[str, list[dict[str, Any]]]:
    """Return the sums by what exchanges have in common, and over time, if that was asked for, the latest last."""
    shown = {_LISTS[name]: _group(name, rows[:_MOST_GROUPS]) for name, rows in found.by.items() if name in _LISTS}
    moments = sorted(found.by.get("at", []), key=lambda row: row.at)[-_MOST_MOMENTS:]
    return {**shown, "over_time": [{"at": row.at, **sums_shown(row)} for row in moments]}


def line_shown(  # noqa: PLR0917 - as `lines` has them
    wanted: Wanted, line: UsageLog, user: str, api_key: str | None, account: str | None, currency: str | None
) -> dict[str, Any]:
    """Return a line as far as its scope shows it."""
    shown = {
        "id": line.id,
        "created_at": line.opened_at,
        "user_id": line.user_id,
        "user": user,
        "api_key_id": line.api_key_id,
        "api_key": api_key if line.user_id == wanted.viewer else None,
        "account_id": line.account_id,
        "account": account if line.contributor_id == wanted.viewer else None,
        "config_type": kind(line.user_id == line.contributor_id),
        "model_name": line.model,
        "endpoint": line.endpoint,
        "method": "POST",
        "client_app": line.client_app,
        "stream": line.stream,
        "success": line.outcome == "served",
        "outcome": line.outcome,
        "basis": line.basis,
        "status_code": line.http_status,
        "error_message": line.error_code,
        "quota_consumed": units(line.cost),
        "charged": units(line.charged),
        "input_tokens": line.prompt_tokens,
        "output_tokens": line.completion_tokens,
        "cached_tokens": line.cached_tokens,
        "total_tokens": (line.prompt_tokens or 0) + (line.completion_tokens or 0),
        "money": None if line.money is None else exactly(line.money),
        "currency": currency,
        "price_id": line.price_id,
        "first_byte_ms": line.first_byte_ms,
        "duration_ms": line.total_ms,
    }
    return {name: shown[name] for name in columns(wanted)}


def _group(name: str, rows: list[SimpleNamespace]) -> list[dict[str, Any]]:
    names = lines.names_of(name, [getattr(row, name) for row in rows]) if name in _NAMED else {}
    return [{**_common(name, getattr(row, name), names), **sums_shown(row)} for row in rows]


def _common(name: str, value: Any, names: dict[int, str]) -> dict[str, Any]:
    """Return what a group has in common, under its own name; what the roll-ups write for nothing is null."""
    if name == "own":
        return {"config_type": kind(value)}
    if name in _NAMED:
        return {name: value or None, _NAMED[name]: names.get(value)}
    return {"model_name" if name == "model" else name: value or None}


def kind(is_own: bool) -> str:  # noqa: FBT001 - it is what it is called
    """Return the word for whose account served."""
    return OWN if is_own else SHARED
