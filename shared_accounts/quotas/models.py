"""How much each user may draw from shared accounts, and why. All amounts are integer micro-units.

Invariants, per pool and at every moment (proved by `ledger.verify`):
the sum of its entries is its balance; the sum of its open reservations is what is reserved;
0 <= reserved <= balance; and `balance_after` chains from entry to entry without a gap.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class QuotaPool(db.Model):  # type: ignore[name-defined,misc]
    """One user's balance, capacity and hourly refill for one model group."""

    __tablename__ = "quota_pools"
    __table_args__ = (
        CheckConstraint("balance >= 0 and reserved >= 0 and reserved <= balance", name="balance"),
        CheckConstraint("capacity >= 0 and refill_per_hour >= 0 and owed >= 0", name="terms"),
        Index("quota_pools_user_id_model_group_key", "user_id", "model_group", unique=True),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    model_group: Mapped[str]
    balance: Mapped[int] = mapped_column(server_default="0")
    reserved: Mapped[int] = mapped_column(server_default="0")
    capacity: Mapped[int] = mapped_column(server_default="0")
    refill_per_hour: Mapped[int] = mapped_column(server_default="0")
    owed: Mapped[int] = mapped_column(server_default="0")
    refilled_through: Mapped[datetime] = mapped_column(server_default=text("date_trunc('hour', now(), 'UTC')"))


class Reservation(db.Model):  # type: ignore[name-defined,misc]
    """An estimate set aside for one exchange, until it is settled or released; its id is the exchange's.

    The life of a reservation is its exchange's lease (`usage_log.lease_until`).
    """

    __tablename__ = "reservations"
    __table_args__ = (
        CheckConstraint("state in ('open', 'settled', 'released')", name="state"),
        CheckConstraint("amount > 0", name="amount"),
        Index("reservations_pool_id_idx", "pool_id", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    pool_id: Mapped[int]
    amount: Mapped[int]
    state: Mapped[str] = mapped_column(server_default="open")


class LedgerEntry(db.Model):  # type: ignore[name-defined,misc]
    """Why a pool moved. Entries are only ever added."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("kind in ('credit', 'forfeit', 'refill', 'spend', 'correction', 'gift')", name="kind"),
        Index("ledger_entries_pool_id_idx", "pool_id", "id"),
        Index(
            "ledger_entries_exchange_id_key",
            "exchange_id",
            unique=True,
            postgresql_where=text("exchange_id is not null"),
        ),
        Index(
            "ledger_entries_slot_key",
            "pool_id",
            "kind",
            "slot",
            unique=True,
            postgresql_where=text("slot is not null"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    pool_id: Mapped[int]
    kind: Mapped[str]
    amount: Mapped[int]
    balance_after: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    slot: Mapped[datetime | None]
    account_id: Mapped[int | None]
    exchange_id: Mapped[UUID | None]
    note: Mapped[str | None]
    actor_id: Mapped[int | None]
    counterpart_id: Mapped[int | None]


class Credit(db.Model):  # type: ignore[name-defined,misc]
    """What sharing one account added to its owner's pool: exactly this is taken back on withdrawal."""

    __tablename__ = "credits"

    account_id: Mapped[int] = mapped_column(primary_key=True)
    model_group: Mapped[str] = mapped_column(primary_key=True)
    pool_id: Mapped[int] = mapped_column(ForeignKey("quota_pools.id"))
    capacity: Mapped[int]
    refill_per_hour: Mapped[int]
    balance: Mapped[int]
    resting: Mapped[bool] = mapped_column(server_default=text("false"))


class ModelRule(db.Model):  # type: ignore[name-defined,misc]
    """How one model counts: what it is an alias of, whose allowance it shares, and its weights in thousandths."""

    __tablename__ = "model_rules"
    __table_args__ = (
        CheckConstraint(
            "prompt_weight >= 0 and completion_weight >= 0 and cached_weight >= 0 and reference_tokens > 0",
            name="weights",
        ),
        CheckConstraint("alias_of <> model", name="alias"),
    )

    model: Mapped[str] = mapped_column(primary_key=True)
    alias_of: Mapped[str | None]
    model_group: Mapped[str | None]
    reference_tokens: Mapped[int | None]
    prompt_weight: Mapped[int] = mapped_column(server_default="1000")
    completion_weight: Mapped[int] = mapped_column(server_default="4000")
    cached_weight: Mapped[int] = mapped_column(server_default="100")
