"""An OpenID Connect issuer played for real, by default an honest one; and what every played provider has in common.

idp = Idp()
idp.claims = {"iss": "https://elsewhere"}     # what the next ID tokens say differently; None leaves a claim out
idp.routes["/token"] = stalls_before_the_head  # or what an endpoint does instead
... start at idp.provider(), then idp.authorize(url) is the person who agrees there ...
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from shared_accounts.auth.issuers import Issuer
from shared_accounts.auth.providers import Provider
from tests.upstream import Act, Request, Turn, Upstream, plays, says

CLIENT_ID, CLIENT_SECRET = "our-id", "our-secret-which-is-long-enough-for-hs256"

Claims = dict[str, Any]


@functools.cache
def key(kind: str = "RSA", name: str = "one") -> Any:
    """A key pair that is made once; the name is its `kid`."""
    parameters: Any = {"kid": name, "use": "sig"}
    if kind == "EC":
        return ECKey.generate_key("P-256", parameters)
    if kind == "OKP":
        return OKPKey.generate_key("Ed25519", parameters)
    return RSAKey.generate_key(2048, parameters)


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def fields(text: str | bytes) -> dict[str, str]:
    """A query or a form, in which nothing stands twice."""
    parsed = parse_qs(text.decode() if isinstance(text, bytes) else text, strict_parsing=True, keep_blank_values=True)
    assert all(len(values) == 1 for values in parsed.values())
    return {name: values[0] for name, values in parsed.items()}


class Server(Upstream):
    """A provider's server: a page to agree on, and endpoints that can be given another act by their path."""

    def __init__(self) -> None:
        self.routes: dict[str, Act] = {}
        self.agreed: dict[str, dict[str, str]] = {}
        super().__init__()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if urlsplit(request.path).path == path]

    def authorize(self, url: str, **added: str) -> dict[str, str]:
        """Agree at the provider's page; returns what the browser brings back."""
        answer = requests.get(url, allow_redirects=False, timeout=5)
        assert answer.status_code == 302, answer.text
        target = urlsplit(answer.headers["location"])
        asked = fields(urlsplit(url).query)
        assert answer.headers["location"].startswith(asked["redirect_uri"] + "?")
        return {**fields(target.query), **added}

    def answer(self, path: str, request: Request) -> Act:
        raise NotImplementedError

    def _next_act(self, request: Request) -> Act:
        super()._next_act(request)  # it takes notes
        path = urlsplit(request.path).path
        return self.routes.get(path) or self.answer(path, request)

    def agree(self, request: Request) -> Act:
        """The page where a person agrees, who does so at once."""
        asked = fields(urlsplit(request.path).query)
        code = secrets.token_urlsafe(20)
        self.agreed[code] = asked
        location = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
        return plays([], status=302, headers=[("location", location)], framing="length")


class Idp(Server):
    """`claims` and `user_info` change what is said; `sign` is how, `published` are the keys."""

    def __init__(self) -> None:
        super().__init__()
        self.id = "idp"
        self.subject = "alice-1"
        self.claims: Claims = {}
        self.user_info: Claims | None = {"preferred_username": "alice", "picture": "https://pics.test/a.png"}
        self.metadata: Claims = {}
        self.tokens: Claims = {}
        self.published = [key(), key("EC", "two")]
        self.sign: Callable[[Claims], str] = signed()

    def provider(self, **overrides: Any) -> Provider:
        redirect_uri = f"http://localhost:8008/api/auth/oidc/{self.id}/callback"
        known = {
            "id": self.id,
            "name": "The IdP",
            "kind": "oidc",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
        ours = {"redirect_uri": redirect_uri, "scope": "openid profile", "trusted": False}
        return Provider(**{**known, **ours, "issuer": Issuer(self.origin), **overrides})

    def answer(self, path: str, request: Request) -> Act:
        if path == "/.well-known/openid-configuration":
            return tells(self._describe())
        if path == "/authorize":
            return self.agree(request)
        if path == "/token":
            return self._token(request)
        if path == "/jwks":
            return tells({"keys": [one.as_dict(private=False) for one in self.published]})
        if path == "/userinfo" and request.header("authorization") == "Bearer at-1":
            return tells(without_none({"sub": self.subject, **(self.user_info or {})}))
        return says(b"{}", status=404)

    def _describe(self) -> Claims:
        endpoints = {
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "jwks_uri": f"{self.origin}/jwks",
            "userinfo_endpoint": None if self.user_info is None else f"{self.origin}/userinfo",
        }
        return without_none({"issuer": self.origin, **endpoints, **self.metadata})

    def _token(self, request: Request) -> Act:
        form = fields(request.body)
        agreed = self.agreed.pop(form["code"], None)
        if agreed is None or challenge_of(form["code_verifier"]) != agreed["code_challenge"]:
            return says(b'{"error": "invalid_grant"}', status=400)
        now = int(time.time())
        honest = {
            "iss": self.metadata.get("issuer", self.origin),
            "aud": CLIENT_ID,
            "sub": self.subject,
            "iat": now,
            "exp": now + 300,
            "nonce": agreed["nonce"],
        }
        id_token = self.sign(without_none({**honest, **self.claims}))
        return tells(
            without_none({"access_token": "at-1", "token_type": "Bearer", "id_token": id_token, **self.tokens})
        )


def signed(by: Any = None, alg: str = "RS256", **header: Any) -> Callable[[Claims], str]:
    """Sign with this key and algorithm; a header member of None is left out."""
    by = by or key()
    anything = JWSRegistry(algorithms=[alg], strict_check_header=False)
    anything.max_header_length = 1_000_000
    header = without_none({"alg": alg, "kid": by.kid, **header})
    return lambda claims: jwt.encode(header, claims, by, registry=anything, default_type=None)


def unsigned(claims: Claims, *, alg: str = "none", signature: bytes = b"", **header: Any) -> str:
    """What looks like a token, with any signature."""
    parts = [json.dumps({"alg": alg, "kid": "one", **header}).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def tells(body: Claims) -> Act:
    return says(json.dumps(body).encode())


def without_none(claims: Claims) -> Claims:
    return {name: value for name, value in claims.items() if value is not None}


def drips_forever(turn: Turn) -> bool:
    """A JSON object that never ends, a byte at a time."""
    turn.begin(200, [("content-type", "application/json")], length=None, chunked=True)
    turn.write(b'{"access_token": "')
    while True:
        turn.wait(0.1)
        turn.write(b"x")


def drips_its_head(turn: Turn) -> bool:
    """A head that never ends."""
    turn.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        turn.wait(0.1)
        turn.raw(b"x-more: 1\r\n")
