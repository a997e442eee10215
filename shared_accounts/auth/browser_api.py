"""What single sign-on needs of a browser: to be the same one when it comes back, and to land with us.

Invariant: the cookie holds nothing but a random value, so having it proves only which browser this is. What is kept
of it elsewhere is a fingerprint.
"""

from __future__ import annotations

import re
import secrets

from flask import Response, redirect, request

from shared_accounts.auth import landing, sso
from shared_accounts.requests_in import settings

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")
_JSON, _PAGE = "application/json", "text/html"


def wants_page() -> bool:
    """Tell somebody who looks at pages from a program; `*/*` is a program's."""
    return request.accept_mimetypes.best_match([_JSON, _PAGE]) == _PAGE


def cookie() -> str | None:
    """Return the value of this browser's cookie, if it is one that we could have set."""
    value = request.cookies.get(_name(), "")
    return value if _VALUE.fullmatch(value) else None


def new_cookie() -> str:
    """Return the value this browser has, so that tabs side by side do not disturb each other, or a new one."""
    return cookie() or secrets.token_urlsafe(32)


def remember(response: Response, value: str) -> Response:
    """Give the browser its cookie: Lax, for the way back is a link on the provider's site."""
    response.set_cookie(
        _name(), value, max_age=sso.SECONDS, path="/", secure=_is_secure(), httponly=True, samesite="Lax"
    )
    return response


def send(address: str) -> Response:
    """Send the browser elsewhere; neither kept by a cache nor told to whom it is sent."""
    response: Response = redirect(address)  # type: ignore[assignment]
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def land(path: str, **news: str) -> Response:
    """Send the browser to a page of ours, or of the front end elsewhere."""
    return send(landing.address(settings().front_end_url or settings().public_url, path, **news))


def lands_elsewhere() -> bool:
    """Tell whether the pages have another origin, so that our cookie will not come from there."""
    pages = settings().front_end_url
    return bool(pages) and not landing.same_origin(pages, settings().public_url)


def _name() -> str:
    return "__Host-sso" if _is_secure() else "sso"


def _is_secure() -> bool:
    return settings().public_url.startswith("https://")
