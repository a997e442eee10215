"""The log itself, a page at a time: closed lines with the names that belong to them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, column, func, select, table, tuple_
from sqlalchemy.orm import defer

from shared_accounts.extensions import db
from shared_accounts.money.models import ModelPrice
from shared_accounts.usage.models import UsageLog
from shared_accounts.usage.wanted import Wanted
from shared_accounts.users.models import User

SORTS: dict[str, Any] = {
    "created_at": UsageLog.opened_at,
    "cost": UsageLog.cost,
    "duration_ms": func.coalesce(UsageLog.total_ms, 0),
}
NEWEST_FIRST = "-created_at"

_keys = table("api_keys", column("id"), column("name"))
_accounts = table("accounts", column("id"), column("name"))


def page(wanted: Wanted, *, offset: int, limit: int, sort: str = NEWEST_FIRST) -> list[Row[Any]]:
    """Return some of the lines; `sort` is one of `SORTS`, with `-` in front the greatest first."""
    by, number = SORTS[sort.lstrip("-")], UsageLog.id
    order = (by.desc(), number.desc()) if sort.startswith("-") else (by.asc(), number.asc())
    query = _named().where(*wanted.lines()).order_by(*order)
    return list(db.session.execute(query.offset(offset).limit(limit)))


def before(wanted: Wanted, last: tuple[datetime, UUID] | None, *, limit: int) -> list[Row[Any]]:
    """Return the newest lines, or those that follow the last one that was seen; lines that come meanwhile are not."""
    query = _named().where(*wanted.lines()).order_by(UsageLog.opened_at.desc(), UsageLog.id.desc())
    if last is not None:
        query = query.where(tuple_(UsageLog.opened_at, UsageLog.id) < last)
    return list(db.session.execute(query.limit(limit)))


def closed_since(wanted: Wanted, moment: datetime, *, longest: timedelta, limit: int) -> list[Row[Any]]:
    """Return the latest lines that were closed after a moment, the oldest first; none was open for longer than that."""
    query = _named().where(*wanted.lines(), UsageLog.closed_at > moment, UsageLog.opened_at > moment - longest)
    return list(db.session.execute(query.order_by(UsageLog.closed_at.desc()).limit(limit)))[::-1]


def names_of(name: str, ids: list[int]) -> dict[int, str]:
    """Return the names of people, keys or accounts by number, for `user_id`, `api_key_id` or `account_id`."""
    wanted: Any = {"user_id": (User.id, User.username), "api_key_id": _keys.c, "account_id": _accounts.c}[name]
    number, text = wanted
    return {row[0]: row[1] for row in db.session.execute(select(number, text).where(number.in_(ids)))}


def _named() -> Select[Any]:
    # Looked up for the lines of the page alone: a join would be made for all of them before they are sorted.
    user = select(User.username).where(User.id == UsageLog.user_id).scalar_subquery()
    key = select(_keys.c.name).where(_keys.c.id == UsageLog.api_key_id).scalar_subquery()
    account = select(_accounts.c.name).where(_accounts.c.id == UsageLog.account_id).scalar_subquery()
    currency = select(ModelPrice.currency).where(ModelPrice.id == UsageLog.price_id).scalar_subquery()
    names = (user.label("user"), key.label("api_key"), account.label("account"), currency.label("currency"))
    named = select(UsageLog, *names)
    return named.options(defer(UsageLog.attempts), defer(UsageLog.passed_over))
