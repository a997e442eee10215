"""How the service fares, in one look: its servers, its processes, its queue, and whether the books balance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import render_template
from sqlalchemy import select

from shared_accounts import health
from shared_accounts.console import figures
from shared_accounts.console.admin import jobs, news
from shared_accounts.console.admin.gate import admin_page
from shared_accounts.extensions import db
from shared_accounts.metrics import catalogue, rows
from shared_accounts.metrics.board import board
from shared_accounts.metrics.models import JobRun
from shared_accounts.quotas import proof
from shared_accounts.requests_in import settings

_QUIET = timedelta(minutes=2)
"""For so long nothing may have begun, although something is due every quarter of a minute."""


@admin_page("/status")
def status() -> Any:
    """Show what works and what does not."""
    queue = rows.queue(settings().redis_url)
    runs, now = list(db.session.scalars(select(JobRun))), datetime.now(UTC)
    begun = max((run.last_started for run in runs), default=None)
    ended = max((run.last_finished for run in runs if run.last_finished), default=None)
    reading = board.read()
    return render_template(
        "admin/status.html",
        parts=_parts(queue, begun, ended, now),
        queue=queue,
        begun=begun,
        ended=ended,
        workers=catalogue.WORKERS.now(reading),
        lag=catalogue.HUB_LAG.quantiles(reading, 0.5, 0.99),
        open_exchanges=catalogue.OPEN.now(reading),
        unsettled=catalogue.UNSETTLED.now(reading),
        held=rows.held(),
        pools=proof.count_pools(),
        proof=figures.last_proof(),
        next_proof=figures.next_proof(),
        late=[one for one in jobs.listed() if one.state in {"late", "failed"}],
        news=news.told(),
    )


def _parts(queue: Any, begun: datetime | None, ended: datetime | None, now: datetime) -> dict[str, str]:
    """Return a badge for each part. What waits in the queue tells a worker that is away from a beat that is."""
    waits = bool(queue and queue[0])
    is_quiet = begun is None or now - begun > _QUIET
    return {
        "postgresql": "works" if health.database_answers() else "away",
        "redis": "works" if queue is not None else "away",
        "worker": "away" if is_quiet and waits else "late" if ended is None or now - ended > _QUIET else "works",
        "beat": "away" if is_quiet and not waits else "works",
    }
