"""The whole way through a browser: a provider nobody here wrote, our own gunicorn, real redirects, forms and cookies."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from shared_accounts.local.servers import free_port
from tests.auth.flow import PAGE
from tests.auth.idp import CLIENT_ID, CLIENT_SECRET, Idp, fields
from tests.gateway.server import Server
from tests.upstream import stalls_before_the_head

ALICE = {"sub": "alice@id.test", "preferred_username": "alice", "picture": "https://id.test/alice.png"}


class Place(NamedTuple):
    """Us, the real provider's process, and one that never answers."""

    us: Server
    issuer: str
    sleeper: Idp


@pytest.fixture(scope="module")
def place(environment, new_database, tmp_path_factory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("sso")
    sleeper = Idp()
    sleeper.id = "sleeper"
    sleeper.routes["/token"] = stalls_before_the_head
    with (folder / "provider.log").open("wb") as log:
        port = free_port()
        options = ["--port", str(port), "--require-registration", "true", "--require-nonce", "true"]
        command = [sys.executable, "-m", "oidc_provider_mock", *options, "--user-claims", json.dumps(ALICE)]
        provider = subprocess.Popen(command, stdout=log, stderr=log)
    us = Server({**environment, "DATABASE_URL": new_database("sso_live")}, folder / "us.log")
    try:
        issuer = f"http://127.0.0.1:{port}"
        registered = _register(issuer, us.url)
        clients = [
            {"id": "real", "name": "Real", "issuer": issuer, **registered},
            {"id": "sleeper", "issuer": sleeper.origin, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        ]
        us._environment |= {"PUBLIC_URL": us.url, "OIDC_PROVIDERS": json.dumps(clients), "LOG_LEVEL": "DEBUG"}  # noqa: SLF001
        us.start()
        yield Place(us, issuer, sleeper)
    finally:
        us.stop()
        provider.terminate()
        provider.wait(10)
        sleeper.stop()


def _register(issuer: str, us: str) -> dict[str, str]:
    """Become a client of the provider's, with one redirect address and a secret that it checks."""
    wanted = {
        "redirect_uris": [f"{us}/api/auth/oidc/real/callback"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
    deadline = time.monotonic() + 20
    while True:
        try:
            made = requests.post(f"{issuer}/oauth2/clients", json=wanted, timeout=2)
            break
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert made.status_code == 201, made.text
    return {name: made.json()[name] for name in ("client_id", "client_secret")}


class Browser:
    """Follows links and sends forms, and keeps the addresses it saw."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.headers.update(PAGE)
        self.seen: list[str] = []

    def go(self, url: str, **form: str) -> requests.Response:
        """Return the page at the end of all redirects but the one to pages that are not ours to serve here."""
        answer = self._session.request(
            "POST" if form else "GET", url, data=form or None, allow_redirects=False, timeout=30
        )
        self.seen.append(answer.url)
        while answer.is_redirect and "/api/" in (target := urljoin(answer.url, answer.headers["location"])):
            answer = self._session.get(target, allow_redirects=False, timeout=30)
            self.seen.append(answer.url)
        if answer.is_redirect and "/oauth2/authorize" in answer.headers["location"]:
            return self.go(answer.headers["location"])
        return answer

    def post(self, url: str, body: dict[str, Any]) -> requests.Response:
        return self._session.post(url, json=body, headers={"Accept": "application/json"}, timeout=30)


def test_alice_signs_in_through_a_real_provider_while_somebody_waits_for_his(place):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_wait_for, place.us.url, place.sleeper)
        first, again = _sign_in(place), _sign_in(place)
        status, code, seconds = waiting.result()

    assert first["user"] | {"last_login_at": ""} == again["user"] | {"last_login_at": ""}
    assert (first["user"]["username"], first["user"]["avatar_url"]) == ("alice", "https://id.test/alice.png")
    assert (status, code) == (502, "OAUTH_PROVIDER_UNREACHABLE")
    assert seconds < 10


def _sign_in(place: Place) -> dict[str, Any]:
    began, browser = time.monotonic(), Browser()
    page = browser.go(f"{place.us.url}/api/auth/oidc/real/login?next=/console")
    assert page.url.startswith(f"{place.issuer}/oauth2/authorize?"), page.text
    assert "Authorize" in page.text

    landed = browser.go(page.url, sub=ALICE["sub"])

    target = urlsplit(landed.headers["location"])
    assert (f"{target.scheme}://{target.netloc}", target.path) == (place.us.url, "/console")
    code = fields(target.query)["sign_in_code"]
    tokens: dict[str, Any] = browser.post(f"{place.us.url}/api/auth/exchange", {"code": code}).json()
    hers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert requests.get(f"{place.us.url}/api/auth/me", headers=hers, timeout=5).json() == tokens["user"]
    assert not [url for url in browser.seen if tokens["access_token"] in url or tokens["refresh_token"] in url]
    assert time.monotonic() - began < 5  # whoever waits for a provider keeps nobody else waiting
    return tokens


def _wait_for(us: str, idp: Idp) -> tuple[int, str, float]:
    """How a program fares whose provider takes the code and then does not answer."""
    session = requests.Session()
    url = session.get(f"{us}/api/auth/oidc/{idp.id}/login", timeout=30).json()["authorization_url"]
    brought = idp.authorize(url)
    began = time.monotonic()
    answer = session.post(f"{us}/api/auth/oidc/{idp.id}/callback", json=brought, timeout=30)
    return answer.status_code, answer.json()["error_code"], time.monotonic() - began


def test_who_changes_her_mind_at_the_provider_comes_home_without_a_code(place):
    browser = Browser()
    page = browser.go(f"{place.us.url}/api/auth/oidc/real/login")

    landed = browser.go(page.url, action="deny")

    assert landed.headers["location"] == f"{place.us.url}/?sign_in_error=OAUTH_ERROR"


def test_nothing_that_travelled_stands_in_the_log(place):
    written = place.us.output()

    assert '"outcome":"accepted"' in written
    assert not re.search(r"code=|state=|verifier|\?next", written)
