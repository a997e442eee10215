"""/api/admin/audit: who did what, on whom, from where."""

from __future__ import annotations

from typing import Any

from flask_smorest.pagination import PaginationParameters
from sqlalchemy import Row, func, select
from sqlalchemy.orm import aliased

from shared_accounts.admin.schemas import AuditEntrySchema, AuditFilters
from shared_accounts.audit import trail
from shared_accounts.audit.models import AuditEntry
from shared_accounts.auth.guards import admin_only
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.users.models import User

blp = Door("admin-audit", __name__, url_prefix="/api/admin/audit", description="For admins: the audit log")


@blp.get("")
@admin_only
@blp.arguments(AuditFilters, location="query")
@blp.response(200, AuditEntrySchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(422)
def list_entries(filters: dict[str, Any], pagination_parameters: PaginationParameters) -> list[Row[Any]]:
    """List sensitive acts, newest first; nobody can change or delete what stands here."""
    page = pagination_parameters
    found, page.item_count = listed(page.page, page.page_size, **filters)
    return found


def listed(number: int, size: int, **filters: Any) -> tuple[list[Row[Any]], int]:
    """Return one page of entries with the names of those in them, newest first, and how many there are in all."""
    wanted = trail.entries(**filters)
    total = db.session.scalar(select(func.count()).select_from(wanted.order_by(None).subquery())) or 0
    actor, user = aliased(User), aliased(User)
    named = (
        wanted.outerjoin(actor, actor.id == AuditEntry.actor_id)
        .outerjoin(user, user.id == AuditEntry.user_id)
        .add_columns(actor.username.label("actor"), user.username.label("user"))
    )
    return list(db.session.execute(named.offset((number - 1) * size).limit(size))), total
