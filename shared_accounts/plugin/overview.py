"""What the original dashboard shows, put together from the pool's answers: pure functions over their `data`."""

from __future__ import annotations

from typing import Any

from shared_accounts.plugin.reading import number

Row = dict[str, Any]

_NOTE = "quotas_by_model is everybody's shared accounts together; accounts and user_consumption are yours."


def summary(accounts: list[Row], pools: list[Row], shared_pool: Row) -> Row:
    """Count a user's accounts and list her pools, beside what is shared."""
    active = sum(row.get("status") == 1 for row in accounts)
    return {
        "accounts": {"total": len(accounts), "active": active, "inactive": len(accounts) - active},
        "user_quotas": {
            str(row.get("model_name")): {
                "current_quota": _plain(row.get("quota")),
                "max_quota": _plain(row.get("max_quota")),
                "last_recovered_at": row.get("last_recovered_at"),
            }
            for row in pools
        },
        "shared_pool": shared_pool,
    }


def shared_stats(accounts: list[Row], shared_pool: Row) -> Row:
    """Count the accounts a user shares, beside what is left of everybody's, per model."""
    shared = [row for row in accounts if row.get("is_shared") == 1]
    active = sum(row.get("status") == 1 for row in shared)
    return {
        "accounts": {
            "total_shared": len(shared),
            "active_shared": active,
            "inactive_shared": len(shared) - active,
        },
        "quotas_by_model": {
            str(row.get("model_name")): {
                "total_quota": _plain(row.get("total_quota")),
                "available_cookies": row.get("available_cookies"),
                "earliest_reset_time": row.get("earliest_reset_time"),
                "status": row.get("status"),
            }
            for row in shared_pool["quotas"]
        },
        "user_consumption": shared_pool["user_consumption"],
        "note": _NOTE,
    }


def _plain(amount: object) -> float:
    """Return an amount as the dashboard wants it, which calculates with it."""
    return float(number(amount) or 0)
