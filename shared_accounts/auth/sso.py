"""Single sign-on: somebody leaves for a provider and comes back as who it says she is.

Invariant: an answer counts once, in the browser where it was asked for, and for the provider that was asked
(RFC 9700 section 4). What ties the two halves together (`Departure`) lies in a ticket, whose secret is the `state`
that travels; the nonce and the PKCE verifier never leave the server before they are needed.
"""

from __future__ import annotations

import hmac
from dataclasses import asdict, dataclass
from secrets import token_urlsafe
from typing import Any

from shared_accounts.auth import fetching, oidc, profiles, tickets
from shared_accounts.auth.fetching import BadAnswer
from shared_accounts.auth.issuers import Issuer
from shared_accounts.auth.providers import Provider
from shared_accounts.auth.refused import InvalidOAuthState, OAuthTokenExchangeFailed, OAuthUserInfoFailed
from shared_accounts.auth.signin import SsoIdentity
from shared_accounts.crypto import Vault, fingerprint
from shared_accounts.outbound import visits

SECONDS = 600
"""How long somebody may take at the provider."""

CODE = "sign-in-code"
"""The kind of ticket that a browser brings from here to the pages, instead of tokens."""

CODE_SECONDS = 60

_KIND = "sso-state"


@dataclass(frozen=True, slots=True, repr=False)
class Departure:
    """What we have to remember of somebody who left for a provider; `browser` is a fingerprint of her cookie."""

    provider: str
    nonce: str
    verifier: str
    next: str
    browser: str | None
    link_user_id: int | None


def depart(
    provider: Provider, vault: Vault, *, browser: str | None, next_path: str, link_user_id: int | None = None
) -> tuple[str, str]:
    """Return the address to send the browser to, and the `state` in it."""
    visit = _visit(provider)
    # An issuer is asked before the ticket is written, so that no transaction waits for it.
    endpoint = provider.authorization_endpoint
    if provider.issuer:
        endpoint = provider.issuer.metadata(visit).authorization_endpoint
    nonce, verifier = token_urlsafe(32), token_urlsafe(48)
    bound = browser and fingerprint(browser).hex()
    departure = Departure(provider.id, nonce, verifier, next_path, bound, link_user_id)
    state = tickets.issue(vault, _KIND, asdict(departure), seconds=SECONDS)
    extra = {"nonce": nonce} if provider.issuer else {}
    url: str = visit.create_authorization_url(endpoint, state=state, code_verifier=verifier, **extra)[0]
    return url, state


def spend(vault: Vault, state: str) -> Departure | None:
    """Return whose return this is, and make it impossible to return again."""
    found = tickets.redeem(vault, _KIND, state) if state else None
    return Departure(**found) if found else None


def refuse_foreign(departure: Departure | None, provider: Provider, browser: str | None) -> Departure:
    """Return the departure; raises `InvalidOAuthState` unless it was to this provider and from this browser."""
    if departure is None or departure.provider != provider.id or not is_bound(departure.browser, browser):
        raise InvalidOAuthState
    return departure


def is_bound(bound: str | None, browser: str | None) -> bool:
    """Tell whether this browser is the one with the fingerprint `bound`, or none was demanded."""
    return bound is None or hmac.compare_digest(bound, fingerprint(browser or "").hex())


def identify(provider: Provider, departure: Departure, *, code: str, issuer: str | None) -> SsoIdentity:
    """Ask the provider who brought this code; `issuer` is what came with it as `iss` (RFC 9207).

    Raises `OAuthTokenExchangeFailed`, `OAuthUserInfoFailed`, `ProviderUnreachable` or, for another issuer's answer,
    `InvalidOAuthState`.
    """
    visit = _visit(provider)
    if provider.issuer:
        metadata = provider.issuer.metadata(visit)
        if issuer != metadata.issuer and (issuer is not None or metadata.names_itself):
            raise InvalidOAuthState
        visit.token_endpoint_auth_method = metadata.token_auth
        tokens = _exchange(visit, metadata.token_endpoint, code, departure)
        about = _believed(visit, provider.issuer, tokens, provider=provider, nonce=departure.nonce)
        return profiles.read(provider, about["sub"], about)
    tokens = _exchange(visit, provider.token_endpoint, code, departure)
    about = _user_info(visit, provider.user_info_endpoint, tokens)
    return profiles.read(provider, about.get("id"), about)


def _believed(
    visit: visits.OAuth2Session, issuer: Issuer, tokens: dict[str, Any], *, provider: Provider, nonce: str
) -> dict[str, Any]:
    """Return what the ID token says, and the user info endpoint adds to it."""
    metadata = issuer.metadata(visit)
    claims = oidc.claims(
        tokens.get("id_token"),
        lambda key_id: issuer.keys(visit, wanted=key_id),
        issuer=metadata.issuer,
        client_id=provider.client_id,
        nonce=nonce,
    )
    about: dict[str, Any] = {}
    if metadata.user_info_endpoint:
        about = _user_info(visit, metadata.user_info_endpoint, tokens)
        if about.get("sub") != claims["sub"]:
            raise OAuthUserInfoFailed
    return {**about, **{name: value for name, value in claims.items() if value is not None}}


def _visit(provider: Provider) -> visits.OAuth2Session:
    return fetching.visit(
        provider.seconds,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        redirect_uri=provider.redirect_uri,
        scope=provider.scope or None,
        token_endpoint_auth_method=provider.token_auth,
    )


def _exchange(visit: visits.OAuth2Session, endpoint: str, code: str, departure: Departure) -> dict[str, Any]:
    try:
        return fetching.exchange(visit, endpoint, code=code, verifier=departure.verifier)
    except BadAnswer:
        raise OAuthTokenExchangeFailed from None


def _user_info(visit: visits.OAuth2Session, endpoint: str, tokens: dict[str, Any]) -> dict[str, Any]:
    try:
        return fetching.ask(visit, endpoint, bearer=tokens["access_token"])
    except BadAnswer:
        raise OAuthUserInfoFailed from None
