"""Holes of the system this one follows (contract B.9, metering), each shown to be closed over a real gunicorn."""

from __future__ import annotations

import os
import signal

from sqlalchemy import text

from shared_accounts.accounts import withdrawal
from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from shared_accounts.gateway import books
from tests import factories
from tests.gateway.scene import BALANCE, COST, at_once, rows, wait_until
from tests.gateway.test_room_for_some import leave
from tests.upstream import DONE, answers, breaks, chunk, drips, event, stalls, streams, usage_chunk

TALK = [event(chunk({"content": f"word{number} "})) for number in range(3)]
SLOWLY = streams(*["word"] * 6, delay=0.2)


def in_company_of(server, count):
    """Answer when so many requests are here, and keep the stream alive until then."""

    def act(turn):
        turn.begin(200, [("content-type", "text/event-stream")], length=None, chunked=True)
        turn.write(event(chunk({"role": "assistant", "content": ""})))
        while len(server.requests) < count:
            turn.write(b": not yet\n\n")
            turn.wait(0.1)
        for piece in (*TALK, event(chunk({}, "stop")), event(usage_chunk()), DONE):
            turn.write(piece)
        turn.end()
        return True

    return act


def window(account):
    return [row["used"] for row in rows("select used from account_windows where account_id = :id", id=account.id)]


def test_hole_1_calls_at_once_on_one_account_cost_each_caller_her_own(scene, upstream):
    server = upstream()
    server.plays(in_company_of(server, 10))
    account = scene.account(server)
    other, key = scene.somebody()
    factories.quota_pool(other, model_group=scene.model, balance=BALANCE)

    hers, others = lambda: scene.ask(stream=True), lambda: scene.ask(stream=True, key=key)
    replies = at_once(*[hers] * 6, *[others] * 4)

    assert {reply.frames[-1] for reply in replies} == {"[DONE]"}
    scene.last_line()
    assert [line["charged"] for line in scene.lines()] == [COST] * 10
    assert scene.charged() == 6 * COST
    assert scene.pool_now(other)["balance"] == BALANCE - 4 * COST
    wait_until(lambda: window(account) == [10 * COST], "the window is not what was used")


def test_hole_2_who_gets_no_usage_pays_an_estimate_and_the_next_one_only_her_own(scene, upstream):
    scene.account(upstream(answers("one two three", usage=None), answers()))

    assert [scene.ask().status for _ in range(2)] == [200, 200]

    scene.last_line()
    silent, told = scene.lines()
    assert (silent["basis"], told["basis"]) == ("estimated", "measured")
    assert 0 < silent["charged"] <= silent["estimate"]
    assert told["charged"] == COST
    assert scene.charged() == silent["charged"] + COST


def test_hole_2_a_window_that_resets_in_between_makes_nothing_free(scene, upstream):
    account = scene.account(upstream(answers(), SLOWLY))
    scene.ask()
    wait_until(lambda: window(account) == [COST], "not counted")

    with scene.stream() as response:
        response.read1(1000)
        db.session.execute(
            text("update account_windows set resets_at = now() where account_id = :id"), {"id": account.id}
        )
        db.session.commit()
        assert b"[DONE]" in response.read()

    assert scene.last_line()["charged"] == COST
    assert scene.charged() == 2 * COST
    wait_until(lambda: window(account) == [COST], "the new window does not begin with it")


def test_hole_3_a_stream_that_breaks_off_is_paid_as_far_as_it_went(scene, upstream):
    scene.account(upstream(breaks(3)))

    scene.ask(stream=True)

    line = scene.line()
    assert (line["outcome"], line["basis"], line["completion_tokens"]) == ("broken", "partial", 3)
    assert 0 < line["charged"] == scene.charged() < line["estimate"]


def test_hole_3_what_a_killed_process_was_serving_is_paid(scene, upstream, start_servers):
    scene.server = start_servers(LEASE_SECONDS=2, HEARTBEAT_SECONDS=1)
    scene.account(upstream(drips(0.2)))

    with scene.stream() as response:
        response.read1(1000)
        os.kill(scene.server.pids()[0], signal.SIGKILL)
        wait_until(lambda: books.close_abandoned() == 1, "nobody pays")

    line = scene.line()
    assert (line["outcome"], line["basis"]) == ("abandoned", "estimated")
    assert 0 < line["estimate"] == line["charged"] == scene.charged()


def test_hole_3_a_lost_connection_to_the_database_loses_no_debit(scene, upstream):
    scene.account(upstream(SLOWLY))

    with scene.stream() as response:
        response.read1(1000)
        others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        assert len(rows(f"select pg_terminate_backend(pid, 5000) {others}")) > 0
        assert b"[DONE]" in response.read()

    assert scene.line()["charged"] == scene.charged() == COST


def test_hole_3_an_account_withdrawn_meanwhile_is_paid_for(scene, upstream):
    account = scene.account(upstream(SLOWLY))
    assert window(account) == []  # the first use of a model has no row yet

    with scene.stream() as response:
        response.read1(1000)
        withdrawal.withdraw(db.session.get(Account, account.id))
        db.session.commit()
        assert b"[DONE]" in response.read()

    assert scene.line()["charged"] == scene.charged() == COST
    wait_until(lambda: window(account) == [COST], "not counted")


def test_hole_4_with_next_to_nothing_left_exactly_one_of_many_gets_in_and_nothing_goes_below_zero(scene, upstream):
    server = upstream(answers())
    scene.account(server, allowance_tokens=10**12)
    scene.ask()
    estimate = scene.line()["estimate"]
    dear = {"prompt_tokens": 9_000_000, "completion_tokens": 9_000_000}
    server.plays(answers("Hello", usage=dear, delay=0.5))
    leave(scene, estimate + 100)

    replies = at_once(*[scene.ask] * 10)

    assert sorted(reply.status for reply in replies) == [200] + [429] * 9
    scene.last_line()
    assert (scene.pool_now()["balance"], scene.pool_now()["reserved"]) == (0, 0)


def test_hole_5_a_client_that_leaves_takes_its_upstream_call_along_and_pays_for_what_was_said(scene, upstream):
    server = upstream(stalls(*TALK))
    scene.account(server)

    with scene.stream() as response:
        assert b"word0" in response.read1(1000)

    assert server.requests[0].gone.wait(10)
    line = scene.line()
    assert (line["outcome"], line["basis"], len(server.requests)) == ("client_left", "partial", 1)
    assert 0 < line["charged"] == scene.charged() < line["estimate"]


def test_hole_12_who_has_no_pool_is_not_served_for_nothing(scene, upstream):
    server = upstream()
    scene.account(server)
    _, key = scene.somebody()

    refused = scene.ask(key=key)

    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert server.requests == []
    assert scene.lines() == []
