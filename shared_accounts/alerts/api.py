"""/api/alerts: what one should know, and where it is sent besides."""

from __future__ import annotations

from typing import Any

from flask import current_app, g
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import func, select

from shared_accounts.alerts import inbox, preferences, raising
from shared_accounts.alerts.clock_api import deliver_alerts
from shared_accounts.alerts.schemas import (
    AlertCount,
    AlertFilters,
    AlertPreferencesAnswer,
    AlertPreferencesChange,
    AlertSchema,
)
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.clockwork import soon
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door
from shared_accounts.requests_in import settings

blp = Door("alerts", __name__, url_prefix="/api/alerts", description="What one should know")


@blp.get("")
@signed_in
@blp.arguments(AlertFilters, location="query")
@blp.response(200, AlertSchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(401, 403, 422)
def list_alerts(filters: dict[str, Any], pagination_parameters: PaginationParameters) -> list[dict[str, Any]]:
    """List your alerts, newest first."""
    return listed(g.person.id, filters, pagination_parameters)


@blp.post("/<int:alert_id>/read")
@signed_in
@blp.response(200, AlertSchema)
@blp.refuses(401, 403, 404)
def read_alert(alert_id: int) -> dict[str, Any]:
    """Mark one of your alerts as read."""
    found = inbox.shown(inbox.mark_read(g.person.id, alert_id))
    db.session.commit()
    return found


@blp.post("/read")
@signed_in
@blp.response(200, AlertCount)
@blp.refuses(401, 403)
def read_all_alerts() -> dict[str, int]:
    """Mark all your alerts as read; tells how many were not."""
    count = inbox.mark_all_read(g.person.id)
    db.session.commit()
    return {"count": count}


@blp.get("/preferences")
@signed_in
@blp.response(200, AlertPreferencesAnswer)
@blp.refuses(401, 403)
def show_preferences() -> dict[str, Any]:
    """Show where your alerts are sent, and which kinds."""
    return _preferences(None)


@blp.put("/preferences")
@signed_in
@blp.arguments(AlertPreferencesChange)
@blp.response(200, AlertPreferencesAnswer)
@blp.refuses(401, 403, 422)
def change_preferences(body: dict[str, Any]) -> dict[str, Any]:
    """Change where your alerts are sent, and which kinds; a new webhook's secret is in the answer, this once.

    Webhooks are signed as Standard Webhooks has it. One that fails is tried eight times in as many hours; one that
    answers 410 is not tried again. Its id stays the same, so that you can tell a repetition.
    """
    refuse_silenced()
    named = sorted(body)
    vault, allowed = current_app.extensions["vault"], settings().webhook_allowed_hosts
    secret = preferences.change(g.person.id, body, vault=vault, allowed=allowed)
    trail.record("alerts.preferences_changed", on=g.person.id, changed=named)
    db.session.commit()
    return _preferences(secret)


@blp.post("/test")
@signed_in
@blp.response(200, Done)
@blp.refuses(401, 403, 429)
def send_test() -> dict[str, Any]:
    """Raise an alert that only tries whether yours arrive; five an hour."""
    refuse_silenced()
    raising.test(settings(), g.person.id)
    db.session.commit()
    soon(deliver_alerts)
    return {"message": "A test is on its way.", "success": True}


def listed(user_id: int | None, filters: dict[str, Any], page: PaginationParameters) -> list[dict[str, Any]]:
    """Return a page of a user's alerts, or without a user of those for admins."""
    wanted = inbox.alerts(user_id, **filters)
    page.item_count = db.session.scalar(select(func.count()).select_from(wanted.order_by(None).subquery())) or 0
    return [inbox.shown(one) for one in db.session.scalars(wanted.offset(page.first_item).limit(page.page_size))]


def _preferences(secret: str | None) -> dict[str, Any]:
    return {**preferences.of(g.person.id), "mails_are_sent": bool(settings().smtp_host), "webhook_secret": secret}
