"""What happened: a line per exchange, opened before the upstream is called and closed once after; and hourly sums."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db

OUTCOMES = ("served", "broken", "timed_out", "client_left", "interrupted", "outgrown", "failed", "abandoned")
BASES = ("measured", "estimated", "partial", "released")
BY_OTHERS = "user_id <> contributor_id"


class UsageLog(db.Model):  # type: ignore[name-defined,misc]
    """One exchange. Rows outlive users, keys and accounts, so there are no foreign keys.

    An id begins with the time it was made at (UUID version 7), and the table is partitioned by it into months
    (`usage.months`). While open, the row is a lease: a live worker extends `lease_until`, the reaper closes what has
    expired.
    Amounts are micro-units, `cost` the true or estimated price and `charged` what the pool paid of it; `money` is what
    the tokens cost by the version `price_id` of the model's price, null as long as it has none or they are not known.
    """

    __tablename__ = "usage_log"
    __table_args__ = (
        CheckConstraint("state in ('open', 'closed')", name="state"),
        CheckConstraint(f"outcome in {OUTCOMES}", name="outcome"),
        CheckConstraint(f"basis in {BASES}", name="basis"),
        CheckConstraint("(state = 'closed') = (outcome is not null and basis is not null)", name="closed"),
        Index("usage_log_user_id_idx", "user_id", "opened_at"),
        Index("usage_log_account_id_idx", "account_id", "opened_at"),
        Index("usage_log_api_key_id_idx", "api_key_id", "opened_at", postgresql_where=text("api_key_id is not null")),
        Index("usage_log_contributor_id_idx", "contributor_id", "opened_at", postgresql_where=text(BY_OTHERS)),
        Index("usage_log_opened_at_idx", "opened_at"),
        Index("usage_log_open_idx", "account_id", postgresql_where=text("state = 'open'")),
        Index("usage_log_busy_idx", "user_id", postgresql_where=text("state = 'open'")),
        {"postgresql_partition_by": "range (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    api_key_id: Mapped[int | None]
    account_id: Mapped[int]
    contributor_id: Mapped[int]
    model: Mapped[str]
    model_group: Mapped[str]
    endpoint: Mapped[str]
    stream: Mapped[bool]
    worker: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="open")
    outcome: Mapped[str | None]
    basis: Mapped[str | None]
    http_status: Mapped[int | None]
    error_code: Mapped[str | None]
    estimate: Mapped[int]
    cost: Mapped[int] = mapped_column(server_default="0")
    charged: Mapped[int] = mapped_column(server_default="0")
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))
    first_byte_ms: Mapped[int | None]
    total_ms: Mapped[int | None]
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
    lease_until: Mapped[datetime]
    passed_over: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))
    flag: Mapped[str | None]
    client_app: Mapped[str | None]
    price_id: Mapped[int | None]
    money: Mapped[int | None]


class Measures:
    """What is added up: lines in all, those with a time, and by basis; tokens, micro-units and milliseconds.

    `unpriced` are the lines whose tokens are known, but no price; `money` is in micro-units of the row's currency.
    """

    calls: Mapped[int]
    timed: Mapped[int]
    measured: Mapped[int]
    estimated: Mapped[int]
    partial: Mapped[int]
    released: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cached_tokens: Mapped[int]
    cost: Mapped[int]
    charged: Mapped[int]
    total_ms: Mapped[int]
    unpriced: Mapped[int]
    money: Mapped[int]


class ByPerson(Measures):
    """Whose lines, and what they have in common. No key is 0, no program and no currency the empty text."""

    user_id: Mapped[int] = mapped_column(primary_key=True)
    api_key_id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(primary_key=True)
    contributor_id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    endpoint: Mapped[str] = mapped_column(primary_key=True)
    client_app: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)


class OfEverybody(Measures):
    """The same without the people, for questions about all of them together."""

    own: Mapped[bool] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    endpoint: Mapped[str] = mapped_column(primary_key=True)
    client_app: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)


def _ways(table: str, time: str) -> tuple[Index, ...]:
    """Return the indexes by which somebody's sums are found."""
    return (
        Index(f"{table}_user_id_idx", "user_id", time),
        Index(f"{table}_account_id_idx", "account_id", time),
        Index(f"{table}_contributor_id_idx", "contributor_id", time, postgresql_where=text(BY_OTHERS)),
        Index(f"{table}_api_key_id_idx", "api_key_id", time, postgresql_where=text("api_key_id <> 0")),
    )


class UsageHour(ByPerson, db.Model):  # type: ignore[name-defined,misc]
    """The closed lines of an hour that are alike, added up."""

    __tablename__ = "usage_hours"
    __table_args__ = _ways("usage_hours", "hour")

    hour: Mapped[datetime] = mapped_column(primary_key=True)


class UsageTotal(OfEverybody, db.Model):  # type: ignore[name-defined,misc]
    """Everybody's hours."""

    __tablename__ = "usage_totals"

    hour: Mapped[datetime] = mapped_column(primary_key=True)


class UsageDay(ByPerson, db.Model):  # type: ignore[name-defined,misc]
    """The hours of a day (UTC) that are alike, added up."""

    __tablename__ = "usage_days"
    __table_args__ = _ways("usage_days", "day")

    day: Mapped[datetime] = mapped_column(primary_key=True)


class UsageDayTotal(OfEverybody, db.Model):  # type: ignore[name-defined,misc]
    """Everybody's days."""

    __tablename__ = "usage_day_totals"

    day: Mapped[datetime] = mapped_column(primary_key=True)
