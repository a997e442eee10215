"""The audit trail: an entry lies in the same transaction as the act, so neither stands without the other.

Details are small facts for admins (`{"role": "admin"}`); never a password, a code, a token or what somebody said.
"""

from __future__ import annotations

from flask import g, has_request_context, request
from sqlalchemy import Select, select

from shared_accounts.asked import id_now
from shared_accounts.audit.models import AuditEntry
from shared_accounts.extensions import db


def record(
    act: str, *, on: int | None = None, actor: int | None = None, target: str | None = None, **details: object
) -> None:
    """Add an entry: `act` on user `on`, by `actor` or whoever is signed in; outside a request, by the operator."""
    inside = has_request_context()
    person = g.get("person") if inside else None
    entry = AuditEntry(
        act=act,
        actor_id=actor if actor is not None else person and person.id,
        user_id=on,
        target=target,
        address=request.remote_addr if inside else "operator",
        request_id=id_now(),
        details=details,
    )
    db.session.add(entry)


def entries(
    *, act: str | None = None, actor_id: int | None = None, user_id: int | None = None
) -> Select[tuple[AuditEntry]]:
    """Return the query for entries, newest first; `act` may be a family such as `user`."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc())
    if act:
        query = query.where((AuditEntry.act == act) | AuditEntry.act.startswith(f"{act}.", autoescape=True))
    if actor_id is not None:
        query = query.where(AuditEntry.actor_id == actor_id)
    if user_id is not None:
        query = query.where(AuditEntry.user_id == user_id)
    return query
