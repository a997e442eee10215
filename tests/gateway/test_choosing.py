"""Which account serves whom; and that what was changed a moment ago bites on the very next request.

Every worker here remembers callers and accounts for five seconds (SUPPLY_CACHE_SECONDS), and each test speaks to
one worker over one connection.
"""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest
from flask import current_app

from shared_accounts.accounts import contribution, standing, withdrawal
from shared_accounts.accounts.models import Account
from shared_accounts.auth import tokens
from shared_accounts.extensions import db
from shared_accounts.keys import keyring
from tests.gateway.scene import COST, rows, wait_until
from tests.upstream import answers, drips, refuses, stalls_before_the_head


@pytest.fixture
def ask(scene, connection):
    """Ask on one connection; returns the status and, when it was served, who served."""

    def send(**fields):
        reply = scene.ask(connection=connection, **fields)
        return reply.status, reply.json["choices"][0]["message"]["content"] if reply.status == 200 else reply.error[
            "code"
        ]

    return send


@pytest.fixture
def account(scene, upstream):
    """An account that answers with its own name; remembered by the worker once somebody has asked."""

    def make(name, **fields):
        return scene.account(upstream(answers(name)), **fields)

    return make


def test_a_revoked_key_opens_nothing_from_the_next_request_on(scene, account, ask):
    account("a")
    assert ask() == (200, "a")
    _, other = scene.somebody()
    key_id = rows("select id from api_keys where user_id = :id", id=scene.user.id)[0]["id"]

    keyring.switch(scene.user.id, key_id, on=False)
    db.session.commit()
    assert ask() == (401, "invalid_api_key")
    keyring.switch(scene.user.id, key_id, on=True)
    db.session.commit()
    assert ask() == (200, "a")
    scene.change("api_keys", key_id, expires_at="2020-01-01T00:00:00Z")
    assert ask() == (401, "invalid_api_key")
    assert ask(key=other) == (429, "insufficient_quota")
    scene.change("api_keys", key_id, expires_at=None)
    assert ask() == (200, "a")
    keyring.revoke(scene.user.id, key_id)
    db.session.commit()
    assert ask() == (401, "invalid_api_key")


def test_an_ended_session_opens_nothing_from_the_next_request_on(scene, account, ask):
    account("a")
    issued = tokens.issue(scene.user, user_agent=None, address=None)
    db.session.commit()
    assert ask(key=issued.access_token) == (200, "a")

    tokens.revoke(issued.session_id)
    db.session.commit()

    assert ask(key=issued.access_token) == (401, "invalid_api_key")
    assert ask() == (200, "a")


def test_a_disabled_or_silenced_user_is_refused_from_the_next_request_on(scene, account, ask):
    account("a")
    for state in ("disabled", "silenced"):
        assert ask() == (200, "a")
        scene.change("users", scene.user.id, state=state)
        assert ask()[0] == 403
        assert ask(key=scene.token())[0] == 403
        scene.change("users", scene.user.id, state="active")
    assert ask() == (200, "a")


AWAY = {
    "pause": lambda row, settings: contribution.change(row, {"paused": True}, settings),
    "withdraw": lambda row, _: withdrawal.withdraw(row),
    "unshare": lambda row, settings: contribution.change(row, {"sharing": "dedicated"}, settings),
    "needs sign-in": lambda row, _: standing.take_out(row.id, "needs_sign_in", "test"),
    "broken": lambda row, _: standing.take_out(row.id, "broken", "test"),
    "disabled": lambda row, _: standing.take_out(row.id, "disabled", "test"),
    "cooling": lambda row, _: standing.cool(row.id, seconds=600, default=1, reason="test"),
}


@pytest.mark.parametrize("how", AWAY)
def test_an_account_taken_away_serves_nobody_from_the_next_request_on(scene, account, ask, how):
    gone = account("gone")
    assert ask() == (200, "gone")
    other = account("other")

    AWAY[how](db.session.get(Account, gone.id), current_app.extensions["settings"])
    db.session.commit()

    # Not even once, though the list that is remembered names nobody else.
    assert ask() == (200, "other")
    assert scene.last_line()["account_id"] == other.id
    assert [one["account_id"] for one in scene.last_line()["attempts"]] == [other.id]


def test_an_account_that_comes_back_serves_from_the_next_request_on(scene, account, ask):
    back = account("back")
    assert ask() == (200, "back")
    standing.take_out(back.id, "paused", "test")
    db.session.commit()
    assert ask() == (404, "model_not_found")

    standing.bring_back(back.id, "paused")
    db.session.commit()

    assert ask() == (200, "back")


def test_nobody_is_served_by_an_account_that_others_keep_to_themselves(scene, account, ask):
    account("hers alone", sharing="dedicated")

    assert ask() == (404, "model_not_found")


