"""Codes that let people sign up: made and shown once, counted, revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import g, render_template, request, url_for

from shared_accounts import live_settings
from shared_accounts.admin.schemas import NewInvitation
from shared_accounts.console import forms
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings
from shared_accounts.users import invitations as codes
from shared_accounts.users.models import Invitation

_PAGE = 50
_DAYS = ("1", "7", "30", "")


@admin_page("/invitations")
def invitations() -> Any:
    """List invitations, newest first."""
    return _listed()


@admin_page("/invitations/new")
def new_invitation() -> Any:
    """Ask for how many people and for how long."""
    return _asked({})


@admin_act("/invitations")
def create_invitation() -> Any:
    """Make a code; the answer is the only page that ever shows it."""
    given = forms.values()
    days = given.pop("days", "")
    loaded, errors = forms.load(NewInvitation(only=("max_uses", "note")), given)
    if days not in _DAYS:
        errors = {**errors, "days": say("Choose one of these.")}
    if errors:
        return _asked(errors), 422
    until = datetime.now(UTC) + timedelta(days=int(days)) if days else None
    _, code = codes.invite(g.person.id, **loaded, expires_at=until)
    db.session.commit()
    return _listed(fresh=code), 201


@admin_page("/invitations/<int:invitation_id>/revoke")
def revoking_invitation(invitation_id: int) -> Any:
    """Say what revoking a code ends."""
    found = db.session.get(Invitation, invitation_id)
    if found is None:
        raise NotFound
    return render_template("admin/invitation_revoke.html", invitation=found)


@admin_act("/invitations/<int:invitation_id>/revoke")
def revoke_invitation(invitation_id: int) -> Any:
    """End a code; who came by it stays."""
    codes.revoke(invitation_id)
    db.session.commit()
    return news.tell("invitations", "revoked")


def _listed(*, fresh: str = "") -> str:
    number = forms.number("page")
    found, count = codes.page(number, _PAGE)
    return render_template(
        "admin/invitations.html",
        invitations=found,
        count=count,
        number=number,
        pages=-(-count // _PAGE),
        registration=live_settings.current(settings()).registration,
        fresh=fresh,
        address=url_for("console.sign_up", invitation_code=fresh, _external=True) if fresh else "",
        news=news.told(),
    )


def _asked(errors: Errors) -> str:
    filled = {name: request.form.get(name, "")[:200] for name in ("max_uses", "note", "days")}
    return render_template("admin/invitation_new.html", errors=errors, filled=filled, is_first=request.method == "GET")
