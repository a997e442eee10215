"""What people were told of: a row per event, what is to be sent of it, and who wants what sent where."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db

FOR_USERS = ("quota_low", "account_needs_sign_in", "account_broken", "credential_expiring", "key_expiring", "test")
FOR_ADMINS = ("ledger_broken", "job_failing")
EMAIL, WEBHOOK = CHANNELS = ("email", "webhook")


class Alert(db.Model):  # type: ignore[name-defined,misc]
    """One event: of what kind, about which row (`subject`, its number or name), the how manieth time (`episode`).

    Invariant: an event has one row, whoever finds it and however often. It is over when what it tells of no longer is.
    Without a user it is for admins.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint(f"kind in {FOR_USERS + FOR_ADMINS}", name="kind"),
        CheckConstraint(f"(user_id is null) = (kind in {FOR_ADMINS})", name="user"),
        Index("alerts_kind_subject_episode_key", "kind", "subject", "episode", unique=True),
        Index("alerts_user_id_idx", "user_id", "id"),
        Index("alerts_under_way_idx", "kind", "subject", postgresql_where=text("over_at is null")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    user_id: Mapped[int | None]
    subject: Mapped[str]
    episode: Mapped[int]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    raised_at: Mapped[datetime] = mapped_column(server_default=func.now())
    over_at: Mapped[datetime | None]
    read_at: Mapped[datetime | None]


class AlertDelivery(db.Model):  # type: ignore[name-defined,misc]
    """An alert on its way by one channel; `problem` is why the last attempt failed, in our words."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (
        CheckConstraint(f"channel in {CHANNELS}", name="channel"),
        CheckConstraint("state in ('due', 'sent', 'given_up')", name="state"),
        Index("alert_deliveries_due_at_idx", "due_at", postgresql_where=text("state = 'due'")),
    )

    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default="due")
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    problem: Mapped[str | None]


class AlertPreference(db.Model):  # type: ignore[name-defined,misc]
    """Where a user wants alerts sent, and which kinds; the console shows all of them in any case."""

    __tablename__ = "alert_preferences"
    __table_args__ = (CheckConstraint("(webhook_url is null) = (sealed_secret is null)", name="webhook"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    email: Mapped[str | None]
    webhook_url: Mapped[str | None]
    sealed_secret: Mapped[bytes | None]
    by_email: Mapped[list[str]]
    by_webhook: Mapped[list[str]]
