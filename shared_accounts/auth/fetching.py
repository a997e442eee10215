"""How we ask a sign-in provider: everything for one person in one visit, within its seconds.

Invariant: a visit ends when its time is over, whatever the other side does. It may sleep, drip, stream for ever or
send us elsewhere: sockets have timeouts, a watchdog hangs up at the deadline, a body has 256 KB at most, no redirect
is followed, no cookie kept and no proxy variable read. An answer is status 200 and a JSON object; anything else is a
`BadAnswer`, and none at all a `ProviderUnreachable`. Neither says what was sent or received.
"""

from __future__ import annotations

import functools
import io
import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.cookiejar import DefaultCookiePolicy
from threading import Timer
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.requests_client import OAuth2Session, OAuthError  # type: ignore[import-untyped]
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.exceptions import RequestException

from shared_accounts.auth.refused import ProviderUnreachable

_CONNECT_SECONDS = 3.0
_READ_SECONDS = 5.0
_LARGEST = 256 * 1024
_BEARER = re.compile(r"[\x21-\x7e]{1,16384}")
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "shared_accounts",
}


class BadAnswer(Exception):
    """The provider answered, but not with status 200 and a JSON object of bearable size."""


def visit(seconds: float, **client: Any) -> OAuth2Session:
    """Begin a visit; it has so many seconds, beginning now, for all that is asked."""
    session = OAuth2Session(code_challenge_method="S256", **client)
    session.trust_env = False
    session.headers = dict(_HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    transport = _Transport(monotonic() + seconds)
    for scheme in ("https://", "http://"):
        session.mount(scheme, transport)
    return session


def ask(visit: OAuth2Session, url: str, *, bearer: str = "") -> dict[str, Any]:
    """GET a JSON object."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    with _only_bad_answers():
        # The session would like to look after the token itself, and to refresh one that says it has expired.
        return visit.get(url, headers=headers, withhold_token=True).json()  # type: ignore[no-any-return]


def exchange(visit: OAuth2Session, endpoint: str, *, code: str, verifier: str) -> dict[str, Any]:
    """Exchange a code for tokens; the result has an access token that fits into a header."""
    with _only_bad_answers():
        tokens: dict[str, Any] = visit.fetch_token(
            endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
        )
    access_token = tokens.get("access_token")
    if not isinstance(access_token, str) or not _BEARER.fullmatch(access_token):
        raise BadAnswer
    return tokens


@contextmanager
def _only_bad_answers() -> Iterator[None]:
    """Turn what the libraries complain of into `BadAnswer`, and drop what they quote."""
    try:
        yield
    except (OAuthError, RequestException, ValueError):
        raise BadAnswer from None


class _Transport(BaseAdapter):
    """One connection per question, each with what is left of the visit's time."""

    def __init__(self, ends: float) -> None:
        super().__init__()
        self._ends = ends

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        try:
            status, body = self._exchange(request)
        except (OSError, HTTPException, UnicodeError):
            raise ProviderUnreachable from None
        if monotonic() >= self._ends:
            raise ProviderUnreachable
        if status != HTTPStatus.OK or not _is_object(body):
            raise BadAnswer
        return _response(request, body)

    def close(self) -> None:
        """Nothing is kept, so there is nothing to close."""

    def _exchange(self, request: PreparedRequest) -> tuple[int, bytes]:
        with self._connected(str(request.url)) as connection:
            connection.request(str(request.method), request.path_url, request.body, dict(request.headers))
            answer = connection.getresponse()
            # What is longer is cut off, and then is no JSON object any more.
            return answer.status, answer.read(_LARGEST) if answer.status == HTTPStatus.OK else b""

    @contextmanager
    def _connected(self, url: str) -> Iterator[HTTPConnection]:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        made = HTTPSConnection(host, port, context=_tls()) if secure else HTTPConnection(host, port)
        raw = self._open(host, port)
        # A timeout of a socket's begins anew with every byte, so at the end of the visit somebody has to hang up.
        # The twin outlives what TLS does to the socket.
        with raw.dup() as twin:
            watchdog = Timer(max(0.0, self._ends - monotonic()), _hang_up, [twin])
            watchdog.daemon = True
            watchdog.start()
            try:
                made.sock = _tls().wrap_socket(raw, server_hostname=host) if secure else raw
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


def _hang_up(twin: socket.socket) -> None:
    with suppress(OSError):
        twin.shutdown(socket.SHUT_RDWR)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body.decode()), dict)
    except (ValueError, RecursionError):
        return False


def _response(request: PreparedRequest, body: bytes) -> Response:
    response = Response()
    response.status_code = HTTPStatus.OK
    response.url, response.request, response.encoding = str(request.url), request, "utf-8"
    response.raw = io.BytesIO(body)
    return response
