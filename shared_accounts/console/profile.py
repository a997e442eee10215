"""One's own sign-in: password, sessions, second factor, and which accounts go first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import g, render_template, request
from flask_limiter import RateLimitExceeded

from shared_accounts.audit import trail
from shared_accounts.auth import factors, identities, passwords, sessions
from shared_accounts.auth.account_api import prove_password
from shared_accounts.auth.guards import refuse_stale
from shared_accounts.auth.return_api import providers
from shared_accounts.auth.schemas import PasswordChange
from shared_accounts.console import forms
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.console.names import device
from shared_accounts.console.preferences import zone_name
from shared_accounts.errors import Conflict, TooManyRequests, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.plugin.api import changing
from shared_accounts.users import roster


@page("/profile")
def profile() -> Any:
    """Show who one is here and where one is signed in."""
    return _shown({})


@act("/profile/password")
def change_password() -> Any:
    """Change the password, or set a first one; other sessions end."""
    given, errors = forms.load(PasswordChange(), forms.values())
    if errors:
        return _shown(errors), 422
    try:
        _set_password(given["current_password"], given["new_password"])
    except (Unprocessable, Conflict) as refusal:
        db.session.rollback()
        return _shown(forms.wrong(refusal, otherwise="new_password")), refusal.status
    except RateLimitExceeded:
        db.session.rollback()
        return _shown({"current_password": say(TooManyRequests.message)}), 429
    return back("profile", said="password")


@act("/profile/preference")
def prefer_accounts() -> Any:
    """Have one's own accounts tried first, or everybody's, or one's own alone."""
    first = request.form.get("first")
    with changing() as pool:
        pool.set_preference(g.person.id, int(first == "shared"))
        user = roster.get(g.person.id)
        user.prefer_shared, user.use_only_dedicated = first == "shared", first == "only"
    return back("profile", said="preference")


@act("/profile/sessions/<uuid:session_id>/end")
def end_session(session_id: UUID) -> Any:
    """End one of one's sessions; its next request is refused."""
    sessions.end(g.person.id, session_id)
    trail.record("session.ended", on=g.person.id, target=f"session:{session_id}")
    db.session.commit()
    return back("profile", said="ended")


def _set_password(current: str | None, new: str) -> None:
    user = roster.get(g.person.id)
    stored, name = user.password_hash, user.username
    passwords.refuse_weak(new, username=name, field="new_password")
    if stored is None:
        refuse_stale()
    else:
        prove_password(name, current, field="current_password")
    db.session.rollback()  # no lock and no connection is kept while bcrypt runs
    hashed = passwords.hash_password(new)
    if not roster.set_password(g.person.id, hashed, instead_of=stored):
        raise Conflict("The password has just been changed elsewhere.")
    ended = sessions.end_all(g.person.id, because="the password was changed", but=g.person.session_id)
    trail.record("user.password_changed", on=g.person.id, sessions_ended=ended)
    db.session.commit()


def _shown(errors: Errors) -> str:
    names, mine = {one.id: one.name for one in providers().values()}, identities.mine(g.person.id)
    linked = {one.provider for one in mine}
    return render_template(
        "screens/profile.html",
        user=roster.get(g.person.id),
        sessions=[(one, device(one.user_agent)) for one in sessions.live(g.person.id)],
        identities=[(one, names.get(one.provider, one.provider)) for one in mine],
        linkable=[(key, name) for key, name in names.items() if key not in linked],
        newly_linked=names.get(request.args.get("identity_linked", ""), ""),
        link_error=request.args.get("sign_in_error", ""),
        has_factor=factors.enrolled(g.person.id),
        codes_left=factors.recovery_codes_left(g.person.id),
        zone=zone_name(),
        errors=errors,
        said=request.args.get("said", ""),
    )
