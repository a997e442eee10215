"""Who people are, who let them in, and what their trust level allows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class User(db.Model):  # type: ignore[name-defined,misc]
    """A person who signs in here.

    `state_by_hand` and `trust_by_hand` say that an admin decided, so no sign-in provider changes it any more.
    """

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
    state_by_hand: Mapped[bool] = mapped_column(server_default=text("false"))
    trust_by_hand: Mapped[bool] = mapped_column(server_default=text("false"))
    invitation_id: Mapped[int | None] = mapped_column(ForeignKey("invitations.id", ondelete="SET NULL"))


class Invitation(db.Model):  # type: ignore[name-defined,misc]
    """A code that lets up to `max_uses` people sign up; the code itself was shown once and is not here."""

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint("uses between 0 and max_uses", name="uses"),
        Index("invitations_fingerprint_key", "fingerprint", unique=True),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    fingerprint: Mapped[bytes]
    preview: Mapped[str]
    note: Mapped[str | None]
    created_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    max_uses: Mapped[int]
    uses: Mapped[int] = mapped_column(server_default="0")
    revoked_at: Mapped[datetime | None]


class TrustLevel(db.Model):  # type: ignore[name-defined,misc]
    """What people of one trust level may do; None is without limit."""

    __tablename__ = "trust_levels"
    __table_args__ = (
        CheckConstraint("level between 0 and 4", name="level"),
        CheckConstraint("max_keys >= 0 and requests_per_minute > 0 and max_concurrent > 0", name="limits"),
    )

    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    may_share: Mapped[bool] = mapped_column(server_default=text("true"))
    max_keys: Mapped[int] = mapped_column(server_default="50")
    requests_per_minute: Mapped[int | None]
    max_concurrent: Mapped[int | None]
