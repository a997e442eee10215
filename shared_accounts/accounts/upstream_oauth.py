"""Accounts contributed by OAuth 2.0: where their owner consents, and what the provider gives for it.

Invariant: a code is of use to nobody without the PKCE verifier, which never leaves the server before it is needed;
and tokens are seen by no one but the provider, the vault and the upstream. We are a client that the operator
registered, and say so: nobody else's client is imitated.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError

from shared_accounts.accounts import standing
from shared_accounts.accounts.models import Account
from shared_accounts.crypto import Vault
from shared_accounts.errors import Conflict
from shared_accounts.extensions import db
from shared_accounts.outbound import visits
from shared_accounts.outbound.addresses import Target
from shared_accounts.setting_values import UpstreamOAuth

SECONDS = 8.0
"""How long a token endpoint may take."""

_LONGEST_LIFE = 10 * 365 * 24 * 3600
_REFRESH_TOKEN = re.compile(r"[\x20-\x7e]{1,16384}")
_ANSWER = {"code", "state", "error"}
_MENDED = {"needs_sign_in", "broken"}


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What a token endpoint gave; `subject` is who consented, if it said so."""

    provider: str
    access_token: str
    refresh_token: str | None
    expires_in: float | None
    subject: str | None


def find(providers: Iterable[UpstreamOAuth], provider_id: str) -> UpstreamOAuth | None:
    """Return the provider with this id, if it is set up here."""
    return next((one for one in providers if one.id == provider_id), None)


def authorization_url(provider: UpstreamOAuth, redirect_uri: str, *, state: str, verifier: str) -> str:
    """Return where to consent; what comes back can be exchanged by `exchange` with the same redirect address."""
    from authlib.common.urls import add_params_to_uri  # type: ignore[import-untyped] # noqa: PLC0415 - as in `visits`

    endpoint = add_params_to_uri(provider.authorization_endpoint, provider.extra)
    visit = _visit(provider, 0.0, redirect_uri)
    url: str = visit.create_authorization_url(endpoint, state=state, code_verifier=verifier)[0]
    return url


def exchange(provider: UpstreamOAuth, redirect_uri: str, *, code: str, verifier: str) -> Tokens:
    """Exchange a code; raises `visits.BadAnswer` or `visits.NoAnswer`."""
    visit = _visit(provider, SECONDS, redirect_uri)
    return _tokens(provider, visits.exchange(visit, provider.token_endpoint, code=code, verifier=verifier))


def refresh(provider: UpstreamOAuth, refresh_token: str, *, seconds: float = SECONDS) -> Tokens:
    """Exchange a refresh token, which may then be spent; raises `visits.BadAnswer` or `visits.NoAnswer`."""
    visit = _visit(provider, seconds)
    return _tokens(provider, visits.refresh(visit, provider.token_endpoint, refresh_token=refresh_token))


def read_answer(address: str) -> dict[str, str]:
    """Return `code`, `state` and `error` of an address that somebody copied, wherever it points and whatever is around.

    The host does not matter: who may use the answer is decided by its state. A name that stands twice with two values
    is left out, for neither can be meant.
    """
    found: dict[str, set[str]] = {}
    for part in re.split(r"[?#&\s<>\"']+", address):
        name, _, value = part.partition("=")
        if name in _ANSWER and value:
            found.setdefault(name, set()).add(unquote_plus(value))
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def identity(tokens: Tokens, target: Target) -> str | None:
    """Return by what an account is recognised when it comes a second time: every consent has tokens of its own."""
    return f"{target.origin.authority} {tokens.subject}" if tokens.subject else None


def seal(account: Account, tokens: Tokens, vault: Vault) -> None:
    """Give an account that has an id its tokens; those it had are gone."""
    account.oauth_provider = tokens.provider
    account.sealed_credential = vault.seal(tokens.access_token, purpose=f"account:{account.id}")
    account.sealed_refresh_token = None
    if tokens.refresh_token:
        account.sealed_refresh_token = vault.seal(tokens.refresh_token, purpose=f"refresh:{account.id}")
    lasts = tokens.expires_in
    account.credential_expires_at = None if lasts is None else func.now() + timedelta(seconds=lasts)


def renew(account: Account, tokens: Tokens, target: Target, vault: Vault) -> None:
    """Replace an account's tokens by those of a new consent, and bring it back if it waited for that.

    Raises `Conflict` when who consented now is another account here, or when this one is being withdrawn.
    """
    if account.state == "draining":
        raise Conflict("This account is being withdrawn.")
    try:
        with db.session.begin_nested():
            seal(account, tokens, vault)
            account.fingerprint = vault.fingerprint(identity(tokens, target) or tokens.access_token)
    except IntegrityError:
        raise Conflict("This account has been contributed already.") from None
    if account.state in _MENDED and standing.bring_back(account.id, account.state):
        db.session.refresh(account)


def _visit(provider: UpstreamOAuth, seconds: float, redirect_uri: str | None = None) -> visits.OAuth2Session:
    return visits.visit(
        seconds,
        client_id=provider.client_id,
        client_secret=provider.client_secret or None,
        redirect_uri=redirect_uri,
        scope=provider.scope or None,
        token_endpoint_auth_method=provider.token_auth if provider.client_secret else "none",
    )


def _tokens(provider: UpstreamOAuth, given: dict[str, Any]) -> Tokens:
    refresh_token = given.get("refresh_token")
    is_usable = isinstance(refresh_token, str) and _REFRESH_TOKEN.fullmatch(refresh_token)
    return Tokens(
        provider=provider.id,
        access_token=given["access_token"],
        refresh_token=refresh_token if is_usable else None,
        expires_in=_seconds(given.get("expires_in")),
        subject=_subject(given.get("id_token")),
    )


def _seconds(said: object) -> float | None:
    """Return how long a token lasts; some providers say it as a text, some not at all."""
    try:
        seconds = float(said)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds <= _LONGEST_LIFE else None


def _subject(id_token: object) -> str | None:
    """Return issuer and subject of an ID token.

    Its signature need not be checked, for it came straight from the token endpoint (OpenID Connect Core 3.1.3.7).
    """
    try:
        claims = json.loads(urlsafe_b64decode(str(id_token).split(".")[1] + "=="))
        issuer, subject = claims["iss"], claims["sub"]
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        return None
    is_said = isinstance(issuer, str) and isinstance(subject, str) and subject
    return f"{issuer} {subject}" if is_said else None
