"""Contribute and change accounts, and the quota that follows.

Invariant: an owner's pools hold, for each of her shared accounts, exactly one credit per model group; what an
account credited is what its `withdrawal` takes back, whatever happened in between. Toggling, editing or
bringing an account again therefore mints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from shared_accounts.accounts import earnings, presets, standing, upstream_oauth
from shared_accounts.accounts.earnings import Bearing
from shared_accounts.accounts.models import Account
from shared_accounts.config import Settings
from shared_accounts.crypto import Vault
from shared_accounts.errors import Conflict, NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.outbound.addresses import Target

_UNMISTAKABLE = 24  # a key this long is unique in the world; a shorter one ("ollama") only at its host
_MOST_MODELS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An account as its contributor describes it; the credential has been proved."""

    name: str
    base_url: str
    target: Target
    credential: str
    sharing: str
    models: list[str]
    allowance_tokens: int
    window_hours: int
    max_concurrency: int | None
    tokens: upstream_oauth.Tokens | None = None
    preset: str | None = None

    @property
    def bearing(self) -> Bearing:
        """What its credit would hang on."""
        return Bearing(sharing=self.sharing, models=unique(self.models), allowance_tokens=self.allowance_tokens)


def contribute(owner_id: int, offer: Offer, *, vault: Vault, settings: Settings) -> Account:
    """Add an account and, if it is shared, raise its owner's pools; raises `Conflict` for a credential known here."""
    account = Account(
        owner_id=owner_id,
        name=offer.name,
        base_url=offer.base_url,
        fingerprint=vault.fingerprint(_identity(offer)),
        sharing=offer.sharing,
        models=unique(offer.models),
        allowance_tokens=offer.allowance_tokens,
        window_hours=offer.window_hours,
        max_concurrency=offer.max_concurrency,
        preset=offer.preset,
    )
    _insert(account, offer.credential, vault)
    if offer.tokens:
        upstream_oauth.seal(account, offer.tokens, vault)
    earnings.credit(account, settings)
    standing.note(account.id, None, "active", "contributed", actor_id=owner_id)
    return account


def refuse_change(account: Account, changes: Mapping[str, object]) -> None:
    """Raise `Conflict` or `Unprocessable` for what an owner may not change."""
    if account.state == "draining":
        raise Conflict("This account is being withdrawn.")
    if account.preset == presets.PLUGIN and changes.get("sharing") == "shared":
        raise Unprocessable("This is your key at the Plug-in API; share your accounts there.", field="sharing")


def change(account: Account, changes: Mapping[str, Any], settings: Settings) -> None:
    """Apply an owner's changes; the credit is taken back and given anew when they bear on it."""
    refuse_change(account, changes)
    changes = {**changes, **_models(account, **changes)}
    paused = changes.pop("paused", None)
    bearing = any(getattr(account, name) != changes.get(name, getattr(account, name)) for name in earnings.BEARING)
    if bearing:
        earnings.take_back(account)
    for name, value in changes.items():
        setattr(account, name, value)
    if bearing:
        earnings.credit(account, settings)
    if paused is not None:
        _pause(account, paused=bool(paused))


def _models(
    account: Account, models: list[str] | None = None, models_off: list[str] | None = None, **_: object
) -> dict[str, object]:
    """Return what is switched on and off: no name is both."""
    on = account.models if models is None else unique(models)
    off = account.models_off if models_off is None else models_off
    return {"models": on, "models_off": [name for name in dict.fromkeys(off) if name not in on]}


def replace_credential(account: Account, credential: str, vault: Vault, target: Target) -> None:
    """Give an account another credential of the same owner; raises `Conflict` when it is known here already."""
    with _known_once():
        account.sealed_credential = vault.seal(credential, purpose=f"account:{account.id}")
        account.fingerprint = vault.fingerprint(_recognised_by(credential, target))


def refuse_known(offer: Offer, vault: Vault) -> None:
    """Raise `Conflict` if the credential is known here, as `contribute` would."""
    known = select(Account.id).where(
        Account.fingerprint == vault.fingerprint(_identity(offer)), Account.state != "withdrawn"
    )
    if db.session.scalar(known) is not None:
        raise _known_here()


def mine(owner_id: int, account_id: int) -> Account:
    """Return an owner's account, locked against a second change; somebody else's is as unknown as none."""
    query = select(Account).where(Account.id == account_id, Account.owner_id == owner_id, Account.state != "withdrawn")
    account = db.session.scalar(query.with_for_update())
    if account is None:
        raise NotFound
    return account


def unique(models: list[str]) -> list[str]:
    """Return the names once each, in their order; raises `Unprocessable` when there are none or too many."""
    names = list(dict.fromkeys(models))
    if not 1 <= len(names) <= _MOST_MODELS:
        raise Unprocessable(f"An account serves between 1 and {_MOST_MODELS} models; name them.", field="models")
    return names


def _identity(offer: Offer) -> str:
    if offer.tokens and (known := upstream_oauth.identity(offer.tokens, offer.target)):
        return known
    return _recognised_by(offer.credential, offer.target)


def _recognised_by(credential: str, target: Target) -> str:
    return credential if len(credential) >= _UNMISTAKABLE else f"{target.origin.authority} {credential}"


def _insert(account: Account, credential: str, vault: Vault) -> None:
    # The id is part of what is sealed, so the row is written in two steps within one savepoint.
    account.state = "withdrawn"
    with _known_once():
        db.session.add(account)
        db.session.flush()
        account.sealed_credential = vault.seal(credential, purpose=f"account:{account.id}")
        account.state = "active"


@contextmanager
def _known_once() -> Iterator[None]:
    try:
        with db.session.begin_nested():
            yield
    except IntegrityError:
        raise _known_here() from None


def _known_here() -> Conflict:
    return Conflict("This credential has been contributed already.", field="api_key")


def _pause(account: Account, *, paused: bool) -> None:
    db.session.flush()
    moved = (
        standing.take_out(account.id, "paused", "paused by its owner", actor_id=account.owner_id)
        if paused
        else _resume(account)
    )
    if moved:
        db.session.refresh(account)


def _resume(account: Account) -> bool:
    # An owner may lift her own pause and declare a broken credential mended, never undo an admin's verdict.
    return account.state in {"paused", "needs_sign_in", "broken"} and standing.bring_back(
        account.id, account.state, actor_id=account.owner_id
    )
