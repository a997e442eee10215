"""Rows as CSV that no spreadsheet takes for formulas, or as a JSON object to a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_rows(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV (RFC 4180); a text that begins like a formula gets an apostrophe before it (OWASP)."""
    sheet = io.StringIO(newline="")
    csv.writer(sheet).writerows([[_cell(value) for value in row] for row in rows])
    return sheet.getvalue()


def json_lines(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE).decode() for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
