"""What keys and accounts are called, for a reader who may see only her own names.

Invariant: somebody else's account goes by its number and its owner's name, and somebody else's key by nothing: what
people call these things may say more than they want others to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import g
from sqlalchemy import select

from shared_accounts.accounts.models import Account
from shared_accounts.auth import sessions
from shared_accounts.console.language import say
from shared_accounts.extensions import db
from shared_accounts.keys.models import ApiKey
from shared_accounts.users.models import User


@dataclass(frozen=True, slots=True)
class Named:
    """An account as the reader knows it; `name` only if it is hers."""

    id: int
    owner_id: int
    owner: str
    name: str | None

    @property
    def is_own(self) -> bool:
        """Whether it is the reader's."""
        return self.name is not None

    @property
    def short(self) -> str:
        """What to call it where there is room for one word or two."""
        return self.name or f"{self.owner} \u00b7 #{self.id}"

    @property
    def in_words(self) -> str:
        """What to call it in a sentence."""
        return self.name or say("%(owner)s\u2019s account %(n)s", owner=self.owner, n=self.id)


def accounts(ids: Iterable[int]) -> dict[int, Named]:
    """Return these accounts by number."""
    query = select(Account.id, Account.owner_id, User.username, Account.name).join(User, User.id == Account.owner_id)
    found = db.session.execute(query.where(Account.id.in_(set(ids)))).tuples()
    return {one: Named(one, owner, who, name if owner == g.person.id else None) for one, owner, who, name in found}


def keys() -> dict[int, str]:
    """Return the reader's keys by number, the newest first."""
    mine = select(ApiKey.id, ApiKey.name).where(ApiKey.user_id == g.person.id).order_by(ApiKey.id.desc())
    return dict(db.session.execute(mine).tuples().all())


def device(user_agent: str | None) -> str:
    """Return which device a user agent belongs to, roughly, in the reader's words."""
    program, is_on, system = sessions.device(user_agent).rpartition(" on ")
    return say("%(program)s on %(system)s", program=program, system=system) if is_on else say(system)


def people(ids: Iterable[int]) -> dict[int, str]:
    """Return people's user names by number."""
    found = select(User.id, User.username).where(User.id.in_(set(ids)))
    return dict(db.session.execute(found).tuples().all())
