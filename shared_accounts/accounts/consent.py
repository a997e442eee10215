"""Accounts whose owners consent at a provider instead of bringing a key: how to ask them, and what follows.

Invariant: nothing of what a provider gave is kept but its tokens, sealed, and those only once the upstream has accepted
them. Nothing here commits, and no transaction is open while a provider or an upstream takes its time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared_accounts import live_settings
from shared_accounts.accounts import contribution, probe, upstream_oauth
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.probe import Proof
from shared_accounts.accounts.upstream_oauth import Tokens
from shared_accounts.audit import trail
from shared_accounts.crypto import Vault
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.outbound.addresses import Guard, Target
from shared_accounts.outbound.wire import Wire
from shared_accounts.requests_in import settings
from shared_accounts.setting_values import UpstreamOAuth
from shared_accounts.users import standing


def provider(provider_id: str) -> UpstreamOAuth:
    """Return a provider that is set up here; raises `Unprocessable`."""
    found = upstream_oauth.find(settings().upstream_oauth_providers, provider_id)
    if found is None:
        raise Unprocessable("This provider is not set up here.", field="provider")
    return found


def address(asked: UpstreamOAuth, *, state: str, verifier: str) -> str:
    """Return where an owner consents; she lands where `exchange` says she did."""
    return upstream_oauth.authorization_url(asked, _redirect_uri(asked), state=state, verifier=verifier)


def exchange(begun: dict[str, Any], code: str) -> Tokens:
    """Exchange a code for what was begun with `{wish: {provider}, verifier}`.

    Raises `visits.BadAnswer` or `visits.NoAnswer`.
    """
    asked = provider(begun["wish"]["provider"])
    return upstream_oauth.exchange(asked, _redirect_uri(asked), code=code, verifier=begun["verifier"])


@dataclass(frozen=True, slots=True, repr=False)
class Consents:
    """Turns consents into accounts with what an application is made of."""

    wire: Wire
    guard: Guard
    vault: Vault

    def accept(self, owner_id: int, wish: dict[str, Any], tokens: Tokens) -> tuple[Account, Proof]:
        """Contribute what an owner wished for, or renew the account that she named."""
        return (self._renewed if "account_id" in wish else self._contributed)(owner_id, wish, tokens)

    def _contributed(self, owner_id: int, wish: dict[str, Any], tokens: Tokens) -> tuple[Account, Proof]:
        if wish["sharing"] == "shared":
            standing.refuse_sharing(owner_id)
        asked = provider(tokens.provider)
        declared = list(asked.models)
        target, proof = self._proved(asked.base_url, tokens, declared)
        limits = live_settings.current(settings())
        offer = contribution.Offer(
            name=wish.get("name", asked.name),
            base_url=asked.base_url.rstrip("/"),
            target=target,
            credential=tokens.access_token,
            sharing=wish["sharing"],
            models=proof.claimed(declared),
            allowance_tokens=wish.get("allowance_tokens", limits.reference_allowance_tokens),
            window_hours=wish.get("window_hours", 5),
            max_concurrency=wish.get("max_concurrency"),
            tokens=tokens,
        )
        account = contribution.contribute(owner_id, offer, vault=self.vault, settings=limits)
        _record("account.contributed", account)
        return account, proof

    def _renewed(self, owner_id: int, wish: dict[str, Any], tokens: Tokens) -> tuple[Account, Proof]:
        account = contribution.mine(owner_id, wish["account_id"])
        target, proof = self._proved(account.base_url, tokens, account.models)
        account = contribution.mine(owner_id, wish["account_id"])
        proof.claimed(account.models)
        upstream_oauth.renew(account, tokens, target, self.vault)
        _record("account.renewed", account)
        return account, proof

    def _proved(self, base_url: str, tokens: Tokens, models: list[str]) -> tuple[Target, Proof]:
        db.session.rollback()  # no connection is held while the upstream takes its time
        target = self.guard.parse(base_url)
        return target, probe.prove(self.wire, target, tokens.access_token, models)


def _record(act: str, account: Account) -> None:
    target = f"account:{account.id}"
    trail.record(act, on=account.owner_id, target=target, sharing=account.sharing, provider=account.oauth_provider)


def _redirect_uri(asked: UpstreamOAuth) -> str:
    return asked.redirect_uri or f"{settings().public_url}/api/accounts/oauth/callback"
