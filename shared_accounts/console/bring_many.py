"""Accounts by the dozen: a file is tried first and reported on row by row, then what is good of it is imported.

Invariant: between the two steps the rows lie sealed in a ticket of their owner's; no page holds a credential. Every
upstream has to accept its credential again in the request that imports.
"""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request
from flask_limiter import RateLimitExceeded

from shared_accounts.accounts import effects, import_api, importing
from shared_accounts.accounts.api import offered, settings_now
from shared_accounts.accounts.effects import Effect
from shared_accounts.accounts.importing import Row
from shared_accounts.accounts.schemas import MOST_IMPORTED
from shared_accounts.auth import tickets
from shared_accounts.auth.api import vault
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console.door import act, page
from shared_accounts.console.language import say
from shared_accounts.errors import InvalidRequest, ServiceError, TooManyRequests, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.strict_json import parse

_KIND = "import"
_SECONDS = 900


@page("/accounts/import")
def import_accounts() -> Any:
    """Ask for a file."""
    return _asked("")


@act("/accounts/import")
def try_import() -> Any:
    """Try every row, and show what would become of it; nothing is kept but the rows, sealed, for a while."""
    refuse_silenced()
    try:
        rows = _given()
        import_api.judged(rows)
    except ServiceError as refusal:
        db.session.rollback()
        return _asked(say(refusal.message)), refusal.status
    except RateLimitExceeded:
        return _asked(say(TooManyRequests.message)), 429
    import_api.rehearse(rows, settings_now())
    kept = {"user": g.person.id, "rows": [[row.number, row.given] for row in importing.good(rows)]}
    shown = _effects(rows)
    secret = tickets.issue(vault(), _KIND, kept, seconds=_SECONDS) if kept["rows"] else ""
    db.session.commit()
    return _reported(rows, ticket=secret, effects_of_it=shown)


@act("/accounts/import/store")
def store_import() -> Any:
    """Import what was good; a row that is refused now stops no other."""
    refuse_silenced()
    kept = tickets.redeem(vault(), _KIND, request.form.get("ticket", ""))
    db.session.commit()
    if kept is None or kept["user"] != g.person.id:
        raise InvalidRequest("This form was open for too long. Try the file again.", field="ticket")
    rows = [Row(number, given) for number, given in kept["rows"]]
    try:
        import_api.judged(rows)
    except RateLimitExceeded:
        return _asked(say(TooManyRequests.message)), 429
    import_api.store(rows, settings_now())
    return _reported(rows)


def _given() -> list[Row]:
    """Return the rows of what was sent, as CSV or JSON; raises `Unprocessable` when it is neither."""
    sent = request.files.get("file")
    data = (sent.read() if sent else b"") or request.form.get("text", "").encode()
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start not in {b"[", b"{"}:
        return importing.read_csv(data)
    return _read_json(data)


def _read_json(data: bytes) -> list[Row]:
    """Read a list of accounts, or an object with one; raises `InvalidRequest` or `Unprocessable`, naming `file`."""
    given = data.removeprefix(b"\xef\xbb\xbf").strip()
    body = parse(b'{"accounts": %b}' % given if given.startswith(b"[") else given)
    rows = body.get("accounts")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_IMPORTED or set(body) != {"accounts"}:
        raise Unprocessable(f"A file holds a list of 1 to {MOST_IMPORTED} accounts.", field="file")
    return [Row(number, row) for number, row in enumerate(rows, 1)]


def _effects(rows: list[Row]) -> list[Effect]:
    """Return what the import would do to the reader's pools."""
    settings = settings_now()
    accounts = [offered(row.body, row.models, settings).bearing for row in importing.good(rows)]
    return effects.of_contributing(g.person.id, accounts, settings)


def _reported(rows: list[Row], *, ticket: str = "", effects_of_it: list[Effect] | None = None) -> str:
    return render_template(
        "screens/import_report.html",
        report=importing.report(rows),
        good=len(importing.good(rows)),
        ticket=ticket,
        effects=effects_of_it or [],
    )


def _asked(error: str) -> str:
    return render_template("screens/import.html", error=error, most=MOST_IMPORTED)
