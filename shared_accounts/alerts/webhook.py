"""Webhooks, signed as Standard Webhooks has it: HMAC-SHA256 over id, time and body, all three in the headers.

Invariant: a webhook goes by https to a public address that was checked as the connection was made, or to one the
operator lists (`WEBHOOK_ALLOWED_HOSTS`); no redirect is followed, nothing of the answer but its status is looked at,
and the whole visit has ten seconds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from shared_accounts.alerts.failures import Undelivered
from shared_accounts.outbound.addresses import Guard, Origin
from shared_accounts.outbound.deadline import Deadline
from shared_accounts.outbound.line import Line
from shared_accounts.outbound.wire import Unreachable, Wire, request_head

_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_PREFIX = "whsec_"
_FIELD = "webhook_url"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a webhook goes."""

    origin: Origin
    path: str


def parse(url: str, allowed: tuple[str, ...]) -> Place:
    """Take a webhook's address apart; raises `Unprocessable` naming `webhook_url` when it cannot be used."""
    address, _, query = url.partition("?")
    target = Guard(allowed).parse(address, field=_FIELD)
    if query:
        Guard(allowed).parse(f"https://query/{query}", field=_FIELD)  # of the same characters, and no fragment
    path = urlsplit(address).path or "/"
    return Place(target.origin, f"{path}?{query}" if query else path)


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return what proves that whoever sent this knows the secret, and when she sent it."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def send(url: str, secret: str, message_id: str, timestamp: int, body: bytes, *, allowed: tuple[str, ...]) -> None:
    """Post a body once; raises `Undelivered` unless the answer is a success. 410 means: never again."""
    place = parse(url, allowed)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }
    request = request_head("POST", place.origin, place.path, headers) + b"\r\n" + body
    status = _status(place.origin, request, allowed)
    if status not in range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES):
        raise Undelivered(f"the webhook answered {status}", for_good=status == HTTPStatus.GONE)


def _status(origin: Origin, request: bytes, allowed: tuple[str, ...]) -> int:
    wire = Wire(Guard(allowed), connect_timeout=_CONNECT_SECONDS)
    with Deadline(_SECONDS) as deadline, ExitStack() as lines:

        def hold(line: Line) -> None:
            lines.callback(line.close)
            deadline.hold(line)

        try:
            return wire.exchange(origin, request, _SECONDS, hold=hold).status
        except Unreachable as error:
            raise Undelivered("timed out" if deadline.passed else error.reason) from error
