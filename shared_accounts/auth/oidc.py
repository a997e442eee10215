"""Whether an ID token can be believed (OpenID Connect Core 3.1.3.7).

Invariant: claims leave this module only if the issuer signed them, for us, just now, and for the very sign-in that
was begun in this browser. The signature must be an asymmetric one: our client secret and the issuer's public key are
no keys to be believed by, and `none` is no signature.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from shared_accounts.auth.refused import OAuthTokenExchangeFailed

_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
_SKEW_SECONDS = 60
# Issuers put members of their own into the header, and certificates; what is critical (`crit`) is still refused.
_SIGNATURES = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
_SIGNATURES.max_header_length = 16 * 1024


def claims(
    id_token: object, keys: Callable[[object], KeySet], *, issuer: str, client_id: str, nonce: str
) -> dict[str, Any]:
    """Return what the token says; raises `OAuthTokenExchangeFailed`, for a missing token too.

    `keys` is asked for the issuer's keys with the id of the one that is wanted.
    """
    if not isinstance(id_token, str):
        raise OAuthTokenExchangeFailed
    try:
        token = jwt.decode(id_token, keys(_key_id(id_token)), registry=_SIGNATURES)
        _registry(issuer, client_id).validate(token.claims)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # The header is read before the signature is checked, so anybody chooses what the parser meets.
        raise OAuthTokenExchangeFailed from None
    found: dict[str, Any] = token.claims
    if found.get("nonce") != nonce or not _is_for(client_id, found):
        raise OAuthTokenExchangeFailed
    return found


def _key_id(id_token: str) -> object:
    head = id_token.partition(".")[0]
    header = json.loads(binascii.a2b_base64(head.replace("-", "+").replace("_", "/") + "=="))
    return header.get("kid")


def _registry(issuer: str, client_id: str) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        leeway=_SKEW_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True},
    )


def _is_for(client_id: str, found: dict[str, Any]) -> bool:
    """Tell whether we are the party it was made for; with several audiences it has to say so (`azp`)."""
    audiences = found["aud"] if isinstance(found["aud"], list) else [found["aud"]]
    return found.get("azp", client_id if len(audiences) == 1 else None) == client_id
