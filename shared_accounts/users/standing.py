"""What a user may do: her role, her state, her trust level; and who decided it.

Invariant: there is always an admin who may act, that is, an active one. And what an admin decided by hand no provider
undoes, until an admin lets the provider decide again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from shared_accounts.audit import trail
from shared_accounts.errors import Conflict, NotFound, TrustTooLow
from shared_accounts.extensions import db
from shared_accounts.users.models import TrustLevel, User

_ADMINS_LOCK = 0x5A02  # any number, as long as nobody else locks it


def set_state(user: User, state: str) -> None:
    """Make a user active, silenced or disabled, by hand; it bites on her very next request.

    Raises `Conflict` for the last active admin, who could not undo it.
    """
    _take_turns(user)
    if user.state == state and user.state_by_hand:
        return
    if state != "active":
        _keep_an_admin(user)
    user.state, user.state_by_hand = state, True
    trail.record("user.restored" if state == "active" else f"user.{state}", on=user.id)
    db.session.flush()


def set_role(user: User, role: str) -> None:
    """Make a user an admin, or an admin a user; raises `Conflict` for the last active admin."""
    _take_turns(user)
    if user.role == role:
        return
    if role != "admin":
        _keep_an_admin(user)
    user.role = role
    trail.record("user.role_set", on=user.id, role=role)
    db.session.flush()


def set_trust(user: User, level: int) -> None:
    """Set a trust level by hand."""
    if user.trust_level == level and user.trust_by_hand:
        return
    user.trust_level, user.trust_by_hand = level, True
    trail.record("user.trust_set", on=user.id, trust_level=level)
    db.session.flush()


def let_provider_decide(user: User, *, state: bool = False, trust: bool = False) -> None:
    """Give the state or the trust level back to the sign-in provider, from the next sign-in on."""
    state, trust = state and user.state_by_hand, trust and user.trust_by_hand
    if not state and not trust:
        return
    user.state_by_hand = user.state_by_hand and not state
    user.trust_by_hand = user.trust_by_hand and not trust
    trail.record("user.follows_provider", on=user.id, state=state, trust=trust)
    db.session.flush()


def follow(user: User, *, trust_level: int | None, silenced: bool | None) -> None:
    """Take a trusted provider's word, where it gave one and no admin decided.

    Nobody is enabled or disabled by it, and no admin silenced: that could be the last one.
    """
    if trust_level is not None and not user.trust_by_hand and user.trust_level != trust_level:
        user.trust_level = trust_level
        trail.record("user.trust_set", on=user.id, trust_level=trust_level, by="provider")
    state = {True: "silenced", False: "active", None: user.state}[silenced]
    if user.role == "admin" and state == "silenced":
        return
    if user.state != "disabled" and not user.state_by_hand and user.state != state:
        user.state = state
        trail.record("user.silenced" if silenced else "user.restored", on=user.id, by="provider")


def allowance(user_id: int) -> TrustLevel:
    """Return what this user's trust level allows."""
    mine = select(TrustLevel).join(User, User.trust_level == TrustLevel.level).where(User.id == user_id)
    return db.session.execute(mine).scalar_one()


def refuse_sharing(user_id: int) -> None:
    """Raise `TrustTooLow` when this user may not share accounts."""
    if not allowance(user_id).may_share:
        raise TrustTooLow


def trust_levels() -> list[TrustLevel]:
    """Return the table of limits, lowest level first."""
    return list(db.session.scalars(select(TrustLevel).order_by(TrustLevel.level)))


def change_trust_level(level: int, changes: dict[str, Any]) -> TrustLevel:
    """Change what people of a trust level may do, from their next request on; raises `NotFound`."""
    found = db.session.get(TrustLevel, level, with_for_update=True)
    if found is None:
        raise NotFound
    changed = {name: value for name, value in changes.items() if getattr(found, name) != value}
    for name, value in changed.items():
        setattr(found, name, value)
    if changed:
        trail.record("trust_level.changed", target=f"trust_level:{level}", **changed)
        db.session.flush()
    return found


def _take_turns(user: User) -> None:
    """Let nobody else change who may administer until this transaction ends, and see the user as she is now.

    Two admins who demote each other at once take turns here, and the second finds what the first has done.
    """
    db.session.execute(select(func.pg_advisory_xact_lock(_ADMINS_LOCK)))
    db.session.refresh(user, with_for_update={"key_share": True})


def _keep_an_admin(leaving: User) -> None:
    """Raise `Conflict` if nobody could administer without this user."""
    if leaving.role != "admin" or leaving.state != "active":
        return
    others = select(User.id).where(User.role == "admin", User.state == "active", User.id != leaving.id).limit(1)
    if db.session.scalar(others) is None:
        raise Conflict("This is the last admin; make another one first.")
