"""/api/usage/statement: a month of one's quota."""

from __future__ import annotations

from typing import Any

from flask import g
from sqlalchemy import Row, func, select

from shared_accounts.auth.guards import signed_in
from shared_accounts.config import MICRO
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.usage.answers import StatementSchema
from shared_accounts.usage.schemas import StatementQuery
from shared_accounts.usage.statement import month, statement

blp = Door("usage-statement", __name__, url_prefix="/api/usage", description="A month of quota")


@blp.get("/statement")
@signed_in
@blp.arguments(StatementQuery, location="query")
@blp.response(200, StatementSchema)
@blp.refuses(401, 403, 422)
def show_statement(query: dict[str, Any]) -> dict[str, Any]:
    """State a month of your quota, by model group: opening + earned + spent + given + forfeits + corrections = closing.

    Taken amounts are negative, and all of them have six decimals, so that they add up to the last digit.
    """
    start, end = month(query["month"])
    has_begun, is_over = db.session.execute(select(func.now() >= start, func.now() >= end)).one()
    if not has_begun:
        raise Unprocessable("This month has not begun.", field="month")
    groups = [_shown(row) for row in statement(g.person.id, start, end)]
    span = {"start_date": start, "end_date": end}
    return {"month": query["month"], **span, "complete": is_over, "model_groups": groups}


def _shown(row: Row[Any]) -> dict[str, Any]:
    amounts = {name: value for name, value in row._mapping.items() if name not in {"model_group", "entries"}}  # noqa: SLF001 - its public name
    amounts["earned"] = row.credits + row.refills + row.gifts_received
    shown = {name: _exactly(value) for name, value in amounts.items()}
    return {"model_group": row.model_group, **shown, "entries": row.entries}


def _exactly(micro: int) -> str:
    whole, rest = divmod(abs(micro), MICRO)
    return f"{'-' if micro < 0 else ''}{whole}.{rest:06d}"
