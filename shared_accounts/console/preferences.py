"""Language and light: a browser's own affair, kept in its cookies."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import redirect, request, url_for

from shared_accounts.auth import landing
from shared_accounts.console.door import open_act
from shared_accounts.console.frame import THEMES
from shared_accounts.console.language import LANGUAGES
from shared_accounts.console.language import zone as current_zone

_A_YEAR = 365 * 24 * 3600


@open_act("/preferences")
def prefer() -> Any:
    """Remember a language or a light, and show the same page again."""
    here = urlsplit(request.referrer or "")
    path = landing.local_path(here.path or "/") if here.netloc == request.host else "/"
    response = redirect(url_for("console.overview") if path == "/" else _with(path, here.query), 303)
    for name, allowed in (("theme", THEMES), ("lang", LANGUAGES)):
        if request.form.get(name) in allowed:
            response.set_cookie(
                name, request.form[name], max_age=_A_YEAR, httponly=True, samesite="Lax", secure=request.is_secure
            )
    return response


def zone_name() -> str:
    """Return the name of the reader's time zone."""
    return str(current_zone())


def _with(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path
