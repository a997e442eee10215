"""A refusal as a page: the same status and the same sentence, and what to do now.

It asks the database for nothing, since that may be what is missing.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, redirect, render_template, request, url_for

from shared_accounts.asked import asked
from shared_accounts.auth.refused import StaleSignIn
from shared_accounts.console.language import say, say_why
from shared_accounts.errors import BodyTooLarge

_KINDS = {HTTPStatus.NOT_FOUND: "missing", HTTPStatus.METHOD_NOT_ALLOWED: "missing"}
_LATER = "This cannot be done at the moment. Try again in a moment."
_PLAIN = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "What you sent is too large. Send less at once.",
    HTTPStatus.REQUEST_TIMEOUT: "This took too long. Try again.",
}
UNREAD = "Your browser sent something that cannot be read. Go back, load the page anew and try again."


def as_page(response: Response) -> Response:
    """Put what the refusal says into words for a reader; who has to sign in is sent to do that."""
    told: dict[str, Any] = response.get_json()
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        return _to_the_entrance(again=told.get("error_code") == StaleSignIn.code)
    status = HTTPStatus(response.status_code)
    page = render_template(
        "screens/refused.html",
        kind=_KINDS.get(status, "refused"),
        text=_why(status, told["message"]),
        told=told,
        wait=response.headers.get("Retry-After"),
        request_id=asked().id if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "",
    )
    response.set_data(page)
    response.mimetype = "text/html"
    return response


def _why(status: HTTPStatus, message: str) -> str:
    """Return a refusal's own words, or where it has none but its status's, what that means to somebody at a form."""
    if message not in {status.description, status.phrase, BodyTooLarge.message}:
        return say_why(message)
    return say(_PLAIN.get(status, _LATER if status >= HTTPStatus.INTERNAL_SERVER_ERROR else UNREAD))


def _to_the_entrance(*, again: bool) -> Response:
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    address = url_for("console.sign_in", next=wanted, again=1 if again else None)
    return redirect(address, 303)  # type: ignore[return-value]
