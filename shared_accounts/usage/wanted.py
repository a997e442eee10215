"""Which lines somebody asks for: whose she may see, and which of them she wants.

Invariant: the same question asks the log and the roll-ups for the same lines, so their answers add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement

from shared_accounts.usage.models import UsageLog

MINE, CONTRIBUTED, ALL = "mine", "contributed", "all"
SCOPES = (MINE, CONTRIBUTED, ALL)

_PERSONAL = ("user_id", "api_key_id", "account_id")
_EQUAL = (*_PERSONAL, "model", "outcome", "client_app", "endpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the viewer used herself, what others used of her accounts, or everything; of it what fits the filters.

    A filter that is `None` is none. `start` is part of the time, `end` is not.
    """

    viewer: int
    scope: str = MINE
    start: datetime | None = None
    end: datetime | None = None
    user_id: int | None = None
    api_key_id: int | None = None
    account_id: int | None = None
    model: str | None = None
    outcome: str | None = None
    success: bool | None = None
    own: bool | None = None
    """Whether those on one's own accounts, or those on other people's."""
    client_app: str | None = None
    endpoint: str | None = None

    @property
    def is_about_everybody(self) -> bool:
        """Whether no person, key or account matters to the answer."""
        return self.scope == ALL and all(getattr(self, name) is None for name in _PERSONAL)

    def among(self, table: Any) -> list[ColumnElement[bool]]:
        """Return the conditions on a table that has the filters' columns, the time left out."""
        found = [getattr(table, name) == value for name in _EQUAL if (value := getattr(self, name)) is not None]
        if self.success is not None:
            found.append(table.outcome == "served" if self.success else table.outcome != "served")
        if self.own is not None:
            is_own = table.own if hasattr(table, "own") else table.user_id == table.contributor_id
            found.append(is_own if self.own else ~is_own)
        return [*self._whose(table), *found]

    def lines(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the log, closed lines and the time included."""
        return [UsageLog.state == "closed", *between(UsageLog.opened_at, self.start, self.end), *self.among(UsageLog)]

    def _whose(self, table: Any) -> list[ColumnElement[bool]]:
        if self.scope == MINE:
            return [table.user_id == self.viewer]
        if self.scope == CONTRIBUTED:
            return [table.contributor_id == self.viewer, table.user_id != table.contributor_id]
        return []


def between(column: Any, start: datetime | None, end: datetime | None) -> list[ColumnElement[bool]]:
    """Return the conditions for a time, of which `end` itself is no part."""
    return [
        *([] if start is None else [column >= start]),
        *([] if end is None else [column < end]),
    ]
