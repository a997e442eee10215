"""Everybody who is here: found, let in, silenced, disabled and restored."""

from __future__ import annotations

from typing import Any

from flask import render_template, request
from sqlalchemy import func, select

from shared_accounts.accounts.models import Account
from shared_accounts.admin import acts, people
from shared_accounts.admin.schemas import NewPerson, PeopleFilters
from shared_accounts.auth.models import Session
from shared_accounts.console import forms
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.forms import Errors
from shared_accounts.errors import Conflict, InvalidRequest, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.usage.models import UsageHour
from shared_accounts.users import roster, standing
from shared_accounts.users.models import User

_PAGE = 50
_DAYS = 7
_FILLED = ("username", "role", "trust_level")


@admin_page("/users")
def users() -> Any:
    """List people, newest first."""
    return _listed()


@admin_page("/users/new")
def new_user() -> Any:
    """Ask who is to be let in."""
    return _asked({})


@admin_act("/users")
def create_user() -> Any:
    """Let somebody in; the answer is the only page that ever shows her first password."""
    given, errors = forms.load(NewPerson(exclude=("password",)), forms.values())
    if errors:
        return _asked(errors), 422
    db.session.rollback()  # no connection is kept while bcrypt runs
    try:
        user, password = acts.register(given["username"], None, role=given["role"], how="admin")
        if "trust_level" in given:
            standing.set_trust(user, given["trust_level"])
    except (Unprocessable, Conflict) as refusal:
        db.session.rollback()
        return _asked(forms.wrong(refusal, otherwise="username")), refusal.status
    user_id, name = user.id, user.username
    db.session.commit()
    once = {"id": user_id, "username": name, "password": password, "is_new": True}
    return render_template("admin/password.html", once=once), 201


@admin_act("/users/<int:user_id>/state")
def set_user_state(user_id: int) -> Any:
    """Silence somebody, disable her, or let her act again; it bites on her very next request."""
    wanted, user = request.form.get("state", ""), roster.get(user_id)
    if wanted not in news.STATES:
        raise InvalidRequest("Say which state.", field="state")
    before, said = user.state, wanted
    try:
        standing.set_state(user, wanted)
        db.session.commit()
    except Conflict:
        db.session.rollback()
        before, said = "", "last_admin"
    if request.form.get("at") == "user":
        return news.tell("user", said, user_id=user_id, who=user_id, before=before)
    return news.tell("users", said, who=user_id, before=before)


def _listed() -> str:
    number = forms.number("page")
    filters = forms.filters(PeopleFilters())
    found, count = people.page(number, _PAGE, **filters)
    return render_template(
        "admin/users.html",
        people=found,
        activity=_activity([one.id for one in found]),
        states=_states(),
        filters=filters,
        count=count,
        number=number,
        pages=-(-count // _PAGE),
        news=news.told(),
    )


def _states() -> dict[str, int]:
    """Return how many people there are in each state."""
    return dict(db.session.execute(select(User.state, func.count()).group_by(User.state)).tuples().all())


def _activity(user_ids: list[int]) -> dict[int, Any]:
    """Return for each of these people what they share, what they drew in a week, and when they were last seen."""
    shares = select(func.count()).where(Account.owner_id == User.id, Account.sharing == "shared")
    drawn = select(func.coalesce(func.sum(UsageHour.charged), 0)).where(
        UsageHour.user_id == User.id, UsageHour.hour > func.now() - func.make_interval(0, 0, 0, _DAYS)
    )
    query = select(
        User.id,
        shares.where(Account.state != "withdrawn").scalar_subquery().label("shares"),
        drawn.scalar_subquery().label("drawn"),
        select(func.max(Session.last_seen_at)).where(Session.user_id == User.id).scalar_subquery().label("seen"),
    )
    return {row.id: row for row in db.session.execute(query.where(User.id.in_(user_ids)))}


def _asked(errors: Errors) -> str:
    filled = {name: request.form.get(name, "")[:100] for name in _FILLED}
    return render_template("admin/user_new.html", errors=errors, filled=filled)
