"""/api/usage: what was used, in sums and line by line, each under the two paths that front ends know.

Whoever asks sees what she used herself; with `scope=contributed` what others used of her accounts: who, which model,
how much and when, but not with which key or program, nor what was asked; admins, with `scope=all`, everything.
"""

from __future__ import annotations

from typing import Any

from flask import g
from flask_smorest.pagination import PaginationParameters

from shared_accounts.auth.guards import admin_only, signed_in
from shared_accounts.errors import Unprocessable
from shared_accounts.json_bodies import Door
from shared_accounts.usage import lines
from shared_accounts.usage.answers import UsagePageAnswer, UsageStatsAnswer
from shared_accounts.usage.schemas import LogsQuery, StatsQuery
from shared_accounts.usage.shown_api import groups_shown, kind, line_shown, sums_shown
from shared_accounts.usage.stats import count, stats
from shared_accounts.usage.wanted import ALL, Wanted

blp = Door("usage", __name__, url_prefix="/api/usage", description="What was used: sums, lines, statements")

_DEEPEST = 100_000


@blp.get("/stats")
@blp.get("/requests/stats")
@signed_in
@blp.arguments(StatsQuery, location="query")
@blp.response(200, UsageStatsAnswer)
@blp.refuses(401, 403, 422)
def show_stats(query: dict[str, Any]) -> dict[str, Any]:
    """Add up what was used: in all, by what exchanges have in common, and over time; exact to the last exchange."""
    interval = query.pop("interval")
    wanted = wanted_by(query)
    found = stats(wanted, interval)
    span = {"start_date": wanted.start, "end_date": wanted.end}
    data = {
        "range": span,
        "config_type": wanted.own if wanted.own is None else kind(wanted.own),
        **sums_shown(found.total),
        **groups_shown(found),
    }
    return {"success": True, "data": data}


@blp.get("/logs")
@blp.get("/requests/logs")
@signed_in
@blp.arguments(LogsQuery, location="query")
@blp.response(200, UsagePageAnswer)
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(401, 403, 422)
def list_lines(query: dict[str, Any], pagination_parameters: PaginationParameters) -> dict[str, Any]:
    """List what was used, an exchange to a line, once it is over; newest first, unless `sort` says otherwise."""
    page = pagination_parameters
    sort, limit, offset = query.pop("sort"), query.pop("limit"), query.pop("offset")
    page.page_size = limit or page.page_size
    if offset is not None:
        page.page = offset // page.page_size + 1
    start = page.first_item if offset is None else offset
    if start > _DEEPEST:
        field = "page" if offset is None else "offset"
        raise Unprocessable("So far down nobody reads: narrow the time, or export the lines.", field=field)
    wanted = wanted_by(query)
    page.item_count = count(wanted)
    found = lines.page(wanted, offset=start, limit=page.page_size, sort=sort)
    shown = [line_shown(wanted, *row) for row in found]
    offsets = {"limit": page.page_size, "offset": start, "total": page.item_count}
    return {"success": True, "data": {"logs": shown, "pagination": offsets}}


def wanted_by(query: dict[str, Any]) -> Wanted:
    """Return what the person who is signed in asks for; only an admin may ask for everything."""
    if query["scope"] == ALL:
        _admits()
    return Wanted(viewer=g.person.id, **query)


@admin_only
def _admits() -> None:
    """Do nothing: what matters is who comes this far."""
