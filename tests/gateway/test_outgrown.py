"""A stream that takes more than was reserved for it: more is set aside in steps, or it ends properly."""

from __future__ import annotations

import threading
import time

import pytest

from shared_accounts.config import MICRO
from shared_accounts.gateway import books
from shared_accounts.quotas import proof
from tests.gateway.scene import BALANCE, wait_until
from tests.gateway.test_room_for_some import leave
from tests.upstream import DONE, USAGE, answers, chunk, event, plays, streams, usage_chunk

DEFAULT = 1024  # DEFAULT_COMPLETION_TOKENS
LONG = 20 * DEFAULT


def words(count, *, usage=USAGE, pause_after=None):
    """So many words, one event each; a pause in the middle lets somebody look."""
    pieces = [event(chunk({"role": "assistant", "content": ""}))]
    for number in range(count):
        pieces.append(event(chunk({"content": f"word{number} "})))
        if number == pause_after:
            pieces.append(1.0)
    return plays([*pieces, event(chunk({}, "stop")), event(usage_chunk(usage)), DONE])


def reserved_for_one(scene, server, **fields):
    """What one such call sets aside."""
    server.plays(answers())
    scene.ask(stream=True, **fields)
    return scene.line()["estimate"]


def test_more_is_set_aside_as_a_stream_grows_and_the_bill_is_what_it_took(scene, upstream):
    took = {"prompt_tokens": 100, "completion_tokens": 5000}
    server = upstream(words(5000, usage=took, pause_after=4500))
    scene.account(server)

    with scene.stream(max_tokens=None) as response:
        first = scene.lines()[0]["estimate"]
        wait_until(lambda: scene.lines()[0]["estimate"] > 4 * 4500, "the reservation does not grow")
        assert scene.pool_now()["reserved"] == scene.lines()[0]["estimate"]
        body = response.read()

    assert body.endswith(DONE)
    assert first < 4 * 4500
    line = scene.line()
    assert (line["outcome"], line["basis"], line["charged"]) == ("served", "measured", 100 + 4 * 5000)
    assert scene.pool_now()["reserved"] == 0
    assert proof.verify() == []


def test_a_stream_whose_quota_ends_is_cut_for_length_and_told_why(scene, upstream):
    server = upstream()
    scene.account(server)
    once = reserved_for_one(scene, server, max_tokens=None)
    leave(scene, once + 4 * DEFAULT)
    server.plays(words(LONG))

    reply = scene.ask(stream=True, max_tokens=None)

    *_, cut, error = reply.frames
    assert cut["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
    assert (cut["id"], cut["model"]) == (reply.frames[0]["id"], scene.model)
    assert error["error"]["code"] == error["error"]["type"] == "insufficient_quota"
    assert b"[DONE]" not in reply.body
    assert DEFAULT / 2 < len(reply.frames) < 4 * DEFAULT  # what was in hand when it ended is not sent
    line = scene.last_line()
    assert (line["outcome"], line["basis"], line["error_code"]) == ("outgrown", "partial", "insufficient_quota")
    assert line["charged"] <= once + 4 * DEFAULT
    assert scene.pool_now()["reserved"] == 0
    assert proof.verify() == []


def test_an_upstream_that_goes_on_is_hung_up_on_when_the_quota_ends(scene, upstream):
    drip = event(chunk({"content": "word " * 400}))
    gone = threading.Event()

    def act(turn):
        turn.begin(200, [("content-type", "text/event-stream")], length=None, chunked=True)
        try:
            for _ in range(2000):
                turn.write(drip)
                time.sleep(0.002)
        except OSError:
            gone.set()
            raise
        return False

    server = upstream()
    scene.account(server)
    leave(scene, reserved_for_one(scene, server, max_tokens=None))
    server.plays(act)

    reply = scene.ask(stream=True, max_tokens=None)

    assert reply.frames[-1]["error"]["code"] == "insufficient_quota"
    assert gone.wait(5)
    assert scene.last_line()["outcome"] == "outgrown"


def test_a_stream_within_its_own_limit_is_not_cut_because_its_tokens_look_many(scene, upstream):
    server = upstream()
    scene.account(server)
    leave(scene, reserved_for_one(scene, server, max_tokens=200))
    server.plays(streams(*["uncharacteristically"] * 200, usage={"prompt_tokens": 20, "completion_tokens": 200}))

    reply = scene.ask(stream=True, max_tokens=200)

    assert reply.frames[-1] == "[DONE]"
    assert scene.last_line()["outcome"] == "served"


def test_a_stream_on_ones_own_account_is_as_long_as_it_likes(scene, upstream):
    server = upstream(words(LONG, usage={"prompt_tokens": 10, "completion_tokens": LONG}))
    scene.account(server, owner=scene.user, sharing="dedicated")
    leave(scene, 0)

    reply = scene.ask(stream=True, max_tokens=None)

    assert reply.frames[-1] == "[DONE]"
    assert (scene.line()["outcome"], scene.line()["charged"]) == ("served", 0)


def test_of_streams_that_grow_at_once_the_pool_lets_only_so_many_grow(scene, upstream):
    server = upstream()
    scene.account(server)
    once = reserved_for_one(scene, server, max_tokens=None)
    room = 4 * 4 * DEFAULT  # for about two of them to become twice as long
    leave(scene, 6 * once + room)
    server.plays(words(2 * DEFAULT, usage={"prompt_tokens": 10, "completion_tokens": 2 * DEFAULT}))
    ends, start = [], threading.Barrier(6)

    def run():
        start.wait()
        ends.append(scene.ask(stream=True, max_tokens=None))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "a line stays open")
    outcomes = [line["outcome"] for line in scene.lines()[1:]]
    assert set(outcomes) <= {"served", "outgrown"}
    assert outcomes.count("served") == sum(reply.body.endswith(DONE) for reply in ends)
    # One that came when others had grown already found no room to begin.
    assert len(outcomes) + sum(reply.status == 429 for reply in ends) == 6
    assert scene.pool_now()["reserved"] == 0
    assert scene.pool_now()["balance"] >= 0
    assert proof.verify() == []


@pytest.mark.parametrize("times", [1, 2])
def test_raising_a_reservation_again_changes_nothing(scene, upstream, times):
    server = upstream(words(10, pause_after=5))
    scene.account(server)

    with scene.stream(max_tokens=100) as response:
        line = scene.lines()[0]
        for _ in range(times):
            assert books.raise_reservation(str(line["id"]), 2 * MICRO)
        assert scene.pool_now()["reserved"] == scene.lines()[0]["estimate"] == 2 * MICRO
        assert not books.raise_reservation(str(line["id"]), BALANCE + 1)
        response.read()

    assert scene.line()["outcome"] == "served"
    assert not books.raise_reservation(str(line["id"]), 3 * MICRO)
    assert scene.pool_now()["reserved"] == 0
