"""A user's sessions, as a list she can end one by one or all at once."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, func, select, update

from shared_accounts.auth.models import Session
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db

_REMEMBERED_DAYS = 30
_PLATFORMS = ("iPhone", "iPad", "Android", "Windows", "Mac OS X", "CrOS", "Linux")
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))


def live(user_id: int) -> list[Session]:
    """Return the sessions that are still good, the one used last first."""
    mine = select(Session).where(Session.user_id == user_id, *_LIVE).order_by(Session.last_seen_at.desc(), Session.id)
    return list(db.session.scalars(mine))


def end(user_id: int, session_id: UUID, *, because: str = "ended by the user") -> None:
    """End one of a user's sessions at once; raises `NotFound` when it is not hers or is over."""
    hers = update(Session).where(Session.id == session_id, Session.user_id == user_id, *_LIVE)
    ended = hers.values(revoked_at=func.now(), ended_because=because).returning(Session.id)
    if db.session.scalar(ended) is None:
        raise NotFound


def end_all(user_id: int, *, because: str, but: UUID | None = None) -> int:
    """End all of a user's sessions, or all but one; returns how many."""
    hers = update(Session).where(Session.user_id == user_id, *_LIVE)
    if but is not None:
        hers = hers.where(Session.id != but)
    ended = hers.values(revoked_at=func.now(), ended_because=because).returning(Session.id)
    return len(db.session.scalars(ended).all())


def forget_old() -> int:
    """Delete the sessions that have been over for a month; returns how many."""
    over = func.least(Session.expires_at, func.coalesce(Session.revoked_at, Session.expires_at))
    old = delete(Session).where(over < func.now() - func.make_interval(0, 0, 0, _REMEMBERED_DAYS))
    return len(db.session.scalars(old.returning(Session.id)).all())


def device(user_agent: str | None) -> str:
    """Name the device a user agent belongs to, roughly: "Firefox on Linux"."""
    text = user_agent or ""
    browser = next((name for mark, name in _BROWSERS if mark in text), text.partition("/")[0][:40] or "Unknown")
    platform = next((name for name in _PLATFORMS if name in text), None)
    return f"{browser} on {platform}" if platform else browser


_LIVE = (Session.revoked_at.is_(None), Session.expires_at > func.now())
