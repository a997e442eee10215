"""How lines are added up: one definition, for the roll-ups and for what is read from the log itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, literal_column, select

from shared_accounts.money.models import ModelPrice
from shared_accounts.usage.models import BASES, UsageHour, UsageLog

DIMENSIONS = tuple(column.name for column in UsageHour.__table__.primary_key)
MEASURES = tuple(column.name for column in UsageHour.__table__.columns if not column.primary_key)

_SUMMED = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost", "charged", "total_ms", "money")


def from_log(*where: ColumnElement[bool]) -> Select[Any]:
    """Return the query that adds up the closed lines among these, in the columns of `UsageHour`."""
    said: dict[str, ColumnElement[Any]] = {
        "hour": literal_column("date_trunc('hour', usage_log.opened_at, 'UTC')"),
        "api_key_id": func.coalesce(UsageLog.api_key_id, literal_column("0")),
        "client_app": func.coalesce(UsageLog.client_app, literal_column("''")),
        "currency": func.coalesce(ModelPrice.currency, literal_column("''")),
    }
    alike = {name: said[name] if name in said else UsageLog.__table__.c[name] for name in DIMENSIONS}
    columns = [column.label(name) for name, column in alike.items()]
    query = select(*columns, *(_measure(name).label(name) for name in MEASURES)).select_from(UsageLog)
    query = query.outerjoin(ModelPrice, ModelPrice.id == UsageLog.price_id)
    return query.where(UsageLog.state == "closed", *where).group_by(*alike.values())


def _measure(name: str) -> ColumnElement[int]:
    if name == "calls":
        return func.count()
    if name == "timed":
        return func.count(UsageLog.total_ms)
    if name == "unpriced":
        return func.count(UsageLog.prompt_tokens).filter(UsageLog.price_id.is_(None))
    if name in BASES:
        return func.count().filter(UsageLog.basis == name)
    assert name in _SUMMED  # noqa: S101 - a measure without a definition is found by any test
    return cast(func.coalesce(func.sum(getattr(UsageLog, name)), 0), BigInteger)
