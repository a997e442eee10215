"""A person's accounts as the pages show them: in which state, until when, and how full their windows are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select

from shared_accounts.accounts import windows
from shared_accounts.accounts.models import Account, AccountUse
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings

_URGENCY = ("needs_sign_in", "broken", "exhausted", "cooling", "draining", "active", "paused", "disabled")


@dataclass(frozen=True, slots=True)
class Holding:
    """An account; `state` is its row's, or `cooling` or `exhausted` while it waits by itself, until `until`."""

    row: Account
    state: str
    until: datetime | None
    windows: list[dict[str, Any]]

    @property
    def host(self) -> str:
        """Where its upstream is, without scheme."""
        parts = urlsplit(self.row.base_url)
        return f"{parts.netloc}{parts.path}".rstrip("/")

    @property
    def urgency(self) -> int:
        """How soon its owner should look at it: the lower, the sooner."""
        return _URGENCY.index(self.state)


@dataclass(frozen=True, slots=True)
class Given:
    """What others drew from an account on a day (UTC), in micro-units, and how many they were."""

    units: int = 0
    people: int = 0


def of(user_id: int) -> list[Holding]:
    """Return somebody's accounts, those first that need her."""
    mine = select(Account).where(Account.owner_id == user_id, Account.state != "withdrawn")
    rows = list(db.session.scalars(mine.order_by(Account.id.desc())))
    return sorted(described(rows), key=lambda one: one.urgency)


def described(rows: list[Account]) -> list[Holding]:
    """Return these accounts as they stand now."""
    if not rows:
        return []
    used = windows.current(rows, reference=settings().reference_allowance_tokens)
    return [_holding(row, used[row.id]) for row in rows]


def given_today(accounts: list[Account]) -> dict[int, Given]:
    """Return what others drew today from each of somebody's accounts, a moment behind."""
    query = (
        select(AccountUse.account_id, func.sum(AccountUse.cost), func.count())
        .join(Account, Account.id == AccountUse.account_id)
        .where(AccountUse.account_id.in_([one.id for one in accounts]), AccountUse.user_id != Account.owner_id)
        .where(AccountUse.day == datetime.now(UTC).date())
        .group_by(AccountUse.account_id)
    )
    return {account_id: Given(int(cost), people) for account_id, cost, people in db.session.execute(query).tuples()}


def _holding(row: Account, used: list[dict[str, Any]]) -> Holding:
    if row.state == "active" and row.cooling_until is not None and row.cooling_until > datetime.now(UTC):
        return Holding(row, "cooling", row.cooling_until, used)
    if row.state == "active" and len(used) >= len(row.models) and all(one["used"] >= 1 for one in used):
        return Holding(row, "exhausted", min(one["resets_at"] for one in used), used)
    return Holding(row, row.state, None, used)
