"""A statement as the doors show it: in JSON, as CSV, and as a page to print."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from flask import render_template
from sqlalchemy import Row

from shared_accounts.money.amounts import exactly
from shared_accounts.usage import sheets
from shared_accounts.usage.shown_api import groups_shown, sums_shown
from shared_accounts.usage.statement import Statement
from shared_accounts.usage.stats import Stats

MOVEMENTS = (
    "opening", "credits", "refills", "gifts_received", "earned", "spent", "gifts_given", "forfeits", "corrections",
    "closing", "entries",
)  # fmt: skip
_USED = ("total_requests", "input_tokens", "output_tokens", "total_quota_consumed", "total_charged")
_HEAD = ("month", "part", "name", *MOVEMENTS, *_USED, "currency", "money")


def shown(found: Statement, viewer: int) -> dict[str, Any]:
    """Return a statement for `viewer`: taken amounts are negative, and units have six decimals, so that they add up.

    An admin who looks at somebody else's sees the numbers of her accounts, not their names.
    """
    accounts = _groups(found.contributed, "account_id", "by_account")
    if viewer != found.user_id:
        accounts = [{**one, "account": None} for one in accounts]
    return {
        "month": found.month,
        "user_id": found.user_id,
        "start_date": found.start,
        "end_date": found.end,
        "complete": found.complete,
        "model_groups": [_moved(row) for row in found.pools],
        "used": {**sums_shown(found.used.total), "by_model": _groups(found.used, "model", "by_model")},
        "contributed": {**sums_shown(found.contributed.total), "by_account": accounts},
    }


def csv(statement: dict[str, Any]) -> str:
    """Write a statement as a table: a row for each pool, for each model used and for each account others used.

    What was used in several currencies has a further row, with nothing else in it, for each further one.
    """
    return sheets.csv_rows([_HEAD, *_rows(statement)])


def page(statement: dict[str, Any], username: str) -> str:
    """Write a statement as a page to print, which loads nothing but our own stylesheet."""
    rendered: str = render_template("print/statement.html", statement=statement, username=username)
    return rendered


def _moved(row: Row[Any]) -> dict[str, Any]:
    amounts = row._asdict()
    group, entries = amounts.pop("model_group"), amounts.pop("entries")
    amounts["earned"] = row.credits + row.refills + row.gifts_received
    return {"model_group": group, **{name: exactly(micro) for name, micro in amounts.items()}, "entries": entries}


def _groups(found: Stats, by: str, name: str) -> list[dict[str, Any]]:
    only: dict[str, list[SimpleNamespace]] = {by: found.by[by]}
    return groups_shown(Stats(found.total, only))[name]


def _rows(statement: dict[str, Any]) -> Iterator[list[Any]]:
    month, nothing = statement["month"], [None] * len(_USED)
    for pool in statement["model_groups"]:
        moved = [pool[name] for name in MOVEMENTS]
        yield [month, "quota", pool["model_group"], *moved, *nothing, None, None]
    for model in statement["used"]["by_model"]:
        yield from _used(month, "used", model["model_name"], model)
    for account in statement["contributed"]["by_account"]:
        yield from _used(month, "contributed", account["account"] or account["account_id"], account)


def _used(month: str, part: str, name: Any, sums: dict[str, Any]) -> Iterator[list[Any]]:
    (currency, money), *further = list(sums["money"].items()) or [(None, None)]
    not_moved = [None] * len(MOVEMENTS)
    yield [month, part, name, *not_moved, *(sums[one] for one in _USED), currency, money]
    for pair in further:
        yield [month, part, name, *not_moved, *([None] * len(_USED)), *pair]
