"""Invitation codes: each lets a number of people sign up, until a time.

Invariant: a code lets in no more people than it says, however many use it at once; it is spent in the transaction
that registers the user, so a refused sign-up spends nothing.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import ColumnElement, case, func, literal, or_, select, update

from shared_accounts.audit import trail
from shared_accounts.crypto import fingerprint
from shared_accounts.errors import NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.users.models import Invitation

_PREVIEW_LENGTH = 6


def invite(
    admin_id: int | None, *, max_uses: int, expires_at: datetime | None, note: str | None
) -> tuple[Invitation, str]:
    """Make a code and return it with its row; nobody can read it again."""
    code = secrets.token_urlsafe(15)
    invitation = Invitation(
        fingerprint=fingerprint(code),
        preview=f"{code[:_PREVIEW_LENGTH]}...",
        note=note,
        created_by=admin_id,
        expires_at=expires_at,
        max_uses=max_uses,
    )
    db.session.add(invitation)
    db.session.flush()
    trail.record("invitation.created", target=f"invitation:{invitation.id}", max_uses=max_uses)
    return invitation, code


def refuse_useless(code: str) -> None:
    """Raise `Unprocessable` for a code that lets nobody in, before any work is done; which reason is not told."""
    usable = select(Invitation.id).where(Invitation.fingerprint == fingerprint(code), *_USABLE)
    if db.session.scalar(usable) is None:
        raise _useless()


def spend(code: str) -> int:
    """Use a code up by one and return the invitation's id; raises `Unprocessable`."""
    used = update(Invitation).where(Invitation.fingerprint == fingerprint(code), *_USABLE)
    spent = db.session.scalar(used.values(uses=Invitation.uses + 1).returning(Invitation.id))
    if spent is None:
        raise _useless()
    return spent


def revoke(invitation_id: int) -> Invitation:
    """End a code; who came by it stays. Raises `NotFound`."""
    invitation = db.session.get(Invitation, invitation_id, with_for_update=True)
    if invitation is None:
        raise NotFound
    if invitation.revoked_at is None:
        invitation.revoked_at = func.now()
        trail.record("invitation.revoked", target=f"invitation:{invitation_id}")
        db.session.flush()
    return invitation


def page(number: int, size: int) -> tuple[list[tuple[Invitation, str]], int]:
    """Return one page of all invitations with their `STATE`, newest first, and how many there are."""
    query = select(Invitation, STATE).order_by(Invitation.id.desc()).limit(size).offset((number - 1) * size)
    rows = [(invitation, state) for invitation, state in db.session.execute(query)]
    return rows, db.session.scalar(select(func.count()).select_from(Invitation)) or 0


_USABLE = (
    Invitation.uses < Invitation.max_uses,
    Invitation.revoked_at.is_(None),
    or_(Invitation.expires_at.is_(None), Invitation.expires_at > func.now()),
)


STATE: ColumnElement[str] = case(
    (Invitation.revoked_at.is_not(None), literal("revoked")),
    (Invitation.uses >= Invitation.max_uses, literal("used up")),
    (Invitation.expires_at <= func.now(), literal("expired")),
    else_=literal("open"),
)
"""Whether a code still lets somebody in, and if not, why."""


def _useless() -> Unprocessable:
    return Unprocessable("This invitation is unknown, used up or over.", field="invitation_code")
