"""Keys for tools: recognised by fingerprint, readable by nobody; and what those with a budget have spent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db

BUDGETS = ("total", "five_hours", "day", "week", "month")
"""Over what time a key's spending may be limited."""


class ApiKey(db.Model):  # type: ignore[name-defined,misc]
    """An `sk-` secret we issued; the secret itself was shown once and is not here.

    No models and no addresses mean all of them, a limit that is null is none; budgets are micro-units. `revision`
    counts the changes of what limits the key. A key that was rotated is also known by its former fingerprint, for
    a while.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(
            "requests_per_minute > 0 and tokens_per_minute > 0 and max_concurrent > 0 and budget_total > 0"
            " and budget_five_hours > 0 and budget_day > 0 and budget_week > 0 and budget_month > 0",
            name="limits",
        ),
        CheckConstraint("(former_fingerprint is null) = (former_until is null)", name="former"),
        Index("api_keys_fingerprint_key", "fingerprint", unique=True),
        Index(
            "api_keys_former_fingerprint_key",
            "former_fingerprint",
            unique=True,
            postgresql_where=text("former_fingerprint is not null"),
        ),
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
    last_used_at: Mapped[datetime | None]
    former_fingerprint: Mapped[bytes | None]
    former_until: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(server_default="0")
    models: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    addresses: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    requests_per_minute: Mapped[int | None]
    tokens_per_minute: Mapped[int | None]
    max_concurrent: Mapped[int | None]
    budget_total: Mapped[int | None]
    budget_five_hours: Mapped[int | None]
    budget_day: Mapped[int | None]
    budget_week: Mapped[int | None]
    budget_month: Mapped[int | None]

    @property
    def budgets(self) -> dict[str, int | None]:
        """What the key may spend, in micro-units, by `BUDGETS`."""
        return {name: getattr(self, f"budget_{name}") for name in BUDGETS}


class ApiKeySpend(db.Model):  # type: ignore[name-defined,misc]
    """What a key with a budget spent in an hour, in micro-units; its row at `-infinity` is what it spent in all.

    Written by a trigger as usage lines close. No foreign key: a line may close after its key is gone.
    """

    __tablename__ = "api_key_spend"

    api_key_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    cost: Mapped[int]
