"""Which accounts elsewhere sign somebody in here."""

from __future__ import annotations

from sqlalchemy import func, select

from shared_accounts.audit import trail
from shared_accounts.auth.models import Identity
from shared_accounts.errors import Conflict, NotFound
from shared_accounts.extensions import db
from shared_accounts.users.models import User


def mine(user_id: int) -> list[Identity]:
    """Return a user's identities, oldest first."""
    return list(db.session.scalars(select(Identity).where(Identity.user_id == user_id).order_by(Identity.id)))


def remove(user_id: int, identity_id: int) -> None:
    """Let an identity sign nobody in any more; raises `NotFound`, or `Conflict` for the last way in.

    The user's row is locked, so that two removals at once cannot each leave the other as the last way in.
    """
    user = db.session.scalars(select(User).where(User.id == user_id).with_for_update()).one()
    found = db.session.scalar(select(Identity).where(Identity.id == identity_id, Identity.user_id == user_id))
    if found is None:
        raise NotFound
    ways = db.session.scalar(select(func.count()).select_from(Identity).where(Identity.user_id == user_id))
    if user.password_hash is None and ways == 1:
        raise Conflict("This is your only way to sign in; set a password first.")
    db.session.delete(found)
    trail.record("identity.unlinked", on=user_id, provider=found.provider)
    db.session.flush()
