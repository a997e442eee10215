"""Upstream accounts that people contribute."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

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
            "state in ('active', 'needs_sign_in', 'broken', 'paused', 'disabled', 'draining', 'withdrawn')",
            name="state",
        ),
        CheckConstraint("allowance_tokens > 0 and window_hours > 0", name="allowance"),
        CheckConstraint("max_concurrency is null or max_concurrency > 0", name="max_concurrency"),
        CheckConstraint("max_worth > 0", name="max_worth"),
        CheckConstraint(
            "others_per_day >= 0 and member_per_day >= 0 and owner_reserve between 0 and 1"
            " and quiet_from between 0 and 1439 and quiet_until between 0 and 1439"
            " and (quiet_from is null) = (quiet_until is null)",
            name="limits",
        ),
        CheckConstraint("(state = 'withdrawn') = (sealed_credential is null)", name="credential"),
        Index("accounts_fingerprint_key", "fingerprint", unique=True, postgresql_where=text("state <> 'withdrawn'")),
        Index("accounts_owner_id_idx", "owner_id"),
        Index(
            "accounts_expiring_idx",
            "credential_expires_at",
            postgresql_where=text("sealed_refresh_token is not null"),
        ),
        Index(
            "accounts_resting_idx",
            "state",
            postgresql_where=text("state in ('needs_sign_in', 'broken', 'draining')"),
        ),
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
    models_off: Mapped[list[str]] = mapped_column(server_default="{}")
    """Models its owner has switched off: she may switch them on again without naming them anew."""
    allowance_tokens: Mapped[int]
    window_hours: Mapped[int]
    max_concurrency: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    preset: Mapped[str | None]
    oauth_provider: Mapped[str | None]
    sealed_refresh_token: Mapped[bytes | None]
    credential_expires_at: Mapped[datetime | None]
    probed_at: Mapped[datetime | None]
    others_per_day: Mapped[int | None]
    member_per_day: Mapped[int | None]
    owner_reserve: Mapped[float] = mapped_column(server_default="0")
    quiet_from: Mapped[int | None]
    quiet_until: Mapped[int | None]
    max_worth: Mapped[int | None]
    """What sharing it is credited with at most, in micro-units, where an admin says so; else the setting's."""
    cut_off: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether its owner, who has withdrawn it, does not let what runs on it finish."""


class AccountModel(db.Model):  # type: ignore[name-defined,misc]
    """A model that an account in service serves, and the account's lot: its fixed place on the model's ring.

    A trigger keeps these rows to what `accounts` says, in the same transaction; nobody else writes them. Lots lie
    between 0 and 2^32 - 1, spread by the golden ratio, so that neighbouring ids end up far apart.
    """

    __tablename__ = "account_models"
    __table_args__ = (
        Index("account_models_ring_idx", "model", "lot", "account_id", postgresql_where=text("shared")),
        Index("account_models_owner_id_idx", "owner_id", "model", "shared", "lot", "account_id"),
    )

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[int]
    shared: Mapped[bool]
    lot: Mapped[int]


class AccountEvent(db.Model):  # type: ignore[name-defined,misc]
    """One step in the life of an account: from which state to which, why, and by whose request or exchange."""

    __tablename__ = "account_events"
    __table_args__ = (Index("account_events_account_id_idx", "account_id", "id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    account_id: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    reason: Mapped[str | None]
    until: Mapped[datetime | None]
    actor_id: Mapped[int | None]
    exchange_id: Mapped[UUID | None]
    request_id: Mapped[str | None]


class AccountWindow(db.Model):  # type: ignore[name-defined,misc]
    """What is used of an account's current window for one model group, in micro-units, and when it resets."""

    __tablename__ = "account_windows"

    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model_group: Mapped[str] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(server_default="0")
    resets_at: Mapped[datetime]
    exhausted_until: Mapped[datetime | None]


class AccountUse(db.Model):  # type: ignore[name-defined,misc]
    """Who used an account on a day (UTC), and how much: never what was said."""

    __tablename__ = "account_use"

    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    calls: Mapped[int] = mapped_column(server_default="0")
    tokens: Mapped[int] = mapped_column(server_default="0")
    cost: Mapped[int] = mapped_column(server_default="0")
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())
