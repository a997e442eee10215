"""Settings an admin may change while the service runs: rows that overlay the environment's.

Invariant: a value that is stored was accepted by the same parser and range as the environment's; so that what
`current` returns is always a configuration the process would have started with.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from shared_accounts.config import Settings, parse_value
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db

CHANGEABLE = (
    "registration",
    "sso_registration",
    "require_admin_2fa",
    "quota_capacity_per_account",
    "quota_refill_per_account",
    "max_account_worth",
)


class RuntimeSetting(db.Model):  # type: ignore[name-defined,misc]
    """One overlaid setting, spelt as in the environment."""

    __tablename__ = "runtime_settings"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


def current(started_with: Settings) -> Settings:
    """Return the settings in force now: those of the environment, and over them what an admin has changed."""
    stored = db.session.execute(select(RuntimeSetting.name, RuntimeSetting.value)).tuples()
    changes: dict[str, Any] = {name: parse_value(name, value) for name, value in stored if name in CHANGEABLE}
    return dataclasses.replace(started_with, **changes)


def change(changes: dict[str, str | None]) -> None:
    """Store settings, None giving one back to the environment; raises `Unprocessable` naming the first bad one."""
    for name, value in changes.items():
        if name not in CHANGEABLE:
            raise Unprocessable("This setting cannot be changed while the service runs.", field=name)
        if value is None:
            db.session.execute(delete(RuntimeSetting).where(RuntimeSetting.name == name))
            continue
        try:
            parse_value(name, value)
        except (ValueError, KeyError, ArithmeticError) as error:
            raise Unprocessable("This is not a valid value.", field=name) from error
        store = insert(RuntimeSetting).values(name=name, value=value)
        fresh = {"value": value, "changed_at": func.now()}
        db.session.execute(store.on_conflict_do_update(index_elements=["name"], set_=fresh))
