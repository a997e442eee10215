"""Trying an account that came by consent: with a fresh token, and without taking a provider's blip for a verdict."""

from __future__ import annotations

import logging

import pytest

from shared_accounts import tasks
from shared_accounts.accounts import standing
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.refresher import Refresher
from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from shared_accounts.users.models import User
from tests import factories
from tests.accounts.oauth_server import OAuthServer, html
from tests.accounts.test_refresher import at_once, credential_of, given, refresh_token_of, row_of
from tests.conftest import rows
from tests.upstream import refuses

AN_HOUR, OVER = 3600, -60
BLIPS = {"an error": refuses(500), "a page": html, "a line that breaks": lambda _: False}

blips = pytest.mark.parametrize("blip", BLIPS.values(), ids=BLIPS)
lives = pytest.mark.parametrize("ends_in", [OVER, AN_HOUR], ids=["a token that is over", "a token that should be good"])


@pytest.fixture
def server(app):
    made = OAuthServer()
    yield made
    app.extensions["wire"].sweep()
    made.stop()


@pytest.fixture
def vault(app):
    return app.extensions["vault"]


@pytest.fixture
def account(app, committed, server, vault, monkeypatch):
    """An account by consent whose token lasts so long; its provider is set up."""
    monkeypatch.setattr(app.extensions["gateway"], "refresher", Refresher((server.provider(),), vault))
    return lambda **how: given(server, vault, app, **how)


@pytest.fixture
def owner_of(sign_in):
    return lambda account_id: sign_in(db.session.get(User, row_of(account_id)["owner_id"]))


@pytest.fixture
def try_it(owner_of):
    """Test it, as its owner; returns what is shown."""

    def press(account_id):
        answer = owner_of(account_id).post(f"/api/accounts/{account_id}/test")
        assert answer.status_code == 200, answer.text
        return answer.json

    return press


def forget(server, vault, account_id):
    """The upstream no longer takes the token it gave."""
    del server.accepted[credential_of(vault, account_id)]


def tokens_asked_with(server):
    return [request.header("authorization").removeprefix("Bearer ") for request in server.asked("/v1/models")]


def test_a_token_that_is_over_is_exchanged_before_the_upstream_is_asked(account, try_it, server, vault):
    account_id = account(ends_in=OVER)

    shown = try_it(account_id)

    assert (shown["ok"], shown["state"], shown["models"]) == (True, "active", ["m", "n"])
    assert tokens_asked_with(server) == [credential_of(vault, account_id)]
    assert refresh_token_of(vault, account_id) not in server.spent
    assert row_of(account_id)["probed_at"] is not None


def test_a_token_that_lasts_is_tried_as_it_is(account, try_it, server, vault):
    account_id = account(ends_in=AN_HOUR)

    assert try_it(account_id)["ok"] is True

    assert (server.forms, tokens_asked_with(server)) == ([], [credential_of(vault, account_id)])


def test_a_token_the_upstream_refuses_is_exchanged_once_and_the_fresh_one_tried(account, try_it, server, vault):
    account_id = account(ends_in=AN_HOUR)
    stale = credential_of(vault, account_id)
    forget(server, vault, account_id)

    shown = try_it(account_id)

    assert (shown["ok"], shown["state"]) == (True, "active")
    assert tokens_asked_with(server) == [stale, credential_of(vault, account_id)]
    assert len(server.forms) == 1


def test_a_fresh_token_that_is_refused_too_is_a_verdict(account, try_it, server):
    account_id = account(ends_in=AN_HOUR)
    server.routes["/v1/models"] = refuses(401)

    shown = try_it(account_id)

    assert (shown["ok"], shown["state"]) == (False, "needs_sign_in")
    assert (len(tokens_asked_with(server)), len(server.forms)) == (2, 1)
    assert row_of(account_id)["state_reason"] == "the upstream refused the credential"


