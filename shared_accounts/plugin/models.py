"""Who has a user at the Plug-in API, and how far that has come."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class PluginBinding(db.Model):  # type: ignore[name-defined,misc]
    """One of our users and her counterpart there.

    `name` is what she is called there, known before she is made: whoever lost the answer finds her by it.
    `sealed_counterpart` holds her id and key. Whoever works on the row holds `claim` until `claimed_until`.
    """

    __tablename__ = "plugin_users"
    __table_args__ = (
        CheckConstraint("state in ('pending', 'ready')", name="state"),
        CheckConstraint("(state = 'ready') <= (sealed_counterpart is not null)", name="counterpart"),
        Index("plugin_users_name_key", "name", unique=True),
        Index("plugin_users_due_idx", "next_attempt_at"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="pending")
    problem: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claim: Mapped[UUID | None]
    claimed_until: Mapped[datetime | None]
    sealed_counterpart: Mapped[bytes | None]
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
