"""Upstream accounts that people contribute."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db

OUT_OF_SERVICE = ("needs_sign_in", "broken", "paused", "disabled")
"""States in which an account serves nobody and its part of the refill rests."""


class Account(db.Model):  # type: ignore[name-defined,misc]
    """An upstream AI credential somebody contributed.

    A withdrawn account keeps its row, so that usage lines and credits still have something to point to, but
    not its credential.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("sharing in ('dedicated', 'shared')", name="sharing"),
        CheckConstraint(
            "state in ('active', 'needs_sign_in', 'broken', 'paused', 'disabled', 'withdrawn')", name="state"
        ),
        CheckConstraint("allowance_tokens > 0 and window_hours > 0", name="allowance"),
        CheckConstraint("max_concurrency is null or max_concurrency > 0", name="max_concurrency"),
        CheckConstraint("(state = 'withdrawn') = (sealed_credential is null)", name="credential"),
        Index("accounts_fingerprint_key", "fingerprint", unique=True, postgresql_where=text("state <> 'withdrawn'")),
        Index("accounts_owner_id_idx", "owner_id"),
        Index("accounts_models_idx", "models", postgresql_using="gin", postgresql_where=text("state = 'active'")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    base_url: Mapped[str]
    sealed_credential: Mapped[bytes | None]
    fingerprint: Mapped[bytes]
    sharing: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="active")
    state_reason: Mapped[str | None]
    cooling_until: Mapped[datetime | None]
    strikes: Mapped[int] = mapped_column(server_default="0")
    models: Mapped[list[str]]
    allowance_tokens: Mapped[int]
    window_hours: Mapped[int]
    max_concurrency: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