def test_her_own_come_first_unless_she_prefers_what_is_shared(scene, account, ask):
    account("shared")
    account("mine", owner=scene.user, sharing="dedicated")
    _, other = scene.somebody()

    assert {ask() for _ in range(5)} == {(200, "mine")}
    scene.change("users", scene.user.id, prefer_shared=True)
    assert {ask(key=scene.token()) for _ in range(5)} == {(200, "shared")}
    assert ask(key=other) == (429, "insufficient_quota")


def test_her_own_serve_when_the_shared_ones_she_prefers_are_beyond_her_quota(scene, account, ask):
    account("shared")
    account("mine", owner=scene.user, sharing="dedicated")
    scene.change("users", scene.user.id, prefer_shared=True)

    assert ask(max_tokens=9_000_000) == (200, "mine")
    assert scene.charged() == 0


def test_who_uses_only_dedicated_ones_never_meets_a_shared_one(scene, account, ask):
    account("shared")
    scene.change("users", scene.user.id, use_only_dedicated=True)
    status, code = ask()
    assert status in {404, 503}, code

    account("mine", owner=scene.user, sharing="dedicated")
    assert {ask() for _ in range(5)} == {(200, "mine")}


def test_who_uses_only_dedicated_ones_is_not_helped_out_by_a_shared_one(scene, upstream, account, ask):
    account("shared")
    scene.account(upstream(refuses(500)), owner=scene.user, sharing="dedicated")
    scene.change("users", scene.user.id, use_only_dedicated=True)

    assert ask() == (502, "upstream_error")
    assert len(scene.line()["attempts"]) == 1


@pytest.mark.parametrize("sharing", ["shared", "dedicated"])
@pytest.mark.parametrize("balance", [None, 0])
def test_ones_own_account_costs_nothing_and_is_metered(scene, account, ask, sharing, balance):
    account("mine", owner=scene.user, sharing=sharing)
    if balance == 0:
        user, key = scene.somebody()
        account("hers", owner=user, sharing="dedicated")
        assert ask(key=key) == (200, "hers")  # who has no pool at all
    else:
        assert ask(max_tokens=9_000_000) == (200, "mine")  # more than her pool could ever hold

    line = scene.last_line()
    assert (line["cost"], line["charged"], line["basis"]) == (COST, 0, "measured")
    assert scene.charged() == 0
    assert rows("select * from reservations where id = :id", id=line["id"]) == []


def test_without_quota_nobody_elses_account_serves(scene, account, ask):
    account("shared")
    _, poor = scene.somebody()

    assert ask(key=poor) == (429, "insufficient_quota")
    assert scene.lines() == []


def test_the_least_busy_account_is_asked_first(scene, upstream):
    busy = [upstream(drips(0.5)) for _ in range(2)]
    for server in busy:
        scene.account(server)

    with ExitStack() as streams:
        for _ in range(24):
            streams.enter_context(scene.stream())
        counts = [len(server.requests) for server in busy]

    # Two workers, each of which keeps its own balance to within one.
    assert sum(counts) == 24
    assert abs(counts[0] - counts[1]) <= 2, counts


def test_among_equals_it_is_chance(scene, account, ask):
    for name in ("a", "b", "c"):
        account(name)

    assert {ask()[1] for _ in range(40)} == {"a", "b", "c"}


def test_an_account_at_its_limit_of_concurrency_is_passed_over(scene, upstream, account, ask):
    limited = upstream(stalls_before_the_head, answers("limited"))
    scene.account(limited, max_concurrency=1, owner=scene.user, sharing="dedicated")
    account("shared")
    with closing(scene.server.connect()) as holding:
        holding.request("POST", "/v1/chat/completions", scene.body(), scene.headers())
        limited.wait_for(1)

        assert ask() == (200, "shared")
    wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "still busy")
    assert ask() == (200, "limited")


def test_when_all_are_at_their_limit_the_answer_says_when_to_come_back(scene, upstream):
    server = upstream(stalls_before_the_head)
    scene.account(server, max_concurrency=1)
    with closing(scene.server.connect()) as holding:
        holding.request("POST", "/v1/chat/completions", scene.body(), scene.headers())
        server.wait_for(1)

        reply = scene.ask()

    assert (reply.status, reply.error["code"]) == (503, "no_account_available")
    assert int(reply.headers["retry-after"]) >= 1


def test_an_account_that_cools_is_waited_for_by_name(scene, account, ask):
    cooling = account("a")
    assert ask() == (200, "a")
    standing.cool(cooling.id, seconds=300, default=1, reason="test")

    reply = scene.ask()

    assert (reply.status, reply.error["code"]) == (503, "no_account_available")
    assert 250 <= int(reply.headers["retry-after"]) <= 300


def test_the_first_account_that_somebody_keeps_to_herself_serves_her_very_next_call(scene, upstream):
    scene.account(upstream(refuses(429, retry_after=60), answers("theirs")))
    assert scene.ask().status == 429

    scene.account(upstream(answers("hers")), owner=scene.user, sharing="dedicated")

    assert scene.ask().json["choices"][0]["message"]["content"] == "hers"
