"""Who may come in: by password, by a provider's word, or for the first time."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2.errors import UniqueViolation
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from shared_accounts.audit import trail
from shared_accounts.auth import passwords
from shared_accounts.auth.models import Identity
from shared_accounts.auth.refused import AccountCreationDisabled, InactiveAtProvider, RegistrationClosed
from shared_accounts.config import Settings
from shared_accounts.errors import Conflict, InvalidCredentials, Unprocessable, UserDisabled
from shared_accounts.extensions import db
from shared_accounts.users import invitations, roster, standing
from shared_accounts.users.models import User


@dataclass(frozen=True, slots=True)
class SsoIdentity:
    """Who a provider says this is. Only (provider, subject) identifies; a None says that it did not tell."""

    provider: str
    subject: str
    username: str
    avatar_url: str | None
    trust_level: int | None
    silenced: bool | None
    active: bool
    trusted: bool


def with_password(username: str, password: str) -> User:
    """Return who proved herself by her password; raises `InvalidCredentials` or, only then, `UserDisabled`.

    An unknown name, a wrong password and a user without one look the same and take the same time. Whatever
    the session held before is dropped: no connection is kept while bcrypt runs.
    """
    found = roster.find_by_username(username)
    user_id, stored = (found.id, found.password_hash) if found else (None, None)
    db.session.close()
    if not passwords.verify(password, stored):
        trail.record("sign_in.refused", on=user_id, method="password")
        raise InvalidCredentials
    fresh = passwords.hash_password(password) if passwords.needs_rehash(stored or "") else stored
    user = db.session.scalar(select(User).where(User.id == user_id).with_for_update(key_share=True))
    if user is None or user.password_hash != stored:
        raise InvalidCredentials  # changed or gone while we were hashing
    if user.state == "disabled":
        raise UserDisabled
    user.password_hash = fresh
    db.session.flush()
    return user


def with_identity(identity: SsoIdentity, settings: Settings) -> User:
    """Return whose identity this is, registering an unknown person if that is allowed.

    Raises `InactiveAtProvider`, `AccountCreationDisabled` or `UserDisabled`. Two first sign-ins at once make one
    user: the unique (provider, subject) lets one of them win, the other finds her.
    """
    if not identity.active:
        raise InactiveAtProvider
    user = _known(identity) or _newcomer(identity, settings)
    if user.state == "disabled":
        raise UserDisabled
    if identity.trusted:
        standing.follow(user, trust_level=identity.trust_level, silenced=identity.silenced)
    user.avatar_url = identity.avatar_url or user.avatar_url
    db.session.flush()
    return user


def link(identity: SsoIdentity, user_id: int) -> None:
    """Let this identity sign this user in from now on; raises `Conflict` when it signs in somebody else."""
    known = _known(identity)
    if known is not None and known.id != user_id:
        raise Conflict("This identity belongs to another user here.")
    if known is None:
        try:
            with db.session.begin_nested():
                db.session.add(_row(identity, user_id))
        except IntegrityError as error:
            raise Conflict("This identity belongs to another user here.") from error
        trail.record("identity.linked", on=user_id, provider=identity.provider)


def sign_up(username: str, password: str, invitation_code: str | None, settings: Settings) -> User:
    """Register somebody who came by herself; raises `RegistrationClosed`, `Unprocessable` or `Conflict`.

    An invitation is spent only together with the registration. No connection is kept while bcrypt runs.
    """
    if settings.registration == "closed":
        raise RegistrationClosed
    by_invitation = settings.registration == "invite"
    if by_invitation and not invitation_code:
        raise Unprocessable("Signing up takes an invitation code here.", field="invitation_code")
    passwords.refuse_weak(password, username=username)
    if by_invitation:
        invitations.refuse_useless(invitation_code or "")
    if roster.find_by_username(username):
        raise Conflict("This user name is taken.", field="username")
    db.session.close()
    hashed = passwords.hash_password(password)
    invitation_id = invitations.spend(invitation_code or "") if by_invitation else None
    how = "invitation" if by_invitation else "sign-up"
    return roster.register(username, password_hash=hashed, how=how, invitation_id=invitation_id)


def _known(identity: SsoIdentity) -> User | None:
    mine = (Identity.provider == identity.provider) & (Identity.subject == identity.subject)
    row = db.session.scalar(select(Identity).where(mine))
    if row is None:
        return None
    user = db.session.scalar(select(User).where(User.id == row.user_id).with_for_update(key_share=True))
    row.last_used_at = func.now()
    row.name = identity.username
    return user


def _newcomer(identity: SsoIdentity, settings: Settings) -> User:
    if not settings.sso_registration:
        raise AccountCreationDisabled
    try:
        with db.session.begin_nested():
            user = roster.register_like(identity.username, how=f"sso:{identity.provider}")
            db.session.add(_row(identity, user.id))
            db.session.flush()
    except IntegrityError as error:
        winner = _known(identity) if isinstance(error.orig, UniqueViolation) else None
        if winner is None:
            raise
        return winner
    return user


def _row(identity: SsoIdentity, user_id: int) -> Identity:
    return Identity(
        user_id=user_id,
        provider=identity.provider,
        subject=identity.subject,
        name=identity.username,
        last_used_at=func.now(),
    )
