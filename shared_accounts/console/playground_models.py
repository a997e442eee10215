"""Which models a reader can talk to, and what pays for it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from shared_accounts.accounts import catalogue
from shared_accounts.accounts.models import Account
from shared_accounts.console import show
from shared_accounts.console.language import say
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger, rules
from shared_accounts.requests_in import settings
from shared_accounts.users import roster
from shared_accounts.users.roster import Caller


@dataclass(frozen=True, slots=True)
class Choice:
    """A model, the group that pays for it, and a few words on what is left."""

    name: str
    group: str
    left: str


def choices(user_id: int) -> list[Choice]:
    """Return the models that some account in service would answer for this reader, by name."""
    user = roster.get(user_id)
    caller = Caller(user.id, user.state, user.prefer_shared, user.use_only_dedicated, None, None, None)
    known = rules.current(reference=settings().reference_allowance_tokens)
    free = {pool.model_group: pool.balance - pool.reserved for pool in ledger.pools_of(user_id)}
    own = _own_models(user_id)
    found = [(model.name, known.of(model.name)) for model in catalogue.models_for(caller)]
    return [Choice(name, rule.group, _left(rule.group, free, own=rule.model in own)) for name, rule in found]


def left(group: str, free: int) -> str:
    """Say what is left of a group."""
    return say("%(left)s units left for %(group)s", left=show.plain_units(free), group=group)


def _left(group: str, free: dict[str, int], *, own: bool) -> str:
    if own:
        return say("Your own account serves it; that costs no quota.")
    return left(group, free.get(group, 0))


def _own_models(user_id: int) -> set[str]:
    model = func.unnest(Account.models)
    return set(db.session.scalars(select(model).where(Account.owner_id == user_id, Account.state == "active")))
