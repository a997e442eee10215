"""Keys for tools: recognised by fingerprint, readable by nobody."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class ApiKey(db.Model):  # type: ignore[name-defined,misc]
    """An `sk-` secret we issued; the secret itself was shown once and is not here."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("api_keys_fingerprint_key", "fingerprint", unique=True),
        Index("api_keys_user_id_idx", "user_id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    fingerprint: Mapped[bytes]
    preview: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
