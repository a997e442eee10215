"""How the server answers: JSON as its framework writes it, and pages where a client expected JSON."""

from __future__ import annotations

import html
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import Response

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Error</title>
</head>
<body>
<pre>{text}</pre>
</body>
</html>
"""


class Refused(Exception):
    """A refusal in JSON: `{"error": what}`."""

    def __init__(self, status: int, what: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = {"error": what}


class Crashed(Exception):
    """What the server's own code does not catch; the framework makes a page of it."""


def as_json(body: Any, status: int = 200) -> Response:
    """Answer in JSON: times end in Z, numerics are strings of four decimals, letters stay letters."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_told)
    return Response(text, status, content_type="application/json; charset=utf-8")


def as_page(text: str, status: int) -> Response:
    """Answer with the framework's error page."""
    page = Response(_PAGE.format(text=html.escape(text)), status, content_type="text/html; charset=utf-8")
    page.headers["Content-Security-Policy"] = "default-src 'none'"
    page.headers["X-Content-Type-Options"] = "nosniff"
    return page


def success(data: Any = None, message: str | None = None) -> Response:
    """Wrap what went well."""
    body: dict[str, Any] = {"success": True}
    if message is not None:
        body["message"] = message
    if data is not None:
        body["data"] = data
    return as_json(body)


def told(row: object, *names: str) -> dict[str, Any]:
    """Pick the columns that are told."""
    return {name: getattr(row, name) for name in names}


def _told(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return f"{value:.4f}"
    raise TypeError(type(value).__name__)
