"""What we read in a Plug-in's answers ourselves, instead of passing them on: pure functions over its JSON."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from shared_accounts.plugin.failures import PluginRefused, PluginUnreachable
from shared_accounts.plugin.pool import Departure
from shared_accounts.plugin.reading import number

_LONGEST_SECONDS = 600
_USUAL_SECONDS = 300


def departure(answer: dict[str, Any], is_shared: int) -> Departure:
    """Return where to consent, its state taken out; raises `PluginUnreachable` when nobody could come back from it."""
    data = answer.get("data")
    told = data if isinstance(data, dict) else {}
    state, page = told.get("state"), _page(told.get("auth_url"))
    query = parse_qsl(page.query, keep_blank_values=True)
    if not isinstance(state, str) or [value for name, value in query if name == "state"] != [state]:
        raise PluginUnreachable
    lasts = number(told.get("expires_in")) or _USUAL_SECONDS

    def address(ours: str) -> str:
        asked = [(name, ours if name == "state" else value) for name, value in query]
        return page._replace(query=urlencode(asked)).geturl()

    kept = {"state_there": state, "is_shared": is_shared}
    return Departure(address, kept, max(1, min(int(lasts), _LONGEST_SECONDS)))


def listing(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer whose `data` is a list of rows, as it came; raises `PluginUnreachable` for what is none."""
    found = answer.get("data")
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise PluginUnreachable
    return answer


def consumed(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up what somebody consumed, as the shared pool tells it."""
    return {
        "total_requests": len(calls),
        "total_quota_consumed": _sum(calls),
        "shared_quota_consumed": _sum(row for row in calls if row.get("is_shared") == 1),
        "private_quota_consumed": _sum(row for row in calls if row.get("is_shared") != 1),
    }


def is_not_hers(refused: PluginRefused) -> bool:
    """Tell whether an account is unknown or somebody else's; a 404 without words is about the route."""
    return refused.status == HTTPStatus.FORBIDDEN or (refused.status == HTTPStatus.NOT_FOUND and bool(refused.message))


def _page(url: object) -> SplitResult:
    try:
        page = urlsplit(url if isinstance(url, str) else "")
    except ValueError:
        raise PluginUnreachable from None
    if page.scheme not in {"http", "https"} or not page.netloc:
        raise PluginUnreachable
    return page


def _sum(calls: Iterable[dict[str, Any]]) -> float:
    return float(sum((number(row.get("quota_consumed")) or Decimal(0) for row in calls), Decimal(0)))
