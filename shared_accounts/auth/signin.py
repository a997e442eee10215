"""Who may come in."""

from __future__ import annotations

from sqlalchemy import func, select

from shared_accounts.auth import passwords
from shared_accounts.errors import InvalidCredentials, UserDisabled
from shared_accounts.extensions import db
from shared_accounts.users import roster
from shared_accounts.users.models import User


def with_password(username: str, password: str) -> User:
    """Return who proved herself by her password; raises `InvalidCredentials` or, only then, `UserDisabled`.

    An unknown name, a wrong password and a user without one look the same and take the same time. Whatever
    the session held before is dropped: no connection is kept while bcrypt runs.
    """
    found = roster.find_by_username(username)
    user_id, stored = (found.id, found.password_hash) if found else (None, None)
    db.session.close()
    if not passwords.verify(password, stored):
        raise InvalidCredentials
    fresh = passwords.hash_password(password) if passwords.needs_rehash(stored or "") else stored
    user = db.session.scalar(select(User).where(User.id == user_id).with_for_update(key_share=True))
    if user is None or user.password_hash != stored:
        raise InvalidCredentials  # changed or gone while we were hashing
    if user.state == "disabled":
        raise UserDisabled
    user.password_hash = fresh
    user.last_login_at = func.now()
    db.session.flush()
    return user
