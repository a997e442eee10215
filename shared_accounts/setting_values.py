"""How settings are spelt: each parser takes the text of one setting and returns its value, or raises `ValueError`.

(`KeyError` and `ArithmeticError` mean the same; `config` knows.)
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

from limits import parse_many

MICRO = 1_000_000
"""Micro-units in one unit of quota (specification section 1)."""

_MOST_UNITS = 1_000_000
_SAMPLES = ("change-this", "your-secret", "your-encryption", "changeme", "example", "password")
_MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2 asks this of an HS256 key
_MIN_SECRET_BITS = 128
_PROVIDER_ID = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_TAKEN_IDS = {"linux_do", "github", "providers"}
_HERE = {"localhost", "127.0.0.1", "::1"}
_OURS_TO_SAY = re.compile(r"client_id|redirect_uri|response_type|scope|state|code_challenge(_method)?")


@dataclass(frozen=True, slots=True, repr=False)
class OidcSettings:
    """One OpenID Connect issuer, as an operator describes it; `redirect_uri` may be empty."""

    id: str
    issuer: str
    client_id: str
    client_secret: str
    name: str = ""
    scope: str = "openid profile"
    redirect_uri: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class UpstreamOAuth:
    """A provider whose accounts can be contributed by OAuth 2.0, and us as its client; without a secret a public one.

    `extra` goes into the address where people consent. `redirect_uri` may be empty: then it is an address of ours.
    """

    id: str
    name: str
    authorization_endpoint: str
    token_endpoint: str
    client_id: str
    base_url: str
    client_secret: str = ""
    token_auth: str = "client_secret_basic"  # noqa: S105 - the name of a method
    scope: str = ""
    redirect_uri: str = ""
    models: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()


def units(text: str) -> int:
    """Read units of quota, so few that a pool can count them; return micro-units."""
    found = Decimal(text)
    if abs(found) > _MOST_UNITS:
        raise ValueError(text)
    return int((found * MICRO).to_integral_value())


def names(text: str) -> tuple[str, ...]:
    """Read words separated by commas."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise ValueError(text)
    return found


def switch(text: str) -> bool:
    """Read a yes or a no."""
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def postgres(text: str) -> str:
    """Accept the usual spellings, the seed's included; one driver serves them all."""
    scheme, found, rest = text.partition("://")
    if not found or scheme.split("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError(scheme)
    return f"postgresql+psycopg2://{rest}"


def limits(text: str) -> str:
    """Accept what Flask-Limiter accepts; it would only log a mistake, and then limit nothing."""
    if not parse_many(text):
        raise ValueError(text)
    return text


def url(text: str) -> str:
    """Read an absolute http(s) address, and drop a slash at its end."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.fragment:
        raise ValueError(text)
    return text.rstrip("/")


def origins(text: str) -> tuple[str, ...]:
    """Read web origins separated by commas (RFC 6454), as browsers write them: no path, no usual port, no `*`."""
    found = names(text.lower())
    for one in found:
        parts = urlsplit(url(one))
        usual = {"http": 80, "https": 443}[parts.scheme]
        if one != f"{parts.scheme}://{parts.netloc}" or parts.port == usual or "*" in one:
            raise ValueError(text)
    return found


def one_of(*allowed: str) -> Callable[[str], str]:
    """Accept one of these words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return parse


def oidc_providers(text: str) -> tuple[OidcSettings, ...]:
    """Read a JSON list of issuers, each with an id of its own."""
    try:
        found = tuple(OidcSettings(**one) for one in json.loads(text))
    except TypeError as error:
        raise ValueError(text) from error
    ids = [one.id for one in found]
    if len(set(ids)) < len(ids) or set(ids) & _TAKEN_IDS:
        raise ValueError(text)
    for one in found:
        if not _PROVIDER_ID.fullmatch(one.id) or not one.client_id or not one.client_secret:
            raise ValueError(text)
        url(one.issuer)
    return found


def upstream_oauth_providers(text: str) -> tuple[UpstreamOAuth, ...]:
    """Read a JSON list of providers, each with an id of its own; tokens travel by https, but to this machine."""
    said = json.loads(text)
    try:
        found = tuple(_upstream_oauth(**one) for one in said)
    except (TypeError, AttributeError) as error:
        raise ValueError(text) from error
    if not isinstance(said, list) or len({one.id for one in found}) < len(found):
        raise ValueError(text)
    return found


def _upstream_oauth(
    *, models: Sequence[str] = (), extra: Mapping[str, str] | None = None, **said: str
) -> UpstreamOAuth:
    found = UpstreamOAuth(models=tuple(models), extra=tuple((extra or {}).items()), **said)
    texts = [*said.values(), *found.models, *(text for pair in found.extra for text in pair)]
    needed = (found.name, found.client_id, *found.models)
    if not all(isinstance(text, str) for text in texts) or not all(text.strip() for text in needed):
        raise ValueError(found.id)
    if not _PROVIDER_ID.fullmatch(found.id) or isinstance(models, str) or any(map(_OURS_TO_SAY.fullmatch, extra or ())):
        raise ValueError(found.id)
    one_of("client_secret_basic", "client_secret_post")(found.token_auth)
    for endpoint in (found.authorization_endpoint, found.token_endpoint):
        if not url(endpoint).startswith("https://") and urlsplit(endpoint).hostname not in _HERE:
            raise ValueError(found.id)
    for address in (found.base_url, found.redirect_uri or found.base_url):
        url(address)
    return found


def is_weak(text: str) -> bool:
    """Tell whether a secret is too short, too regular or a sample."""
    if len(text.encode()) < _MIN_SECRET_BYTES or any(sample in text.lower() for sample in _SAMPLES):
        return True
    counts = Counter(text)
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return entropy * len(text) < _MIN_SECRET_BITS
