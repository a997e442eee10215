"""Lines of the usage log as exchanges leave them, and what they add up to when they are counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared_accounts.extensions import db
from shared_accounts.usage import rollup
from shared_accounts.usage.measures import MEASURES
from shared_accounts.usage.models import BASES, UsageLog
from tests import factories
from tests.conftest import rows

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)
THIS_HOUR = NOW.replace(minute=0, second=0, microsecond=0)


def line(at: datetime, *, user: Any = 1, account: Any = 1, contributor: Any = 2, **facts: Any) -> UsageLog:
    """An exchange that began at this time; closed, unless `state` says otherwise. People may be rows or numbers."""
    is_open = facts.get("state") == "open"
    end = (
        {} if is_open else {"state": "closed", "outcome": "served", "basis": "measured", "closed_at": datetime.now(UTC)}
    )
    used = (
        {} if is_open else {"cost": 1000, "charged": 900, "prompt_tokens": 10, "completion_tokens": 4, "total_ms": 250}
    )
    what = {
        "id": factories.exchange_id(at),
        "model": "m",
        "endpoint": "/v1/chat/completions",
        "stream": False,
        **end,
        **used,
        **facts,
    }
    made = UsageLog(
        user_id=_number(user), account_id=_number(account), contributor_id=_number(contributor),
        model_group=what["model"], worker="tests", estimate=1, lease_until=NOW, opened_at=at, **what,
    )  # fmt: skip
    db.session.add(made)
    db.session.commit()
    return made


def close(opened: UsageLog, **facts: Any) -> None:
    """End an exchange, now."""
    end = {
        "state": "closed",
        "outcome": "served",
        "basis": "estimated",
        "closed_at": datetime.now(UTC),
        "cost": 7,
        **facts,
    }
    for name, value in end.items():
        setattr(opened, name, value)
    db.session.commit()


def roll_up() -> None:
    """Count all hours that are due."""
    while rollup.count_next():
        db.session.commit()
    db.session.rollback()


def by_hand(lines: list[dict[str, Any]]) -> dict[str, int]:
    """What closed lines add up to."""
    closed = [one for one in lines if one["state"] == "closed"]
    counted = {"calls": len(closed), "timed": sum(one["total_ms"] is not None for one in closed)}
    bases = {basis: sum(one["basis"] == basis for one in closed) for basis in BASES}
    unpriced = {"unpriced": sum(one["prompt_tokens"] is not None and one["price_id"] is None for one in closed)}
    known = {**counted, **bases, **unpriced}
    return {name: known[name] if name in known else sum(one[name] or 0 for one in closed) for name in MEASURES}


def log_lines() -> list[dict[str, Any]]:
    return rows("usage_log")


def counted(table: str = "usage_hours") -> dict[str, int]:
    """What the roll-ups add up to."""
    found = rows(table)
    return {name: sum(row[name] for row in found) for name in MEASURES}


def _number(who: Any) -> int:
    return who if isinstance(who, int) else who.id
