"""Holes of the system this one follows (contract B.9, account handling), each shown to be closed here."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from shared_accounts.extensions import db
from tests.gateway.scene import COST, rows, wait_until
from tests.upstream import answers, drips, refuses, says


@pytest.mark.parametrize(
    "words", ["no", "your quota of patience", "invalid api key format in message", "RESOURCE_EXHAUSTED of ideas"]
)
def test_hole_15_a_malformed_request_takes_nobodys_account_out(scene, upstream, words):
    server, next_one = upstream(refuses(400, words)), upstream()
    account = scene.account(server, owner=scene.user, sharing="dedicated")
    scene.account(next_one)

    replies = [scene.ask() for _ in range(20)]

    assert {reply.status for reply in replies} == {400}
    now = scene.account_now(account)
    assert (now["state"], now["strikes"], now["cooling_until"]) == ("active", 0, None)
    assert len(server.requests) == 20
    assert next_one.requests == []
    assert rows("select * from account_events where account_id = :id", id=account.id) == []


def test_hole_17_an_account_at_its_limit_rests_for_the_time_its_upstream_names(scene, upstream):
    body = b'{"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "40s"}]}}'
    tired, other = upstream(says(body, status=429)), upstream()
    account = scene.account(tired, owner=scene.user, sharing="dedicated")
    scene.account(other)

    assert {scene.ask().status for _ in range(5)} == {200}

    assert len(tired.requests) == 1
    assert 35 < scene.account_now(account)["cooling"] <= 40


def test_hole_18_what_was_used_up_serves_again_after_the_reset_without_anybodys_help(scene, upstream):
    account = scene.account(upstream(answers()), allowance_tokens=COST)
    scene.ask()
    window = "select used from account_windows where account_id = :id"
    wait_until(lambda: [row["used"] for row in rows(window, id=account.id)] == [COST], "not counted")
    assert scene.ask().status == 503

    db.session.execute(
        db.text("update account_windows set resets_at = now() where account_id = :id"), {"id": account.id}
    )
    db.session.commit()
    time.sleep(5.1)  # what a worker remembers

    assert scene.ask().status == 200
    assert scene.account_now(account)["state"] == "active"


def test_hole_19_the_models_are_listed_for_somebody_who_shares_nothing_and_nobody_is_taken_out_by_it(scene, upstream):
    server = upstream(refuses(403))
    account = scene.account(server)
    _, key = scene.somebody()

    listed = scene.ask(path="/v1/models", method="GET", raw=b"", key=key)

    assert listed.status == 200
    assert scene.model in {model["id"] for model in listed.json["data"]}
    assert server.requests == []
    assert scene.account_now(account)["state"] == "active"


def test_hole_20_the_load_is_spread_and_no_account_takes_more_than_its_limit(scene, upstream):
    servers = [upstream(drips(0.5)) for _ in range(3)]
    for server in servers:
        scene.account(server, max_concurrency=4)

    with ExitStack() as streams:
        opened = [streams.enter_context(scene.stream()) for _ in range(14)]
        counts = [len(server.requests) for server in servers]

    assert counts == [4, 4, 4]
    assert [stream.status for stream in opened].count(503) == 2


def test_hole_6_every_line_says_who_by_which_key_how_long_and_through_which_attempts(scene, upstream):
    scene.account(upstream(refuses(500)), owner=scene.user, sharing="dedicated")
    scene.account(upstream())
    scene.ask()

    line = scene.line()

    key = rows("select id from api_keys where user_id = :id", id=scene.user.id)[0]["id"]
    assert (line["user_id"], line["api_key_id"], line["http_status"]) == (scene.user.id, key, 200)
    assert (line["prompt_tokens"], line["completion_tokens"], line["basis"]) == (100, 50, "measured")
    assert [one["result"] for one in line["attempts"]] == ["answered 500", "served"]
    assert line["total_ms"] >= line["first_byte_ms"] >= 0


def test_hole_28_what_one_person_may_ask_is_bounded(scene, upstream):
    scene.account(upstream())
    _, key = scene.somebody(trust_level=3)
    db.session.execute(db.text("update trust_levels set requests_per_minute = 1 where level = 3"))
    db.session.commit()
    try:
        scene.ask(key=key)
        assert scene.ask(key=key).status == 429
    finally:
        db.session.execute(db.text("update trust_levels set requests_per_minute = null where level = 3"))
        db.session.commit()
