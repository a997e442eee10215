"""One person as an admin sees her: what she may do, how she signs in, and where."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import render_template, request

from shared_accounts.admin import acts, people
from shared_accounts.admin.schemas import PersonChange
from shared_accounts.auth import sessions
from shared_accounts.auth.return_api import providers
from shared_accounts.console import forms, pools
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.forms import Errors
from shared_accounts.console.names import device
from shared_accounts.errors import Conflict
from shared_accounts.extensions import db
from shared_accounts.users import roster, standing


@admin_page("/users/<int:user_id>")
def user(user_id: int) -> Any:
    """Show somebody."""
    return _shown(user_id, {})


@admin_act("/users/<int:user_id>")
def change_user(user_id: int) -> Any:
    """Change somebody's role and trust level."""
    given, errors = forms.load(PersonChange(only=("role", "trust_level")), forms.values())
    if errors:
        return _shown(user_id, errors), 422
    person = roster.get(user_id)
    try:
        standing.set_role(person, given.get("role", person.role))
    except Conflict:
        db.session.rollback()
        return news.tell("user", "last_admin", user_id=user_id)
    if given.get("trust_level", person.trust_level) != person.trust_level:
        standing.set_trust(person, given["trust_level"])
    db.session.commit()
    return news.tell("user", "saved", user_id=user_id)


@admin_act("/users/<int:user_id>/follow")
def follow_provider(user_id: int) -> Any:
    """Let the sign-in provider decide about her state and trust level again."""
    standing.let_provider_decide(roster.get(user_id), state=True, trust=True)
    db.session.commit()
    return news.tell("user", "follows", user_id=user_id)


@admin_page("/users/<int:user_id>/password")
def resetting_password(user_id: int) -> Any:
    """Say what a new password ends."""
    return render_template("admin/password_reset.html", user=roster.get(user_id))


@admin_act("/users/<int:user_id>/password")
def reset_password(user_id: int) -> Any:
    """Make a new password up; the answer is the only page that ever shows it, and all her sessions end."""
    name = roster.get(user_id).username
    db.session.rollback()  # no connection is kept while bcrypt runs
    password = acts.set_password(user_id, name, None)
    db.session.commit()
    once = {"id": user_id, "username": name, "password": password, "is_new": False}
    return render_template("admin/password.html", once=once)


@admin_act("/users/<int:user_id>/second-factor")
def reset_factor(user_id: int) -> Any:
    """Take her second factor away, for when she has lost it; all her sessions end."""
    acts.reset_second_factor(roster.get(user_id).id)
    db.session.commit()
    return news.tell("user", "factor", user_id=user_id)


@admin_act("/users/<int:user_id>/sessions")
def end_user_sessions(user_id: int) -> Any:
    """End all her sessions; API keys go on."""
    acts.end_sessions(roster.get(user_id).id)
    db.session.commit()
    if request.form.get("at") == "user":
        return news.tell("user", "sessions", user_id=user_id)
    return news.tell("users", "sessions", who=user_id)


@admin_act("/users/<int:user_id>/sessions/<uuid:session_id>/end")
def end_user_session(user_id: int, session_id: UUID) -> Any:
    """End one of her sessions; its next request is refused."""
    acts.end_session(user_id, session_id)
    db.session.commit()
    return news.tell("user", "session", user_id=user_id)


def _shown(user_id: int, errors: Errors) -> str:
    names = {one.id: one.name for one in providers().values()}
    found = people.get(user_id)
    return render_template(
        "admin/user.html",
        user=found,
        sessions=[(one, device(one.user_agent)) for one in sessions.live(user_id)],
        identities=[{**one, "provider": names.get(one["provider"], one["provider"])} for one in found.identities],
        pools=pools.of(user_id),
        errors=errors,
        news=news.told(),
    )
