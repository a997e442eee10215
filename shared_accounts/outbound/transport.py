"""One connection per question, each with what is left of a visit's time: how `visits` travel.

Invariant: a visit ends when its time is over, whatever the other side does. It may sleep, drip, stream for ever or
send us elsewhere: sockets have timeouts, a watchdog hangs up at the deadline, and a body has 256 KB at most. Nothing
is sent twice: a connection is never a kept one that may have gone stale, for what is sent may count only once.
"""

from __future__ import annotations

import functools
import io
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Timer
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from shared_accounts.outbound.visits import BadAnswer, NoAnswer

_CONNECT_SECONDS = 3.0
_READ_SECONDS = 5.0
_LARGEST = 256 * 1024
_MAY_EXPLAIN = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class Transport(BaseAdapter):
    """What a session of `requests` travels by until `ends`, by the monotonic clock."""

    def __init__(self, ends: float) -> None:
        super().__init__()
        self._ends = ends

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Ask once; raises `NoAnswer` or `BadAnswer`."""
        try:
            status, body = self._exchange(request)
        except (OSError, HTTPException, UnicodeError):
            raise NoAnswer from None
        if monotonic() >= self._ends:
            raise NoAnswer
        found = _object(body)
        if status != HTTPStatus.OK or found is None:
            raise BadAnswer((found or {}).get("error"))
        return _response(request, body)

    def close(self) -> None:
        """Nothing is kept, so there is nothing to close."""

    def _exchange(self, request: PreparedRequest) -> tuple[int, bytes]:
        with self._connected(str(request.url)) as connection:
            connection.request(str(request.method), request.path_url, request.body, dict(request.headers))
            answer = connection.getresponse()
            # What is longer is cut off, and then is no JSON object any more.
            is_read = answer.status == HTTPStatus.OK or answer.status in _MAY_EXPLAIN
            return answer.status, answer.read(_LARGEST) if is_read else b""

    @contextmanager
    def _connected(self, url: str) -> Iterator[HTTPConnection]:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        made = HTTPSConnection(host, port, context=tls()) if secure else HTTPConnection(host, port)
        raw = self._open(host, port)
        # A timeout of a socket's begins anew with every byte, so at the end of the visit somebody has to hang up.
        # The twin outlives what TLS does to the socket.
        with raw.dup() as twin:
            watchdog = Timer(max(0.0, self._ends - monotonic()), _hang_up, [twin])
            watchdog.daemon = True
            watchdog.start()
            try:
                made.sock = tls().wrap_socket(raw, server_hostname=host) if secure else raw
                yield made
            finally:
                watchdog.cancel()
                made.close()
                raw.close()

    def _open(self, host: str, port: int) -> socket.socket:
        problem: OSError = TimeoutError()
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            raw = socket.socket(family, kind, protocol)
            try:
                raw.settimeout(self._at_most(_CONNECT_SECONDS))
                raw.connect(address)
                raw.settimeout(self._at_most(_READ_SECONDS))
            except OSError as error:
                raw.close()
                problem = error
                continue
            return raw
        raise problem

    def _at_most(self, seconds: float) -> float:
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError
        return min(seconds, left)


@functools.cache
def tls() -> ssl.SSLContext:
    """Return the authorities we believe, read once per process."""
    return ssl.create_default_context()


def _hang_up(twin: socket.socket) -> None:
    with suppress(OSError):
        twin.shutdown(socket.SHUT_RDWR)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _response(request: PreparedRequest, body: bytes) -> Response:
    response = Response()
    response.status_code = HTTPStatus.OK
    response.url, response.request, response.encoding = str(request.url), request, "utf-8"
    response.raw = io.BytesIO(body)
    return response
