"""Keep the tokens of accounts contributed by OAuth fresh: before they end, and when an upstream refuses one.

Invariant: a refresh token may be good for one use only, so at any moment one process at most is using an account's,
and what it got is stored before the next may look. Hence the advisory lock, which the transaction holds that is open
while the token endpoint takes its time, 8 s at most. That is the price, and it is small: such a transaction locks no
row and keeps no snapshot, so nobody waits for it but another refresher of the same account, and no process holds more
than `_PLACES` of them. A lease written into the row could end before the call it covers; this lock ends when its
holder does. New tokens are stored by a statement of their own, which tries again if its connection is lost, and only
if the token that was spent is still the account's: neither a caller's rollback nor a new consent meanwhile loses any.

An `invalid_grant` is the one verdict. Silence, a 5xx or a page of HTML says nothing about the account.
"""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Iterator, Sequence
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Row, func, select, text, update

from shared_accounts.accounts import standing, upstream_oauth
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.upstream_oauth import Tokens
from shared_accounts.crypto import Vault
from shared_accounts.errors import CredentialUnreadable, DatabaseUnavailable
from shared_accounts.extensions import db, statements
from shared_accounts.outbound.visits import BadAnswer, NoAnswer
from shared_accounts.setting_values import UpstreamOAuth

log = logging.getLogger(__name__)

_LOCKS = 0x5A03 << 40  # and up: one number per account, which nobody else locks
_PLACES = 3
_RUN_SECONDS = 25.0  # with one last call and the storing of its result well within a task's time
_PATIENCE_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.2
_STORE_TRIES = 3

# Once a minute from ten minutes before the end, then less and less often, every eight minutes after an hour. The
# account's number spreads those that fell due together; `random()` keeps one that hangs from always coming first.
_DUE = text("""
select id, oauth_provider from (
    select id, oauth_provider, floor(extract(epoch from now() - credential_expires_at) / 60 + 10)::bigint as minutes
    from accounts
    where sealed_refresh_token is not null and state <> 'disabled'
      and credential_expires_at < now() + interval '10 minutes') as late
where (minutes + id) % (case when minutes < 16 then 1 when minutes < 32 then 2 when minutes < 64 then 4 else 8 end) = 0
order by random()
""")

statements.register(
    "keep_tokens",
    ("bigint", "bytea", "bytea", "bytea", "double precision"),
    """update accounts set sealed_credential = $3, sealed_refresh_token = $4,
        credential_expires_at = now() + make_interval(secs => $5)
    where id = $1 and sealed_refresh_token = $2 returning id""",
)


class Outcome(enum.Enum):
    """What became of an attempt; true only if there is a fresh token now."""

    FRESH = "fresh"
    REFUSED = "refused"  # the consent is accepted no longer: out of service, and the refresh token forgotten
    HOPELESS = "hopeless"  # there is no refresh token
    UNCLEAR = "unclear"  # an answer that is no verdict
    AWAY = "away"  # no answer in time

    def __bool__(self) -> bool:
        return self is Outcome.FRESH

    @property
    def is_verdict(self) -> bool:
        """Whether it is certain that only a new consent helps."""
        return self in {Outcome.REFUSED, Outcome.HOPELESS}


