"""A provider of accounts, played for real: where people consent, where tokens are to be had, and the API behind it.

Honest, and as strict as the strictest: PKCE is checked, every refresh token is good for one use, and a second use of
one ends the whole consent (RFC 9700 section 4.14.2).

    server = OAuthServer()
    address = server.consent(authorization_url)     # where the browser of somebody who agrees lands
    server.routes["/token"] = invalid_grant         # or what the token endpoint does instead
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from typing import Any

import requests

from shared_accounts.setting_values import UpstreamOAuth
from tests.auth.idp import Server, challenge_of, fields, tells, without_none
from tests.upstream import Act, Request, Turn, says, stalls_before_the_head

CLIENT_ID, CLIENT_SECRET = "our-client", "our-client-secret"

invalid_grant = says(b'{"error": "invalid_grant"}', status=400)
html = says(b"<h1>invalid_grant</h1>", status=400, headers=[("content-type", "text/html")])
stalls = stalls_before_the_head


class OAuthServer(Server):
    """`subject` is who consents next, `lasts` how long access tokens do, `tokens` what else is said, None for less."""

    def __init__(self) -> None:
        self.subject: str | None = "alice"
        self.lasts: Any = 3600
        self.tokens: dict[str, Any] = {}
        self.models = ["m", "n"]
        self.delay = 0.0
        self.rotates = True
        self.consents: dict[str, str] = {}  # refresh token -> consent; a spent one stays
        self.spent: set[str] = set()
        self.ended: set[str] = set()
        self.accepted: dict[str, str] = {}  # access token -> consent
        self.forms: list[dict[str, str]] = []
        self._turns = threading.Lock()
        super().__init__()

    def provider(self, **overrides: Any) -> UpstreamOAuth:
        known = {
            "id": "acme",
            "name": "Acme AI",
            "authorization_endpoint": f"{self.origin}/authorize?prompt=login",
            "token_endpoint": f"{self.origin}/token",
            "client_id": CLIENT_ID,
            "base_url": self.url,
            "scope": "openid chat",
            "extra": (("access_type", "offline"),),
        }
        return UpstreamOAuth(**{**known, **overrides})

    def consent(self, url: str) -> str:
        """Agree at the page; returns the address the browser is sent to."""
        answer = requests.get(url, allow_redirects=False, timeout=5)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def end(self) -> None:
        """Everybody withdraws her consent at the provider."""
        self.ended |= set(self.consents.values())

    def answer(self, path: str, request: Request) -> Act:
        if path == "/authorize":
            return self.agree(request)
        if path == "/token":
            return self._token(request)
        if path == "/v1/models":
            token = (request.header("authorization") or "").removeprefix("Bearer ")
            if self.accepted.get(token, "ended") in self.ended | {"ended"}:
                return says(b'{"error": {"message": "no"}}', status=401)
            return tells({"object": "list", "data": [{"id": name} for name in self.models]})
        return says(b"{}", status=404)

    def _token(self, request: Request) -> Act:
        form = fields(request.body)
        with self._turns:
            self.forms.append(form)
            granted = self._consent_of(form)
        act = tells(self._tokens(granted)) if granted and granted not in self.ended else invalid_grant

        def after_a_while(turn: Turn) -> bool:
            turn.wait(self.delay)
            return act(turn)

        return after_a_while if self.delay else act

    def _consent_of(self, form: dict[str, str]) -> str | None:
        if form["grant_type"] == "authorization_code":
            asked = self.agreed.pop(form["code"], None)
            ours = asked and form["redirect_uri"] == asked["redirect_uri"]
            proved = asked and challenge_of(form["code_verifier"]) == asked["code_challenge"]
            return secrets.token_hex(4) if ours and proved else None
        used = form["refresh_token"]
        consent = self.consents.get(used)
        if used in self.spent:
            self.ended |= {consent}
        if self.rotates:
            self.spent |= {used}
        return consent

    def _tokens(self, consent: str) -> dict[str, Any]:
        access, refresh = f"at-{secrets.token_urlsafe(24)}", f"rt-{secrets.token_urlsafe(24)}"
        self.accepted[access] = consent
        self.consents[refresh] = consent
        claims = base64.urlsafe_b64encode(json.dumps({"iss": self.origin, "sub": self.subject}).encode()).rstrip(b"=")
        honest = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.lasts,
            "refresh_token": refresh if self.rotates or not self.spent else None,
            "id_token": f"e30.{claims.decode()}.c2ln" if self.subject else None,
        }
        return without_none({**honest, **self.tokens})
