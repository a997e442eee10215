"""Who people are."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class User(db.Model):  # type: ignore[name-defined,misc]
    """A person who signs in here."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("state in ('active', 'silenced', 'disabled')", name="state"),
        CheckConstraint("role in ('user', 'admin')", name="role"),
        CheckConstraint("trust_level between 0 and 4", name="trust_level"),
        Index("users_username_lower_key", text("lower(username)"), unique=True),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    username: Mapped[str]
    password_hash: Mapped[str | None]
    avatar_url: Mapped[str | None]
    role: Mapped[str] = mapped_column(server_default="user")
    state: Mapped[str] = mapped_column(server_default="active")
    trust_level: Mapped[int] = mapped_column(server_default="0")
    prefer_shared: Mapped[bool] = mapped_column(server_default=text("false"))
    use_only_dedicated: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_login_at: Mapped[datetime | None]
