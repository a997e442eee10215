"""/api/admin/alerts: what whoever runs this should know; read by one admin is read by all."""

from __future__ import annotations

from typing import Any

from flask_smorest.pagination import PaginationParameters

from shared_accounts.admin.gate import admin_acts
from shared_accounts.alerts import inbox
from shared_accounts.alerts.api import listed
from shared_accounts.alerts.schemas import AlertCount, AlertFilters, AlertSchema
from shared_accounts.auth.guards import admin_only
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door

blp = Door("admin-alerts", __name__, url_prefix="/api/admin/alerts", description="For admins: alerts")


@blp.get("")
@admin_only
@blp.arguments(AlertFilters, location="query")
@blp.response(200, AlertSchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(422)
def list_operator_alerts(filters: dict[str, Any], pagination_parameters: PaginationParameters) -> list[dict[str, Any]]:
    """List the alerts for admins, newest first: a ledger that does not balance, jobs that keep failing."""
    return listed(None, filters, pagination_parameters)


@blp.post("/<int:alert_id>/read")
@admin_acts
@blp.response(200, AlertSchema)
@blp.refuses(404)
def read_operator_alert(alert_id: int) -> dict[str, Any]:
    """Mark one of the alerts for admins as read, for all of them."""
    found = inbox.shown(inbox.mark_read(None, alert_id))
    db.session.commit()
    return found


@blp.post("/read")
@admin_acts
@blp.response(200, AlertCount)
def read_all_operator_alerts() -> dict[str, int]:
    """Mark all alerts for admins as read; tells how many were not."""
    count = inbox.mark_all_read(None)
    db.session.commit()
    return {"count": count}
