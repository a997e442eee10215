"""An account by OAuth whose upstream refuses its token: a fresh one is had at once, and a blip is no verdict."""

from __future__ import annotations

import itertools
import json

import pytest

from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from tests.accounts.oauth_server import OAuthServer, html, invalid_grant, stalls
from tests.gateway.scene import Scene
from tests.upstream import answers, refuses

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def provider():
    server = OAuthServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_server(start_servers, provider):
    described = {
        "id": "acme",
        "name": "Acme",
        "authorization_endpoint": f"{provider.origin}/authorize",
        "token_endpoint": f"{provider.origin}/token",
        "client_id": "our-client",
        "base_url": provider.url,
    }
    return start_servers(workers=1, UPSTREAM_OAUTH_PROVIDERS=json.dumps([described]))


@pytest.fixture
def scene(database, own_server):
    return Scene(own_server, f"by-oauth-{next(_numbers)}")


@pytest.fixture
def account(scene, provider, books, upstream):
    """An account with a refresh token, at an upstream that acts like this."""

    def make(*acts):
        server, vault = upstream(*acts), books.extensions["vault"]
        made = scene.account(server, oauth_provider="acme")
        token = f"refresh-{made.id}"
        provider.consents[token] = f"consent-{made.id}"
        row = db.session.get(Account, made.id)
        row.sealed_refresh_token = vault.seal(token, purpose=f"refresh:{made.id}")
        row.credential_expires_at = db.func.now() + db.text("interval '1 hour'")
        db.session.commit()
        return server, made

    provider.routes.pop("/token", None)
    yield make
    provider.routes.pop("/token", None)


def test_a_refused_token_is_replaced_and_the_same_account_serves(scene, account):
    server, made = account(refuses(401), answers("fresh"))

    reply = scene.ask()

    assert reply.status == 200, reply.body
    first, second = (dict(request.headers)["authorization"] for request in server.requests)
    assert first != second
    assert scene.account_now(made)["state"] == "active"
    assert [one["result"] for one in scene.line()["attempts"]] == ["answered 401", "served"]


def test_a_fresh_token_that_is_refused_too_is_a_verdict(scene, account):
    server, made = account(refuses(401))

    assert scene.ask().status == 502

    assert len(server.requests) == 2
    assert scene.account_now(made)["state"] == "needs_sign_in"


def test_a_withdrawn_consent_is_a_verdict(scene, account, provider):
    server, made = account(refuses(401))
    provider.routes["/token"] = invalid_grant

    assert scene.ask().status == 502

    assert len(server.requests) == 1
    assert scene.account_now(made)["state"] == "needs_sign_in"


@pytest.mark.parametrize("blip", [refuses(500), html, stalls], ids=["500", "HTML", "silence"])
def test_hole_16_a_blip_of_the_provider_takes_nobody_out(scene, account, provider, blip):
    _, made = account(refuses(401))
    provider.routes["/token"] = blip

    assert scene.ask().status in {502, 504}

    now = scene.account_now(made)
    assert (now["state"], now["strikes"]) == ("active", 1)
