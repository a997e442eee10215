"""Everybody as an admin sees them, in as many queries for a page as for one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, cast, exists, func, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from shared_accounts.accounts.models import Account
from shared_accounts.auth.models import Identity, SecondFactor, Session
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db
from shared_accounts.keys.models import ApiKey
from shared_accounts.users import roster
from shared_accounts.users.models import User


def page(
    number: int, size: int, *, search: str | None = None, state: str | None = None, role: str | None = None
) -> tuple[list[Row[Any]], int]:
    """Return one page of people, newest first, and how many there are in all."""
    wanted: list[ColumnElement[bool]] = []
    if search:
        wanted.append(roster.named_like(search))
    if state:
        wanted.append(User.state == state)
    if role:
        wanted.append(User.role == role)
    query = _seen().where(*wanted).order_by(User.id.desc()).limit(size).offset((number - 1) * size)
    total = select(func.count()).select_from(User).where(*wanted)
    return list(db.session.execute(query)), db.session.scalar(total) or 0


def get(user_id: int) -> Row[Any]:
    """Return one of them; raises `NotFound`."""
    row = db.session.execute(_seen().where(User.id == user_id)).one_or_none()
    if row is None:
        raise NotFound
    return row


def _seen() -> Select[Any]:
    """Select what an admin sees; the password's hash never leaves the database."""
    return select(
        User.id,
        User.username,
        User.avatar_url,
        User.role,
        User.state,
        User.trust_level,
        User.state_by_hand,
        User.trust_by_hand,
        User.prefer_shared,
        User.use_only_dedicated,
        User.created_at,
        User.last_login_at,
        User.invitation_id,
        User.password_hash.is_not(None).label("has_password"),
        exists().where(SecondFactor.user_id == User.id, SecondFactor.confirmed_at.is_not(None)).label("second_factor"),
        _identities().label("identities"),
        _count(Session.user_id, Session.revoked_at.is_(None), Session.expires_at > func.now()).label("sessions"),
        _count(ApiKey.user_id).label("api_keys"),
        _count(Account.owner_id, Account.state != "withdrawn").label("accounts"),
    )


def _count(owner: Any, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count(owner)).where(owner == User.id, *conditions).scalar_subquery()


def _identities() -> ColumnElement[Any]:
    one = func.jsonb_build_object("provider", Identity.provider, "name", Identity.name)
    every = func.jsonb_agg(aggregate_order_by(one, Identity.id), type_=JSONB)
    return func.coalesce(select(every).where(Identity.user_id == User.id).scalar_subquery(), cast([], JSONB))
