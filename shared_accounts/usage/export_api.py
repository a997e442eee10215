"""/api/usage/export: the log as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flask import Flask, Response, current_app
from sqlalchemy import Row

from shared_accounts.auth.guards import signed_in
from shared_accounts.json_bodies import Door
from shared_accounts.usage import lines, sheets
from shared_accounts.usage.api import wanted_by
from shared_accounts.usage.schemas import ExportQuery
from shared_accounts.usage.shown_api import columns, line_shown
from shared_accounts.usage.wanted import Wanted

blp = Door("usage-export", __name__, url_prefix="/api/usage", description="The log as a file")

_PAGE = 500
_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


_TEXT = {"schema": {"type": "string"}}
_FILE = {"description": "A file", "content": {"text/csv": _TEXT, _TYPES["jsonl"]: _TEXT}}


@blp.get("/export")
@signed_in
@blp.arguments(ExportQuery, location="query")
@blp.response(200, {"type": "string"}, content_type="text/csv", description="A file; JSON lines if asked for")
@blp.refuses(401, 403, 422)
@blp.doc(responses={"200": _FILE})  # type: ignore[untyped-decorator]
def export(query: dict[str, Any]) -> Response:
    """Export what was used, an exchange to a line, newest first, as CSV or JSON lines; as much as there is.

    The filters and scopes are those of the log. In CSV a text that a spreadsheet would take for a formula begins with
    an apostrophe. A file that could not be finished ends with a broken connection, never as if it were whole.
    """
    chosen = query.pop("format")
    return sheet(wanted_by(query), chosen)


def sheet(wanted: Wanted, chosen: str) -> Response:
    """Answer with the lines that are wanted as a file, `csv` or `jsonl`."""
    pages = _pages(current_app._get_current_object(), wanted)  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's way
    first = next(pages, [])  # a database that is away is a refusal, not a broken file
    body = _csv(wanted, first, pages) if chosen == "csv" else _json_lines(wanted, first, pages)
    headers = {"Content-Disposition": f"attachment; filename=usage.{chosen}", "Cache-Control": "no-store"}
    return Response(body, content_type=_TYPES[chosen], headers=headers)


def _pages(app: Flask, wanted: Wanted) -> Iterator[Sequence[Row[Any]]]:
    """Yield the lines page by page; between two pages no connection is held, however slowly the client reads."""
    last = None
    while True:
        with app.app_context():
            page = lines.before(wanted, last, limit=_PAGE)
        if page:
            yield page
        if len(page) < _PAGE:
            return
        last = page[-1][0].opened_at, page[-1][0].id


def _csv(wanted: Wanted, first: Sequence[Row[Any]], pages: Iterator[Sequence[Row[Any]]]) -> Iterator[str]:
    names = columns(wanted)
    yield sheets.csv_rows([names])
    for page in _and(first, pages):
        yield sheets.csv_rows([line_shown(wanted, *row)[name] for name in names] for row in page)


def _json_lines(wanted: Wanted, first: Sequence[Row[Any]], pages: Iterator[Sequence[Row[Any]]]) -> Iterator[str]:
    for page in _and(first, pages):
        yield sheets.json_lines(line_shown(wanted, *row) for row in page)


def _and(first: Sequence[Row[Any]], pages: Iterator[Sequence[Row[Any]]]) -> Iterator[Sequence[Row[Any]]]:
    yield first
    yield from pages
