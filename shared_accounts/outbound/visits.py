"""How we ask an OAuth provider: everything for one person in one visit, within its seconds.

Invariant: an answer is status 200 and a JSON object; anything else is a `BadAnswer`, and none at all a `NoAnswer`.
Neither says what was sent or received. No redirect is followed, no cookie kept and no proxy variable read; a visit's
time is kept by `transport`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]

__all__ = ["BadAnswer", "NoAnswer", "OAuth2Session", "ask", "exchange", "refresh", "visit"]

_BEARER = re.compile(r"[\x21-\x7e]{1,16384}")
_REASONS = frozenset(
    ("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type")
)
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "shared_accounts",
}


class NoAnswer(Exception):
    """Nobody answered in time, or what answered does not speak HTTP."""


class BadAnswer(Exception):
    """It answered, but not with status 200 and a JSON object of bearable size.

    `reason` is an error code of RFC 6749 section 5.2 if it gave one, else empty; never any other word of its.
    """

    def __init__(self, reason: object = "") -> None:
        super().__init__()
        self.reason = reason if isinstance(reason, str) and reason in _REASONS else ""


def visit(seconds: float, **client: Any) -> OAuth2Session:
    """Begin a visit; it has so many seconds, beginning now, for all that is asked."""
    # Here, because each worker would spend 6 MB and a tenth of its start on what most of them never do.
    from authlib.integrations.requests_client import OAuth2Session  # noqa: PLC0415

    from shared_accounts.outbound.transport import Transport  # noqa: PLC0415

    session = OAuth2Session(code_challenge_method="S256", **client)
    session.trust_env = False
    session.headers = dict(_HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    transport = Transport(monotonic() + seconds)
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
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
    return _tokens(visit, endpoint, {**form, "redirect_uri": visit.redirect_uri})


def refresh(visit: OAuth2Session, endpoint: str, *, refresh_token: str) -> dict[str, Any]:
    """Exchange a refresh token for tokens, likewise; it may be spent even when this raises."""
    return _tokens(visit, endpoint, {"grant_type": "refresh_token", "refresh_token": refresh_token})


def _tokens(visit: OAuth2Session, endpoint: str, form: dict[str, str]) -> dict[str, Any]:
    # The session would refuse tokens for an `expires_in` it cannot read; by then a refresh token may be spent.
    client = visit.client_auth(visit.token_endpoint_auth_method)
    with _only_bad_answers():
        tokens: dict[str, Any] = visit.post(endpoint, data=form, auth=client).json()
    access_token = tokens.get("access_token")
    if "error" in tokens or not isinstance(access_token, str) or not _BEARER.fullmatch(access_token):
        raise BadAnswer(tokens.get("error"))
    return tokens


@contextmanager
def _only_bad_answers() -> Iterator[None]:
    """Turn what the libraries complain of into `BadAnswer`, and drop what they quote."""
    from requests.exceptions import RequestException  # noqa: PLC0415 - as above

    try:
        yield
    except (RequestException, ValueError):
        raise BadAnswer from None
