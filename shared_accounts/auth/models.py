"""How people prove who they are: sessions, identities elsewhere, second factors, tickets."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy import Identity as Numbered
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class Session(db.Model):  # type: ignore[name-defined,misc]
    """One sign-in on one device, and the family of all its tokens; revoking it bites on the very next request.

    `generation` counts rotations: a refresh token carries the generation it belongs to.
    """

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_user_id_idx", "user_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    user_agent: Mapped[str | None]
    address: Mapped[str | None]
    generation: Mapped[int] = mapped_column(server_default="0")
    rotated_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    authenticated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    method: Mapped[str] = mapped_column(server_default="password")
    second_factor: Mapped[bool] = mapped_column(server_default=text("false"))
    ended_because: Mapped[str | None]


class Identity(db.Model):  # type: ignore[name-defined,misc]
    """Somebody's account at a sign-in provider; nothing but (provider, subject) identifies it."""

    __tablename__ = "identities"
    __table_args__ = (
        Index("identities_provider_subject_key", "provider", "subject", unique=True),
        Index("identities_user_id_idx", "user_id"),
    )

    id: Mapped[int] = mapped_column(Numbered(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    provider: Mapped[str]
    subject: Mapped[str]
    name: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]


class SecondFactor(db.Model):  # type: ignore[name-defined,misc]
    """A TOTP secret (RFC 6238); `last_step` is the last time step whose code was spent."""

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    sealed_secret: Mapped[bytes]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(server_default="0")


class RecoveryCode(db.Model):  # type: ignore[name-defined,misc]
    """A code that stands in for the second factor, once; a spent one is deleted."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("recovery_codes_user_id_fingerprint_key", "user_id", "fingerprint", unique=True),)

    id: Mapped[int] = mapped_column(Numbered(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    fingerprint: Mapped[bytes]


class Ticket(db.Model):  # type: ignore[name-defined,misc]
    """Something on its way through a browser: a state, a one-time code, a challenge. See `auth/tickets.py`."""

    __tablename__ = "tickets"
    __table_args__ = (Index("tickets_expires_at_idx", "expires_at"),)

    fingerprint: Mapped[bytes] = mapped_column(primary_key=True)
    kind: Mapped[str]
    sealed: Mapped[bytes]
    expires_at: Mapped[datetime]