class Refresher:
    """Exchanges refresh tokens with the providers that are set up here. The caller commits, at once."""

    def __init__(
        self, providers: Sequence[UpstreamOAuth], vault: Vault, *, seconds: float = upstream_oauth.SECONDS
    ) -> None:
        self._providers = providers
        self._vault = vault
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(_PLACES)

    def refresh_due(self) -> Iterator[Outcome]:
        """Refresh what ends within ten minutes or has ended; commit after each, which lets the account go.

        A provider that does not answer is left alone for the rest of the run. Beside another run, or a second time,
        it finds nothing to do.
        """
        ends = monotonic() + _RUN_SECONDS
        away: set[str] = set()
        for account_id, provider_id in db.session.execute(_DUE).all():
            if monotonic() > ends:
                return
            if provider_id in away:
                continue
            outcome = self._attempt(account_id)
            if outcome is Outcome.AWAY:
                away.add(provider_id)
            if outcome is not None:
                yield outcome

    def refresh_now(self, account_id: int, *, refused: str | None = None) -> Outcome:
        """Replace a credential that its upstream has just refused, unless that has been done since.

        Without `refused`: one that has ended or will within ten minutes. While somebody else is at it, this waits for
        the result, up to ten seconds and without a connection: the session is rolled back.
        """
        ends = monotonic() + _PATIENCE_SECONDS
        while (left := ends - monotonic()) > 0 and self._places.acquire(timeout=left):
            try:
                outcome = self._attempt(account_id, refused)
            finally:
                self._places.release()
            if outcome is not None:
                return outcome
            db.session.rollback()
            sleep(_LOOK_AGAIN_SECONDS)
        return Outcome.AWAY

    def _is_needed(self, row: Row[Any], refused: str | None) -> bool:
        if refused is None:
            return bool(row.ends_soon)
        return self._vault.unseal(row.sealed_credential, purpose=f"account:{row.id}") == refused

    def _attempt(self, account_id: int, refused: str | None = None) -> Outcome | None:
        """Refresh if it is still needed once the account is ours alone; None when it is somebody else's."""
        if not db.session.scalar(select(func.pg_try_advisory_xact_lock(_LOCKS + account_id))):
            return None
        row = _read(account_id)
        if row is None:
            return Outcome.HOPELESS
        if not self._is_needed(row, refused):
            return Outcome.FRESH
        if row.sealed_refresh_token is None:
            return Outcome.HOPELESS
        outcome = self._refresh(row)
        level = logging.INFO if outcome else logging.WARNING
        facts = {"account_id": account_id, "provider": row.oauth_provider, "outcome": outcome.value}
        log.log(level, "upstream token refresh", extra=facts)
        return outcome

    def _refresh(self, row: Row[Any]) -> Outcome:
        provider = upstream_oauth.find(self._providers, row.oauth_provider)
        if provider is None:
            return Outcome.UNCLEAR
        try:
            refresh_token = self._vault.unseal(row.sealed_refresh_token, purpose=f"refresh:{row.id}")
            tokens = upstream_oauth.refresh(provider, refresh_token, seconds=self._seconds)
        except NoAnswer:
            return Outcome.AWAY
        except CredentialUnreadable:
            return Outcome.UNCLEAR
        except BadAnswer as answer:
            if answer.reason == "invalid_grant":
                return _take_out(row)
            log.warning("no token", extra={"provider": provider.id, "reason": answer.reason or "not an OAuth answer"})
            return Outcome.UNCLEAR
        return self._store(row, tokens)

    def _store(self, row: Row[Any], tokens: Tokens) -> Outcome:
        credential = self._vault.seal(tokens.access_token, purpose=f"account:{row.id}")
        kept = row.sealed_refresh_token
        if tokens.refresh_token:
            kept = self._vault.seal(tokens.refresh_token, purpose=f"refresh:{row.id}")
        for _ in range(_STORE_TRIES):
            try:
                # Nothing is found if the owner consented anew meanwhile, and then there is a fresh token, too.
                statements.row("keep_tokens", row.id, row.sealed_refresh_token, credential, kept, tokens.expires_in)
            except DatabaseUnavailable:
                continue
            return Outcome.FRESH
        log.critical("fresh tokens could not be stored and are lost", extra={"account_id": row.id})
        return Outcome.UNCLEAR


def _read(account_id: int) -> Row[Any] | None:
    columns = (Account.id, Account.oauth_provider, Account.sealed_credential, Account.sealed_refresh_token)
    ends_soon = Account.credential_expires_at < func.now() + text("interval '10 minutes'")
    query = select(*columns, ends_soon.label("ends_soon")).where(Account.id == account_id, Account.state != "withdrawn")
    return db.session.execute(query).one_or_none()


def _take_out(row: Row[Any]) -> Outcome:
    spent = update(Account).where(Account.id == row.id, Account.sealed_refresh_token == row.sealed_refresh_token)
    forgotten = spent.values(sealed_refresh_token=None).execution_options(synchronize_session=False)
    if db.session.execute(forgotten.returning(Account.id)).one_or_none() is None:
        return Outcome.FRESH  # the owner consented anew meanwhile
    standing.take_out(row.id, "needs_sign_in", "its provider no longer accepts the sign-in")
    return Outcome.REFUSED
