"""What an OpenID Connect issuer publishes about itself: its endpoints and its keys.

Invariant: metadata counts only if it names the very issuer that was configured, for whoever can choose another
issuer's metadata can choose its keys. Endpoints are https, but for an issuer on this machine. Both are kept for ten
minutes per process; a token signed with an unknown key asks again for the keys, at most once a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from shared_accounts.auth import fetching
from shared_accounts.auth.fetching import BadAnswer
from shared_accounts.auth.refused import ProviderUnreachable
from shared_accounts.outbound import visits

_KEPT_SECONDS = 600.0
_KEYS_REST_SECONDS = 60.0
_KEY_TYPES = {"RSA", "EC", "OKP"}
_HERE = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Metadata:
    """The part of an issuer's metadata that we use."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    user_info_endpoint: str | None
    token_auth: str
    names_itself: bool
    """The issuer promises to add `iss` to every answer it sends through a browser (RFC 9207)."""


class Issuer:
    """One issuer, by the URL an operator typed; remembers what it published a moment ago."""

    def __init__(self, url: str, clock: Callable[[], float] = monotonic) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._metadata: Metadata | None = None
        self._keys = KeySet([])
        self._metadata_read = self._keys_read = float("-inf")

    def metadata(self, visit: visits.OAuth2Session) -> Metadata:
        """Return the issuer's metadata; raises `ProviderUnreachable` when there is none to be trusted."""
        if self._metadata is None or self._clock() - self._metadata_read > _KEPT_SECONDS:
            try:
                published = fetching.ask(visit, f"{self._url}/.well-known/openid-configuration")
                self._metadata = _read(published, self._url)
            except BadAnswer as error:
                raise ProviderUnreachable from error
            self._metadata_read = self._clock()
        return self._metadata

    def keys(self, visit: visits.OAuth2Session, *, wanted: object) -> KeySet:
        """Return the issuer's keys, fresh ones if the `wanted` one is not among those we have."""
        age = self._clock() - self._keys_read
        is_unknown = wanted is not None and all(key.kid != wanted for key in self._keys)
        if age > _KEPT_SECONDS or (is_unknown and age > _KEYS_REST_SECONDS):
            try:
                published = fetching.ask(visit, self.metadata(visit).jwks_uri)
                self._keys = _usable_keys(published.get("keys"))
            except BadAnswer as error:
                raise ProviderUnreachable from error
            self._keys_read = self._clock()
        return self._keys


def _read(published: dict[str, Any], url: str) -> Metadata:
    issuer = published.get("issuer")
    if not isinstance(issuer, str) or issuer not in {url, f"{url}/"}:
        raise BadAnswer
    here = _is_here(url)
    user_info = published.get("userinfo_endpoint")
    return Metadata(
        issuer=issuer,
        authorization_endpoint=_endpoint(published.get("authorization_endpoint"), here=here),
        token_endpoint=_endpoint(published.get("token_endpoint"), here=here),
        jwks_uri=_endpoint(published.get("jwks_uri"), here=here),
        user_info_endpoint=_endpoint(user_info, here=here) if user_info else None,
        token_auth=_token_auth(published.get("token_endpoint_auth_methods_supported")),
        names_itself=published.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(url: object, *, here: bool) -> str:
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        usable = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise BadAnswer from None
    if not usable or not (parts.scheme == "https" or (here and _is_here(str(url)))):
        raise BadAnswer
    return str(url)


def _is_here(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _HERE


def _token_auth(supported: object) -> str:
    """Return how to identify ourselves; Basic is what an issuer supports that does not say (OIDC Discovery 3)."""
    only_post = isinstance(supported, list) and "client_secret_basic" not in supported
    return "client_secret_post" if only_post else "client_secret_basic"


def _usable_keys(published: object) -> KeySet:
    """Return the public keys made for signatures; one that is broken or of a kind we do not know spoils no other."""
    if not isinstance(published, list):
        raise BadAnswer
    keys: list[Key] = []
    for data in published:
        if isinstance(data, dict) and data.get("kty") in _KEY_TYPES and data.get("use", "sig") == "sig":
            try:
                key = JWKRegistry.import_key(data)
                key.ensure_kid()
            except (JoseError, ValueError, TypeError, KeyError):
                continue
            keys.append(key)
    return KeySet(keys)
