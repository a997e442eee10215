"""The alerts people find in the console: a user's own, and those for admins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, select, update

from shared_accounts.alerts import wording
from shared_accounts.alerts.models import Alert
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db

_KEPT = timedelta(days=90)


def alerts(user_id: int | None, *, unread: bool = False) -> Select[tuple[Alert]]:
    """Return the query for a user's alerts, or without a user for those of admins, newest first."""
    query = select(Alert).where(_whose(user_id)).order_by(Alert.id.desc())
    return query.where(Alert.read_at.is_(None)) if unread else query


def count_unread(user_id: int | None) -> int:
    """Count what is to be read yet."""
    where = _whose(user_id) & Alert.read_at.is_(None)
    return db.session.scalar(select(func.count()).select_from(Alert).where(where)) or 0


def mark_read(user_id: int | None, alert_id: int) -> Alert:
    """Mark one as read, once and for all admins if it is theirs; raises `NotFound` for somebody else's, too."""
    found = db.session.scalar(select(Alert).where(Alert.id == alert_id, _whose(user_id)).with_for_update())
    if found is None:
        raise NotFound
    if found.read_at is None:
        found.read_at = db.session.scalar(select(func.now()))
        db.session.flush()
    return found


def mark_all_read(user_id: int | None) -> int:
    """Mark all as read; returns how many were not."""
    unread = update(Alert).where(_whose(user_id), Alert.read_at.is_(None)).values(read_at=func.now())
    return len(db.session.execute(unread.returning(Alert.id)).all())


def shown(alert: Alert) -> dict[str, Any]:
    """Return an alert for people: its kind and details for whoever has words of her own, and our words."""
    return {
        "id": alert.id,
        "kind": alert.kind,
        "title": wording.title(alert.kind, alert.details),
        "text": wording.sentence(alert.kind, alert.details),
        "details": alert.details,
        "raised_at": alert.raised_at,
        "over_at": alert.over_at,
        "read_at": alert.read_at,
    }


def forget_old() -> int:
    """Delete alerts of three months ago whose event is over; returns how many."""
    old = (Alert.raised_at < func.now() - _KEPT) & ((Alert.over_at.is_not(None)) | (Alert.kind == "test"))
    return len(db.session.execute(delete(Alert).where(old).returning(Alert.id)).all())


def _whose(user_id: int | None) -> ColumnElement[bool]:
    return Alert.user_id.is_(None) if user_id is None else Alert.user_id == user_id
