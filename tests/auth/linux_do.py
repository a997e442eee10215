"""Linux.do as its documents and clients describe it: Basic at the token endpoint, a user of its own JSON."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

from shared_accounts.auth.providers import Provider
from tests.auth.idp import CLIENT_ID, CLIENT_SECRET, Server, challenge_of, fields, tells, without_none
from tests.upstream import Act, Request, says

USER = {
    "id": 124,
    "username": "Bee",
    "name": "B. Bee",
    "avatar_url": "https://linux.do/user_avatar/bee.png",
    "trust_level": 2,
    "active": True,
    "silenced": False,
}


class LinuxDo(Server):
    """`user` is who agrees; a value of None leaves a field out."""

    id = "linux_do"
    authorize_path, token_path, user_path = "/oauth2/authorize", "/oauth2/token", "/api/user"

    def __init__(self) -> None:
        super().__init__()
        self.user: dict[str, Any] = dict(USER)
        self.spent: list[dict[str, str]] = []

    def provider(self, **overrides: Any) -> Provider:
        fixed: dict[str, Any] = {
            "id": self.id,
            "name": "Linux.do",
            "kind": "oauth2",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uri": f"http://localhost:8008/api/auth/oidc/{self.id}/callback",
            "scope": "",
            "trusted": True,
            "authorization_endpoint": f"{self.origin}{self.authorize_path}",
            "token_endpoint": f"{self.origin}{self.token_path}",
            "user_info_endpoint": f"{self.origin}{self.user_path}",
            "names": ("username", "name"),
            "avatars": ("avatar_url", "avatar"),
        }
        return Provider(**{**fixed, **overrides})

    def answer(self, path: str, request: Request) -> Act:
        if path == self.authorize_path and request.method == "GET":
            return self.agree(request)
        if path == self.token_path and request.method == "POST":
            return self.exchange(request)
        if path == self.user_path and request.header("authorization") == "Bearer ld-token":
            return tells(without_none(self.user))
        return says(b'{"error": "not_found"}', status=404)

    def exchange(self, request: Request) -> Act:
        form = fields(request.body)
        self.spent.append(form)
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.header("authorization") != f"Basic {basic}":
            return says(b'{"error": "invalid_client"}', status=401)
        agreed = self.agreed.pop(form["code"], None)
        if agreed is None or form["redirect_uri"] != agreed["redirect_uri"]:
            return says(b'{"error": "invalid_grant"}', status=400)
        if challenge_of(form["code_verifier"]) != agreed["code_challenge"]:
            return says(b'{"error": "invalid_grant"}', status=400)
        return tells({"access_token": "ld-token", "token_type": "bearer", "expires_in": 3600, "scope": "default"})


class GitHub(LinuxDo):
    """GitHub: the secret in the body, and refusals with status 200."""

    id = "github"
    authorize_path, token_path, user_path = "/login/oauth/authorize", "/login/oauth/access_token", "/user"

    def provider(self, **overrides: Any) -> Provider:
        ours = {"name": "GitHub", "scope": "read:user user:email", "trusted": False, "names": ("login",)}
        return super().provider(**{**ours, "avatars": ("avatar_url",), "token_auth": "client_secret_post", **overrides})

    def exchange(self, request: Request) -> Act:
        form = fields(request.body)
        self.spent.append(form)
        agreed = self.agreed.pop(form["code"], None)
        if request.header("accept") != "application/json":
            return says(urlencode({"access_token": "ld-token"}).encode(), headers=[("content-type", "text/plain")])
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET) or agreed is None:
            return tells({"error": "bad_verification_code", "error_description": "The code passed is incorrect."})
        return tells({"access_token": "ld-token", "token_type": "bearer", "scope": "read:user"})
