"""A month's statement for a browser: as a page to print, which it can save as PDF, and as CSV."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, g

from shared_accounts.console.door import page
from shared_accounts.errors import NotFound
from shared_accounts.usage import statement_shown_api
from shared_accounts.usage.schemas import MONTH
from shared_accounts.usage.statement import monthly


@page("/statements/<month>/print")
def print_statement(month: str) -> Any:
    """Show a month to be printed."""
    return statement_shown_api.page(_stated(month), g.person.username)


@page("/statements/<month>/csv")
def download_statement(month: str) -> Any:
    """Download a month."""
    headers = {"Content-Disposition": f"attachment; filename=statement-{month}.csv"}
    return Response(statement_shown_api.csv(_stated(month)), content_type="text/csv; charset=utf-8", headers=headers)


def _stated(month: str) -> dict[str, Any]:
    if not re.fullmatch(MONTH, month):
        raise NotFound
    return statement_shown_api.shown(monthly(g.person.id, month), g.person.id)
