"""What an admin does with accounts that are not hers: look, take one out, give it back, and say what it may be worth.

Invariant: whose credential it is stays hers to bring and to withdraw; nothing here reads or replaces it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Row, func, select

from shared_accounts.accounts import earnings, standing
from shared_accounts.accounts.models import Account
from shared_accounts.audit import trail
from shared_accounts.config import Settings
from shared_accounts.errors import Conflict, NotFound
from shared_accounts.extensions import db
from shared_accounts.quotas.forecast import units
from shared_accounts.users import roster
from shared_accounts.users.models import User


def page(
    number: int,
    size: int,
    *,
    search: str | None = None,
    owner: str | None = None,
    state: str | None = None,
    sharing: str | None = None,
) -> tuple[list[tuple[Account, str]], int]:
    """Return one page of everybody's accounts with their owners' names, newest first, and how many there are in all."""
    wanted: list[ColumnElement[bool]] = [Account.state == state if state else Account.state != "withdrawn"]
    if search:
        wanted.append(Account.name.icontains(search, autoescape=True))
    if owner:
        wanted.append(roster.named_like(owner))
    if sharing:
        wanted.append(Account.sharing == sharing)
    query = select(Account, User.username).join(User, User.id == Account.owner_id).where(*wanted)
    total = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    found = db.session.execute(query.order_by(Account.id.desc()).limit(size).offset((number - 1) * size))
    return [(account, username) for account, username in found], total


def get(account_id: int) -> Row[tuple[Account, str]]:
    """Return an account and its owner's name; raises `NotFound`."""
    query = select(Account, User.username).join(User, User.id == Account.owner_id).where(Account.id == account_id)
    found = db.session.execute(query).one_or_none()
    if found is None:
        raise NotFound
    return found


def disable(account_id: int, reason: str, *, actor_id: int) -> None:
    """Take an account out of service; its owner reads the reason. One that is out already stays as it is."""
    account = _locked(account_id)
    if standing.disable(account_id, reason, actor_id=actor_id):
        trail.record("account.disabled", on=account.owner_id, target=f"account:{account_id}", reason=reason)
    db.session.refresh(account)


def enable(account_id: int, *, actor_id: int) -> None:
    """Give an account back to service that an admin had taken out; raises `Conflict` when none had."""
    account = _locked(account_id)
    if not standing.bring_back(account_id, "disabled", reason="enabled by an admin", actor_id=actor_id):
        raise Conflict("Only an account that an admin has disabled can be enabled.")
    trail.record("account.enabled", on=account.owner_id, target=f"account:{account_id}")
    db.session.refresh(account)


def set_worth(account_id: int, most: int | None, settings: Settings) -> None:
    """Say what an account may be worth at most, in micro-units; none: as the setting says. What it earns follows."""
    account = _locked(account_id)
    if account.max_worth == most:
        return
    account.max_worth = most
    db.session.flush()
    earnings.bring_up_to_date(account_id, settings)
    said = None if most is None else units(most)
    trail.record("account.worth_set", on=account.owner_id, target=f"account:{account_id}", max_worth=said)


def _locked(account_id: int) -> Account:
    query = select(Account).where(Account.id == account_id, Account.state.not_in(("draining", "withdrawn")))
    account = db.session.scalar(query.with_for_update())
    if account is None:
        raise NotFound
    return account
