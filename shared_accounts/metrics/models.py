"""What became of the scheduled work: a row per task."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.extensions import db

SUCCEEDED, FAILED = "succeeded", "failed"


class JobRun(db.Model):  # type: ignore[name-defined,misc]
    """How one task fared: its last run, and the sums over all of them, in milliseconds.

    A run that was killed has started and not finished. `found` is how much trouble the last run found; nothing when the
    task looks for none, or failed.
    """

    __tablename__ = "job_runs"
    __table_args__ = (CheckConstraint("last_outcome in ('succeeded', 'failed')", name="last_outcome"),)

    task: Mapped[str] = mapped_column(primary_key=True)
    last_started: Mapped[datetime]
    last_finished: Mapped[datetime | None]
    last_outcome: Mapped[str | None]
    duration_ms: Mapped[int | None]
    found: Mapped[int | None]
    succeeded: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    total_ms: Mapped[int] = mapped_column(server_default="0")
    failed_in_a_row: Mapped[int] = mapped_column(server_default="0")
