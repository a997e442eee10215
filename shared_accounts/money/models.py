"""What tokens cost in money, by model and from when on. All amounts are integer micro-units of a currency."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db


class ModelPrice(db.Model):  # type: ignore[name-defined,misc]
    """One version of a model's price, per million tokens of each kind; `cached` is for the cached part of a prompt.

    Versions are only ever added, for usage lines name theirs. At any moment that one counts which is valid from the
    latest moment before; of several valid from the same moment the last that was laid down.
    """

    __tablename__ = "model_prices"
    __table_args__ = (
        CheckConstraint("prompt >= 0 and completion >= 0 and cached >= 0", name="amounts"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        Index("model_prices_model_idx", "model", "valid_from", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    model: Mapped[str]
    currency: Mapped[str]
    prompt: Mapped[int]
    completion: Mapped[int]
    cached: Mapped[int]
    valid_from: Mapped[datetime] = mapped_column(server_default=func.now())
    laid_down_at: Mapped[datetime] = mapped_column(server_default=func.now())
    laid_down_by: Mapped[int | None]
