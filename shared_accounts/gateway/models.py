"""What the gateway remembers between calls."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class IdempotencyKey(db.Model):  # type: ignore[name-defined,misc]
    """A key that a user's calls came under, and the body they all have; of both only digests.

    `exchange_id` is the exchange that holds the key, until it is closed and counted. `charged` is what all that were
    counted come to together, in micro-units, `charges` how many of them were charged at all.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("charged >= 0 and charges >= 0", name="charged"),
        Index("idempotency_keys_pending_idx", "claimed_at", postgresql_where=text("exchange_id is not null")),
        Index("idempotency_keys_claimed_at_idx", "claimed_at"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key_digest: Mapped[bytes] = mapped_column(primary_key=True)
    body_digest: Mapped[bytes]
    exchange_id: Mapped[UUID | None]
    charged: Mapped[int] = mapped_column(server_default="0")
    charges: Mapped[int] = mapped_column(server_default="0")
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())
