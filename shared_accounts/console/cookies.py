"""What a browser keeps of a sign-in: the session's two tokens, out of reach of every script.

Invariant: each cookie is HttpOnly, SameSite=Lax, without a domain and with the path `/`; over https it is Secure too
and has the prefix by which browsers hold it to that (`__Host-`, RFC 6265bis section 4.1.3.2). Lax and not Strict: the
way back from a sign-in provider begins on another site.
"""

from __future__ import annotations

from flask import Response, g, request

from shared_accounts.auth import tokens
from shared_accounts.auth.api import this_device
from shared_accounts.auth.refused import ReusedToken
from shared_accounts.auth.tokens import Issued
from shared_accounts.errors import NotSignedIn
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings

SESSION, RENEWAL, GUEST, CHALLENGE = "session_token", "renewal_token", "guest", "challenge"

_A_DAY = 24 * 3600


def read(name: str) -> str:
    """Return a cookie's value, nothing if there is none."""
    return request.cookies.get(_full(name), "")


def put(response: Response, name: str, value: str, seconds: int | None) -> None:
    """Have the browser keep a value, for so long or until it is closed."""
    secure = _is_secure()
    response.set_cookie(_full(name), value, max_age=seconds, secure=secure, httponly=True, samesite="Lax", path="/")


def drop(response: Response, *names: str) -> None:
    """Have the browser forget."""
    for name in names:
        response.delete_cookie(_full(name), secure=_is_secure(), httponly=True, samesite="Lax", path="/")


def give(response: Response, issued: Issued) -> Response:
    """Hand a session over; the guest's token and the challenge have served."""
    put(response, SESSION, issued.access_token, issued.expires_in)
    put(response, RENEWAL, issued.refresh_token, settings().refresh_token_expire_days * _A_DAY)
    drop(response, GUEST, CHALLENGE)
    g.session_decided = True
    return response


def take_back(response: Response) -> Response:
    """Forget the session."""
    drop(response, SESSION, RENEWAL, CHALLENGE)
    g.session_decided = True
    return response


def present() -> None:
    """Let the session's cookie, and nothing else, count as the bearer token that the guards ask for."""
    _count_as(read(SESSION))


def renew() -> None:
    """Exchange the renewal token for the next pair, which the answer takes along; raises `NotSignedIn`.

    A token that comes a second time, and not just now, ends the session (`auth/tokens.py`).
    """
    token, device = read(RENEWAL), this_device()
    if not token:
        raise NotSignedIn
    try:
        g.issued = tokens.rotate(token, user_agent=device.user_agent, address=device.address)
    except ReusedToken:
        db.session.commit()  # the session is over, whatever this request gets to hear
        raise
    db.session.commit()
    _count_as(g.issued.access_token)


def hand_over(response: Response) -> Response:
    """Give the browser the pair that `renew` got, unless the view has decided about the session already."""
    if "issued" in g and not g.get("session_decided"):
        give(response, g.issued)
    return response


def _count_as(token: str) -> None:
    request.environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"


def _full(name: str) -> str:
    return f"__Host-{name}" if _is_secure() else name


def _is_secure() -> bool:
    return request.is_secure or settings().public_url.startswith("https://")
