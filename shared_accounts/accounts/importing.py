"""Accounts by the dozen: read a file, judge its rows, prove them side by side, and report on each.

Invariant: every row stands for itself. It is wholly imported or refused with a reason, and a bad one stops no other;
only a file that cannot be read at all is refused as one. A report holds no credential, wherever in a row it stood.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from marshmallow import ValidationError

from shared_accounts.accounts import probe
from shared_accounts.accounts.schemas import MOST_IMPORTED, NewAccount
from shared_accounts.errors import ServiceError, TrustTooLow, Unprocessable
from shared_accounts.outbound.addresses import Guard, Target
from shared_accounts.outbound.wire import Wire

_AT_ONCE = 8
_COLUMNS = tuple(NewAccount().fields)
_NUMBERS = {"allowance_tokens", "window_hours", "max_concurrency"}
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,15}")
_LIKE_A_CREDENTIAL = re.compile(r"[!-~]{20,}")


@dataclass(slots=True)
class Row:
    """One account of an import on its way; with an error it goes no further."""

    number: int
    given: Any
    errors: dict[str, list[str]] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    account_id: int | None = None

    def refuse(self, refusal: ServiceError) -> None:
        """Note why this row cannot be imported."""
        self.errors.setdefault(refusal.field or "row", []).append(refusal.message)


def read_csv(data: bytes) -> list[Row]:
    """Read a file with a header row; raises `Unprocessable` naming `file` when that cannot be done.

    Cells are text, whatever they look like to a spreadsheet; empty ones say nothing. Empty rows are left out, but
    counted, so that row 7 stands in line 8.
    """
    lines = _lines(data)
    columns = _columns(lines[0] if lines else [])
    rows = [_row(number, columns, cells) for number, cells in enumerate(lines[1:], 1) if _is_filled(cells)]
    if not 1 <= len(rows) <= MOST_IMPORTED:
        raise Unprocessable(f"A file holds between 1 and {MOST_IMPORTED} accounts below its header.", field="file")
    return rows


def judge(rows: list[Row], guard: Guard, *, may_share: bool) -> None:
    """Refuse the rows that no upstream need be asked about: bad fields, bad addresses, a credential given twice."""
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        target = None if row.errors else _load(row, guard)
        if target is None:
            continue
        if row.body["sharing"] == "shared" and not may_share:
            row.errors["sharing"] = [TrustTooLow.message]
        first = seen.setdefault((target.origin.authority, row.body["api_key"]), row.number)
        if first != row.number:
            row.errors["api_key"] = [f"Row {first} has this credential already."]


def prove(rows: list[Row], guard: Guard, wire: Wire) -> None:
    """Ask the upstreams of all good rows, eight at a time; those refused are good no more."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(partial(_prove, guard, wire), good(rows)))


def good(rows: list[Row]) -> list[Row]:
    """Return the rows that nothing speaks against so far."""
    return [row for row in rows if not row.errors]


def report(rows: list[Row]) -> dict[str, Any]:
    """Tell what became of every row, and how many were really imported."""
    imported = sum(row.account_id is not None for row in rows)
    return {"imported": imported, "refused": len(rows) - len(good(rows)), "rows": [_shown(row) for row in rows]}


def _lines(data: bytes) -> list[list[str]]:
    try:
        text = data.decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError:
        raise Unprocessable("The file is not UTF-8 text.", field="file") from None
    except csv.Error:
        raise Unprocessable("The file cannot be read as CSV: is a quote missing?", field="file") from None


def _columns(header: list[str]) -> list[str]:
    """Return the columns' names; a wrong one is told by its place, for without a header it could be a credential."""
    columns = [name.strip().lower() for name in header]
    known = f"The first row names the columns, separated by commas: {', '.join(_COLUMNS)}."
    if not any(columns):
        raise Unprocessable(f"The file has no header. {known}", field="file")
    for place, name in enumerate(columns, 1):
        if name not in _COLUMNS:
            raise Unprocessable(f"Column {place} has a name that is not known. {known}", field="file")
        if name in columns[: place - 1]:
            raise Unprocessable(f"The column {name} is there twice.", field="file")
    return columns


def _row(number: int, columns: list[str], cells: list[str]) -> Row:
    row = Row(number, dict(_values(columns, cells)))
    if _is_filled(cells[len(columns) :]):
        row.errors["row"] = ["There are more cells than columns."]
    return row


def _values(columns: list[str], cells: list[str]) -> Iterator[tuple[str, Any]]:
    for column, cell in zip(columns, cells, strict=False):
        text = cell.strip()
        if not text:
            continue
        if column == "models":
            yield column, [name.strip() for name in re.split(r"[;|]", text) if name.strip()]
        else:
            yield column, int(text) if column in _NUMBERS and _WHOLE_NUMBER.fullmatch(text) else text


def _is_filled(cells: list[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _load(row: Row, guard: Guard) -> Target | None:
    try:
        row.body = NewAccount().load(row.given)
        return guard.parse(row.body["base_url"])
    except ValidationError as error:
        for name, messages in error.messages_dict.items():
            row.errors[name if name in _COLUMNS else _unknown(name)] = list(_sentences(messages))
    except Unprocessable as refusal:
        row.refuse(refusal)
    return None


def _prove(guard: Guard, wire: Wire, row: Row) -> None:
    declared, preset = row.body.get("models"), row.body.get("preset")
    target = guard.parse(row.body["base_url"])
    try:
        proof = probe.prove(wire, target, row.body["api_key"], declared or [], preset=preset)
        row.models = proof.claimed(declared)
    except Unprocessable as refusal:
        row.refuse(refusal)


def _shown(row: Row) -> dict[str, Any]:
    shown: dict[str, Any] = {"row": row.number, "status": "would_import", "name": _name(row)}
    if row.errors:
        return {**shown, "status": "refused", "errors": row.errors}
    if row.account_id is not None:
        return {**shown, "status": "imported", "id": row.account_id}
    return shown


def _name(row: Row) -> str | None:
    """Return a row's name, unless it may be a credential that slipped into the wrong column."""
    name = row.given.get("name") if isinstance(row.given, dict) else None
    if not isinstance(name, str) or "name" in row.errors:
        return None
    if (row.errors and _LIKE_A_CREDENTIAL.search(name)) or row.body.get("api_key", "\n") in name:
        return None
    return name


def _unknown(name: str) -> str:
    return "row" if name == "_schema" or _LIKE_A_CREDENTIAL.search(name) else name


def _sentences(messages: Any) -> Iterator[str]:
    """Flatten what marshmallow says of a field: of a list it says it by index."""
    if isinstance(messages, str):
        yield messages
        return
    for one in messages.values() if isinstance(messages, dict) else messages:
        yield from _sentences(one)
