"""/api/usage/statement: a month of one's quota, in JSON, as CSV or to print."""

from __future__ import annotations

from typing import Any

from flask import Response, g

from shared_accounts.auth.guards import admin_only, signed_in
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.usage import statement_shown_api
from shared_accounts.usage.answers import StatementSchema
from shared_accounts.usage.schemas import StatementFileQuery, StatementQuery
from shared_accounts.usage.statement import monthly
from shared_accounts.users.models import User

blp = Door("usage-statement", __name__, url_prefix="/api/usage", description="A month of quota")

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blp.get("/statement")
@signed_in
@blp.arguments(StatementQuery, location="query")
@blp.response(200, StatementSchema)
@blp.refuses(401, 403, 404, 422)
def show_statement(query: dict[str, Any]) -> dict[str, Any]:
    """State a month of your quota, by model group: opening + earned + spent + given + forfeits + corrections = closing.

    Taken amounts are negative, and all of them have six decimals, so that they add up to the last digit. Beside it:
    what you used, by model, and what others used of your accounts, by account, with what it cost in money.
    """
    return _stated(query)[0]


_TEXT = {"schema": {"type": "string"}}
_FILE = {"description": "A file; a page to print if asked for", "content": {"text/csv": _TEXT, "text/html": _TEXT}}


@blp.get("/statement/file")
@signed_in
@blp.arguments(StatementFileQuery, location="query")
@blp.response(200, {"type": "string"}, content_type="text/csv", description="A file; a page to print if asked for")
@blp.refuses(401, 403, 404, 422)
@blp.doc(responses={"200": _FILE})  # type: ignore[untyped-decorator]
def download_statement(query: dict[str, Any]) -> Response:
    """Give the same statement as CSV, or as a page to print."""
    chosen = query.pop("format")
    statement, username = _stated(query)
    headers = {"Cache-Control": "no-store"}
    if chosen == "html":
        page = statement_shown_api.page(statement, username)
        return Response(
            page, content_type="text/html; charset=utf-8", headers={**headers, "Content-Security-Policy": POLICY}
        )
    headers["Content-Disposition"] = f"attachment; filename=statement-{statement['month']}.csv"
    return Response(statement_shown_api.csv(statement), content_type="text/csv; charset=utf-8", headers=headers)


def _stated(query: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return whose statement was asked for, and her name; only an admin may ask for somebody else's."""
    user_id = query["user_id"] or g.person.id
    if user_id != g.person.id:
        _admits()
    username = db.session.query(User.username).where(User.id == user_id).scalar()
    if username is None:
        raise NotFound
    return statement_shown_api.shown(monthly(user_id, query["month"]), g.person.id), username


@admin_only
def _admits() -> None:
    """Do nothing: what matters is who comes this far."""