@lives
def test_a_consent_that_has_ended_is_a_verdict_and_its_refill_rests(account, try_it, server, ends_in):
    account_id = account(ends_in=ends_in)
    server.end()

    shown = try_it(account_id)

    assert (shown["ok"], shown["state"]) == (False, "needs_sign_in")
    assert (row_of(account_id)["sealed_refresh_token"], len(server.forms)) == (None, 1)
    assert [pool["refill_per_hour"] for pool in rows("quota_pools")] == [0]
    assert proof.verify() == []


def test_of_a_consent_that_has_ended_the_upstream_is_not_asked(account, try_it, server):
    account_id = account(ends_in=OVER)
    server.end()

    assert "consent anew" in try_it(account_id)["message"]
    assert server.asked("/v1/models") == []


@blips
@lives
def test_a_blip_of_the_provider_is_no_verdict(account, try_it, server, vault, blip, ends_in):
    account_id = account(ends_in=ends_in)
    forget(server, vault, account_id)
    server.routes["/token"] = blip
    before = row_of(account_id)

    shown = try_it(account_id)

    assert (shown["ok"], shown["state"]) == (False, "active")
    assert shown["message"].endswith("try again later.")
    assert {**row_of(account_id), "probed_at": None} == {**before, "probed_at": None}
    assert (len(server.asked("/token")), len(server.asked("/v1/models"))) == (1, 1)

    server.routes.clear()
    assert try_it(account_id)["ok"] is True


@blips
def test_a_token_the_upstream_still_takes_is_good_whatever_its_provider_does(account, try_it, server, blip):
    account_id = account(ends_in=OVER)
    server.routes["/token"] = blip

    assert try_it(account_id)["ok"] is True


@pytest.mark.parametrize("state", ["needs_sign_in", "broken"])
def test_an_account_whose_token_went_stale_while_it_was_out_comes_back(account, try_it, state):
    account_id = account(ends_in=OVER)
    standing.take_out(account_id, state, "it failed")
    db.session.commit()

    assert try_it(account_id)["state"] == "active"
    assert [pool["refill_per_hour"] for pool in rows("quota_pools")] == [400_000]
    assert proof.verify() == []


def test_without_a_refresh_token_a_refusal_is_a_verdict(account, try_it, server, vault):
    account_id = account(ends_in=OVER)
    db.session.execute(db.text("update accounts set sealed_refresh_token = null"))
    db.session.commit()
    forget(server, vault, account_id)

    assert try_it(account_id)["state"] == "needs_sign_in"
    assert server.forms == []


def test_a_credential_nobody_can_read_any_more_is_told_and_no_verdict(account, try_it, server):
    account_id = account(ends_in=AN_HOUR)
    db.session.execute(db.text("update accounts set sealed_credential = 'x'"))
    db.session.commit()

    shown = try_it(account_id)

    assert (shown["ok"], shown["state"]) == (False, "active")
    assert server.requests == []


def test_many_who_test_at_once_share_one_exchange(account, app, owner_of, server, vault):
    account_id = account(ends_in=AN_HOUR)
    forget(server, vault, account_id)
    owner = owner_of(account_id)
    server.delay = 0.3

    shown = at_once(app, 6, lambda: owner.post(f"/api/accounts/{account_id}/test").json)

    assert [(one["ok"], one["state"]) for one in shown] == [(True, "active")] * 6
    assert (len(server.forms), server.ended) == (1, set())


def test_no_connection_is_kept_while_the_upstream_tries_the_fresh_token(account, try_it, server, vault):
    account_id = account(ends_in=AN_HOUR)
    forget(server, vault, account_id)
    pool, kept = db.engine.pool, []
    honest = server.answer

    def count(turn):
        kept.append(pool.checkedout())
        return honest("/v1/models", turn.request)(turn)

    server.routes["/v1/models"] = count

    assert try_it(account_id)["ok"] is True
    assert kept == [0, 0]


def test_whoever_says_it_works_again_is_believed_once_a_fresh_token_shows_it(account, owner_of):
    account_id = account(ends_in=OVER, state="needs_sign_in")

    answer = owner_of(account_id).patch(f"/api/accounts/{account_id}", json={"paused": False})

    assert (answer.status_code, answer.json["state"]) == (200, "active")


