"""A refusal as a page: the same status and the same sentence, and what to do now.

It asks the database for nothing, since that may be what is missing.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, redirect, render_template, request, url_for

from shared_accounts.auth.refused import StaleSignIn

_KINDS = {HTTPStatus.NOT_FOUND: "missing", HTTPStatus.METHOD_NOT_ALLOWED: "missing"}


def as_page(response: Response) -> Response:
    """Put what the refusal says into words for a reader; who has to sign in is sent to do that."""
    told: dict[str, Any] = response.get_json()
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        return _to_the_entrance(again=told.get("error_code") == StaleSignIn.code)
    kind = _KINDS.get(HTTPStatus(response.status_code), "refused")
    page = render_template("screens/refused.html", kind=kind, told=told, wait=response.headers.get("Retry-After"))
    response.set_data(page)
    response.mimetype = "text/html"
    return response


def _to_the_entrance(*, again: bool) -> Response:
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    address = url_for("console.sign_in", next=wanted, again=1 if again else None)
    return redirect(address, 303)  # type: ignore[return-value]
