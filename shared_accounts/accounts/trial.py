"""Try the credential of an account that is here, as a chat would use it: fresh, if it came by consent.

Invariant: only an upstream that refuses a fresh token, or a consent that has ended, is a verdict on an account by
OAuth; a provider that is away is none. What is found out is said of the credential that was tried, and of no other that
took its place meanwhile. No transaction is open while an upstream takes its time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, select

from shared_accounts.accounts import probe
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.probe import CredentialRefused, Proof
from shared_accounts.accounts.refresher import Outcome, Refresher
from shared_accounts.crypto import Vault
from shared_accounts.errors import NotFound, ServiceError, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.outbound.addresses import Guard
from shared_accounts.outbound.wire import Wire

_OVER = "The provider no longer accepts the sign-in of this account; consent anew."
_NO_FRESH_TOKEN = "The upstream refuses this token, and its provider gives no fresh one now; try again later."  # noqa: S105

_TRIED = (
    Account.id,
    Account.base_url,
    Account.models,
    Account.preset,
    Account.oauth_provider,
    Account.sealed_credential,
)


@dataclass(frozen=True, slots=True, repr=False)
class Tried:
    """What a trial showed: what the upstream lists, or why it did not; `sealed` is the credential that was tried."""

    sealed: bytes | None
    proof: Proof
    refusal: ServiceError | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the credential is refused for good."""
        return isinstance(self.refusal, CredentialRefused)


class Trial:
    """Tries credentials with what an application is made of."""

    def __init__(self, wire: Wire, guard: Guard, vault: Vault, refresher: Refresher) -> None:
        self._wire = wire
        self._guard = guard
        self._vault = vault
        self._refresher = refresher

    def run(self, account_id: int, models: list[str] | None = None) -> Tried:
        """Ask an account's upstream for these models, or for one that it serves.

        The token of one by OAuth is exchanged first when it ends soon, and once when the upstream refuses it. The
        session is rolled back; the caller commits, for the end of a consent has consequences at once.
        """
        db.session.rollback()
        row = _read(account_id)
        if row is None or row.oauth_provider is None:
            return self._ask(account_id, models)
        return self._by_consent(row, models)

    def _by_consent(self, row: Row[Any], models: list[str] | None) -> Tried:
        outcome = self._refresher.refresh_now(row.id)
        if outcome is Outcome.REFUSED:
            return _nothing(row.sealed_credential, CredentialRefused(_OVER))
        tried = self._ask(row.id, models)
        if tried.is_refused and outcome:
            outcome = self._refresher.refresh_now(row.id, refused=self._unsealed(row.id, tried.sealed))
            if outcome:
                return self._ask(row.id, models)
        if tried.is_refused and not outcome.is_verdict:
            return replace(tried, refusal=Unprocessable(_NO_FRESH_TOKEN, field="api_key"))
        return tried

    def _ask(self, account_id: int, models: list[str] | None) -> Tried:
        row = _read(account_id)
        db.session.rollback()  # a refresher's lock goes with it: whoever waits for the account need not wait for this
        if row is None:
            return _nothing(None, NotFound())
        try:
            credential, target = self._unsealed(row.id, row.sealed_credential), self._guard.parse(row.base_url)
            # One model is enough: what else the account serves was proved when it was claimed.
            proof = probe.prove(self._wire, target, credential, models or row.models[:1], preset=row.preset)
        except ServiceError as refusal:
            return _nothing(row.sealed_credential, refusal)
        return Tried(row.sealed_credential, proof)

    def _unsealed(self, account_id: int, sealed: bytes | None) -> str:
        return self._vault.unseal(sealed or b"", purpose=f"account:{account_id}")


def _nothing(sealed: bytes | None, refusal: ServiceError) -> Tried:
    return Tried(sealed, Proof([], lists_models=False), refusal)


def _read(account_id: int) -> Row[Any] | None:
    query = select(*_TRIED).where(Account.id == account_id, Account.state != "withdrawn")
    return db.session.execute(query).one_or_none()
