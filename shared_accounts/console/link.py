"""Linking a sign-in provider to oneself, and taking it away again.

The way there is a link on a page of ours that a form has led to: no other site can begin it, and our policy lets no
form lead elsewhere.
"""

from __future__ import annotations

from typing import Any

from flask import g, make_response, render_template
from flask_limiter import RateLimitExceeded

from shared_accounts.auth import browser_api as browser
from shared_accounts.auth import identities
from shared_accounts.auth.guards import refuse_stale
from shared_accounts.auth.return_api import leave, providers
from shared_accounts.console.door import act, back
from shared_accounts.errors import Conflict
from shared_accounts.extensions import db


@act("/profile/identities/<provider>")
def link_identity(provider: str) -> Any:
    """Begin to link an account at a provider; the way back is that of a sign-in."""
    refuse_stale()
    try:
        address, _, cookie = leave(provider, "/profile", link_user_id=g.person.id)
    except RateLimitExceeded:
        return back("profile", said="too_many")
    name = providers()[provider].name
    return browser.remember(make_response(render_template("screens/link.html", name=name, address=address)), cookie)


@act("/profile/identities/<int:identity_id>/unlink")
def unlink_identity(identity_id: int) -> Any:
    """Let an account elsewhere sign nobody in any more; the only way in stays."""
    refuse_stale()
    try:
        identities.remove(g.person.id, identity_id)
    except Conflict:
        db.session.rollback()
        return back("profile", said="only_way")
    db.session.commit()
    return back("profile", said="unlinked")
