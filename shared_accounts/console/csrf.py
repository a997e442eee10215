"""Proof that a form came from a page of ours: a keyed digest of its session, before that of a guest's cookie.

Invariant: a token is good for one session only; another user's, or a former session's, is refused (OWASP ASVS 3.5.1).
"""

from __future__ import annotations

import hmac
import secrets

from flask import Response, g, request

from shared_accounts.console import cookies
from shared_accounts.crypto import derive
from shared_accounts.errors import Forbidden
from shared_accounts.requests_in import settings

FIELD, HEADER = "csrf", "X-CSRF-Token"


class NotFromHere(Forbidden):
    """The form's token is missing, or that of another session."""

    code = "CSRF_REFUSED"
    message = "This form was open for too long, or came from another page. Load it anew and send it again."


def token() -> str:
    """Return the token for the forms of this answer; a guest without a cookie gets one."""
    return _of(_session() or _guest())


def check() -> None:
    """Raise `NotFromHere` unless what was sent carries this session's token, or this guest's.

    A form has it in a field, a script in a header, which no page of another site can set.
    """
    given = (request.headers.get(HEADER) or request.form.get(FIELD, "")).encode()
    known = filter(None, (_session(), cookies.read(cookies.GUEST)))
    if not any(hmac.compare_digest(_of(one).encode(), given) for one in known):
        raise NotFromHere


def remember(response: Response) -> Response:
    """Give a new guest the cookie that the token of her form hangs on."""
    if "new_guest" in g:
        cookies.put(response, cookies.GUEST, g.new_guest, None)
    return response


def _session() -> str:
    return f"session {g.person.session_id}" if "person" in g else ""


def _guest() -> str:
    known = cookies.read(cookies.GUEST) or g.get("new_guest")
    if not known:
        known = g.new_guest = secrets.token_urlsafe(32)
    return str(known)


def _of(whose: str) -> str:
    return hmac.new(derive(settings().secret_key, b"csrf"), whose.encode(), "sha256").hexdigest()