@lives
def test_whoever_claims_more_models_after_the_consent_has_ended_is_refused_and_it_stands(
    account, owner_of, server, ends_in
):
    account_id = account(ends_in=ends_in)
    server.end()

    answer = owner_of(account_id).patch(f"/api/accounts/{account_id}", json={"models": ["m", "n"]})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["api_key"])
    row = row_of(account_id)
    assert (row["state"], row["models"], row["sealed_refresh_token"]) == ("needs_sign_in", ["m"], None)


def test_an_account_with_a_key_asks_no_provider(account, try_it, server, vault):
    account_id = factories.account(factories.user(), base_url=server.url, secret="sk-a-key-that-was-pasted-in").id
    server.accepted["sk-a-key-that-was-pasted-in"] = "a key"

    assert try_it(account_id)["ok"] is True
    forget(server, vault, account_id)
    assert try_it(account_id)["state"] == "needs_sign_in"

    assert (len(server.asked("/v1/models")), server.forms) == (2, [])


def test_an_account_withdrawn_while_its_token_is_exchanged_is_gone(account, app, owner_of, server):
    account_id = account(ends_in=OVER)
    owner, another = owner_of(account_id), owner_of(account_id)
    honest = server.answer

    def withdraw(turn):
        assert another.delete(f"/api/accounts/{account_id}").status_code == 204
        return honest("/token", turn.request)(turn)

    server.routes["/token"] = withdraw

    assert owner.post(f"/api/accounts/{account_id}/test").status_code == 404
    assert (row_of(account_id)["state"], row_of(account_id)["sealed_credential"]) == ("withdrawn", None)


def probed(account_id):
    """What the task makes of an account that nobody has used for a day; how it stands then."""
    db.session.execute(db.text("update accounts set probed_at = now() - interval '2 days'"))
    db.session.commit()
    tasks.probe_accounts()
    return row_of(account_id)["state"]


@lives
def test_a_probe_exchanges_a_stale_token(account, server, vault, ends_in):
    account_id = account(ends_in=ends_in)
    forget(server, vault, account_id)

    assert probed(account_id) == "active"
    assert len(server.forms) == 1
    assert tokens_asked_with(server)[-1] == credential_of(vault, account_id)


def test_a_broken_account_recovers_with_a_fresh_token(account):
    account_id = account(ends_in=OVER, state="broken")

    assert probed(account_id) == "active"


@blips
@lives
def test_to_a_probe_too_a_blip_is_no_verdict(account, server, vault, blip, ends_in):
    account_id = account(ends_in=ends_in)
    forget(server, vault, account_id)
    server.routes["/token"] = blip

    assert probed(account_id) == "active"
    server.routes.clear()
    assert probed(account_id) == "active"
    assert len(server.accepted) == 1


@lives
def test_to_a_probe_too_a_consent_that_has_ended_is_a_verdict(account, server, ends_in):
    account_id = account(ends_in=ends_in)
    server.end()

    assert probed(account_id) == "needs_sign_in"
    assert row_of(account_id)["sealed_refresh_token"] is None


def test_to_a_probe_too_the_refusal_of_a_fresh_token_is_a_verdict(account, server):
    account_id = account(ends_in=AN_HOUR)
    server.routes["/v1/models"] = refuses(401)

    assert probed(account_id) == "needs_sign_in"
    assert len(server.forms) == 1


def test_no_token_is_shown_or_logged(account, try_it, server, vault, caplog):
    account_id = account(ends_in=AN_HOUR)
    forgotten = credential_of(vault, account_id)

    with caplog.at_level(logging.DEBUG):
        forget(server, vault, account_id)
        shown = [try_it(account_id)]
        server.end()
        shown.append(try_it(account_id))

    ours = [vars(record) for record in caplog.records if record.name.startswith("shared_accounts")]
    kept = [rows(table) for table in ("account_events", "audit_log")]
    assert len(ours) > 1
    for secret in (forgotten, *server.accepted, *server.consents):
        assert secret not in f"{shown} {ours} {kept}"
    assert db.session.get(Account, account_id).state == "needs_sign_in"
