"""Who did what, on whom, from where: written once, never changed (a trigger sees to it)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class AuditEntry(db.Model):  # type: ignore[name-defined,misc]
    """One sensitive act. It outlives whoever it names, so it refers to nothing."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_user_id_idx", "user_id", "id"),
        Index("audit_log_actor_id_idx", "actor_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    act: Mapped[str]
    actor_id: Mapped[int | None]
    user_id: Mapped[int | None]
    target: Mapped[str | None]
    address: Mapped[str | None]
    request_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
