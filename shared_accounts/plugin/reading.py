"""Read what the Plug-in API says, with patience for its habits: pure functions over bytes and JSON.

Its numbers come as numbers or as strings, its errors as JSON or as pages, one list in two shapes, and two of its times
without a zone (in whatever zone its process runs). What has only to be passed on is left exactly as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any

import orjson

from shared_accounts.plugin.failures import PluginRefused, PluginUnreachable

_SUCCESS = range(200, 300)
_LONGEST_NUMBER = 40
_LARGEST_EXPONENT = 30
_LONGEST_WAIT_SECONDS = 24 * 3600
_WITHOUT_A_ZONE = ("reset_time", "earliest_reset_time")
_NOTHING_KNOWN = dict.fromkeys(
    ("total_requests", "total_quota_consumed", "shared_quota_consumed", "private_quota_consumed"), 0
)


def result(status: int, body: bytes, *, secret: str, retry_after: str | None = None) -> dict[str, Any]:
    """Return the JSON object of a success, unchanged; status first, then JSON, then nothing.

    Raises `PluginRefused` for an error, without the `secret` should it quote that, and `PluginUnreachable` for what the
    Plug-in does not say: a redirect, or a success that is no JSON object.
    """
    found = _object(body)
    if status >= HTTPStatus.BAD_REQUEST:
        raise PluginRefused(status, _complaint(found, secret), retry_after=_seconds(retry_after))
    if status not in _SUCCESS or found is None:
        raise PluginUnreachable
    if found.get("success") is False:
        raise PluginRefused(status, _complaint(found, secret))
    return found


def number(value: object) -> Decimal | None:
    """Return a number that came as one or as a string, `"1.5000"`, exactly; None when it is neither, or absurd."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    try:
        found = Decimal(text if len(text) <= _LONGEST_NUMBER else "NaN")
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) <= _LARGEST_EXPONENT else None


def moment(value: object, *, naive_is_utc: bool) -> datetime | None:
    """Return an ISO 8601 time with its zone; one that came without is UTC if so said, else of no use, hence None."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None or found.tzinfo:
        return found
    return found.replace(tzinfo=UTC) if naive_is_utc else None


def zoned(row: Mapping[str, Any], *, naive_is_utc: bool) -> dict[str, Any]:
    """Return the row with its reset times in a known zone, or null: a time without one would be read as anybody's."""
    return {
        name: _shown(value, naive_is_utc=naive_is_utc) if name in _WITHOUT_A_ZONE else value
        for name, value in row.items()
    }


def zoned_rows(answer: dict[str, Any], *, naive_is_utc: bool) -> dict[str, Any]:
    """Return an answer whose `data` is a list of rows, each of them `zoned`."""
    return {**answer, "data": _each_zoned(answer.get("data"), naive_is_utc=naive_is_utc)}


def shared_pool(answer: dict[str, Any], *, naive_is_utc: bool) -> dict[str, Any]:
    """Return the shared pool in the newer of its two shapes, `data{quotas, user_consumption}`.

    The older one is the bare list of quotas. It does not say what the user has consumed: then there are zeros.
    """
    data = answer.get("data")
    found = data if isinstance(data, dict) else {"quotas": data}
    quotas = _each_zoned(found.get("quotas"), naive_is_utc=naive_is_utc)
    told = found.get("user_consumption")
    consumption = told if isinstance(told, dict) else dict(_NOTHING_KNOWN)
    return {**answer, "data": {**found, "quotas": quotas, "user_consumption": consumption}}


def _each_zoned(rows: object, *, naive_is_utc: bool) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PluginUnreachable
    return [zoned(row, naive_is_utc=naive_is_utc) for row in rows]


def _shown(value: object, *, naive_is_utc: bool) -> str | None:
    found = moment(value, naive_is_utc=naive_is_utc)
    return found.isoformat(timespec="milliseconds") if found else None


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _complaint(found: dict[str, Any] | None, secret: str) -> str:
    """Return what an error says: `{"error": text}`, or `{"error": {"message": text}}` where images are made."""
    said = (found or {}).get("error")
    if isinstance(said, dict):
        said = said.get("message")
    return said.replace(secret, "[secret]") if isinstance(said, str) else ""


def _seconds(said: str | None) -> int | None:
    is_number = said is not None and said.isascii() and said.isdigit()
    return min(int(said[:9]), _LONGEST_WAIT_SECONDS) if said and is_number else None
