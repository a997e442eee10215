"""Streams that never end, leases that do, and workers that are killed or told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from shared_accounts.gateway import books
from tests.gateway.scene import at_once, content, rows, wait_until
from tests.upstream import chunk, drips, event, plays, stalls, stalls_before_the_head

TALK = [event(chunk({"content": f"word{number} "})) for number in range(3)]


def test_a_gap_that_is_too_long_ends_the_stream(scene, upstream):
    server = upstream(stalls(*TALK))
    account = scene.account(server)
    began = time.monotonic()

    reply = scene.ask(stream=True)

    assert 1.3 < time.monotonic() - began < 8
    assert content(reply.frames) == "word0 word1 word2 "
    assert reply.frames[-1]["error"]["code"] == "upstream_timeout"
    assert not reply.broken
    assert server.requests[0].gone.wait(2)
    line = scene.line()
    assert (line["outcome"], line["basis"], line["error_code"]) == ("timed_out", "partial", "upstream_timeout")
    assert (line["completion_tokens"], len(line["attempts"])) == (3, 1)
    assert 0 < line["charged"] == scene.charged() < line["estimate"]
    assert scene.account_now(account)["strikes"] == 0


def test_answers_that_drip_for_ever_end_at_the_total_deadline(scene, upstream):
    """Events, comments and bare bytes: whatever keeps the gaps short."""
    pieces = {"events": event(chunk({"content": "drip "})), "comments": b": ping\n\n", "bytes": b" "}
    servers = {kind: upstream(plays([*TALK, *[0.3, piece] * 200])) for kind, piece in pieces.items()}
    servers["json"] = upstream(plays([b"{", *[0.3, b" "] * 200], headers=[("content-type", "application/json")]))
    for kind, server in servers.items():
        scene.account(server, owner=scene.user, models=[f"{scene.model} {kind}"])
    began = time.monotonic()

    *streams, whole = at_once(
        *(lambda kind=kind: scene.ask(model=f"{scene.model} {kind}", stream=kind != "json") for kind in servers)
    )

    assert 4.8 < time.monotonic() - began < 12
    assert all(server.requests[0].gone.wait(2) for server in servers.values())
    assert {reply.frames[-1]["error"]["code"] for reply in streams} == {"upstream_timeout"}
    assert whole.status == 504
    assert int(whole.headers["retry-after"]) > 0
    wait_until(lambda: _open_lines(scene) == 0, "a line is open")
    found = rows("select * from usage_log where model like :model", model=f"{scene.model} %")
    assert {line["outcome"] for line in found} == {"timed_out"}
    assert {(line["stream"], line["basis"], line["http_status"]) for line in found} == {
        (True, "partial", 200),
        (False, "released", 504),
    }


@pytest.fixture(scope="module")
def short_lease(start_servers):
    """A gunicorn whose leases are short, and whose one worker may be killed."""
    return start_servers(LEASE_SECONDS=2, HEARTBEAT_SECONDS=1, UPSTREAM_FIRST_BYTE_TIMEOUT=4, UPSTREAM_TOTAL_TIMEOUT=60)


def test_what_takes_longer_than_its_lease_keeps_its_reservation(scene, short_lease, upstream):
    """A stream that flows, and a call whose upstream has not said a word."""
    scene.server = short_lease
    scene.account(upstream(drips(0.2)))
    scene.account(upstream(stalls_before_the_head), models=[f"{scene.model} silent"], owner=scene.user)
    silent = threading.Thread(target=lambda: scene.ask(model=f"{scene.model} silent"))

    silent.start()
    with scene.stream() as response:
        began = time.monotonic()
        while time.monotonic() - began < 4:
            response.read1(1000)
            assert books.close_abandoned() == 0
        assert _open_lines(scene) == 2
        assert scene.pool_now()["reserved"] > 0
    silent.join()

    assert scene.line()["outcome"] == "client_left"


def test_what_a_killed_worker_left_is_settled_at_its_estimate_once(scene, short_lease, upstream):
    scene.server = short_lease
    scene.account(upstream(drips(0.2)))
    hers = scene.account(upstream(drips(0.2)), owner=scene.user, models=[f"{scene.model} of hers"])

    with scene.stream() as response, scene.stream(model=f"{scene.model} of hers") as own:
        response.read1(1000)
        own.read1(1000)
        os.kill(scene.server.pids()[0], signal.SIGKILL)
        assert books.close_abandoned() == 0  # the lease is good yet: who knows that nobody extends it?
        assert scene.pool_now()["reserved"] > 0
        closed = []
        wait_until(lambda: closed.append(books.close_abandoned()) or sum(closed) == 2, "nothing is reaped")

    assert books.close_abandoned() == 0
    line = scene.line()
    assert (line["outcome"], line["basis"], line["error_code"]) == ("abandoned", "estimated", "worker_lost")
    assert line["cost"] == line["charged"] == line["estimate"] == scene.charged()
    assert scene.pool_now()["reserved"] == 0
    own_line = rows("select * from usage_log where account_id = :id", id=hers.id)[0]
    assert (own_line["outcome"], own_line["cost"], own_line["charged"]) == ("abandoned", own_line["estimate"], 0)
    scene.server.wait_until_ready()
    assert scene.ask(path="/v1/models", method="GET").status == 200


@pytest.fixture(scope="module")
def stoppable(start_servers):
    """A gunicorn that has a second after being told to stop, and then three more."""
    return start_servers(GRACEFUL_TIMEOUT=4, UPSTREAM_TOTAL_TIMEOUT=120, UPSTREAM_FIRST_BYTE_TIMEOUT=100)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_stop_during_twenty_long_streams_ends_and_settles_them(scene, stoppable, upstream, number):
    scene.server = stoppable
    talking, silent, stuck = (
        upstream(act) for act in (drips(0.2), stalls_before_the_head, plays([TALK[0] * 900] * 900))
    )
    scene.account(talking)
    scene.account(silent, models=[f"{scene.model} silent"], owner=scene.user)
    scene.account(stuck, models=[f"{scene.model} stuck"], owner=scene.user)
    streams, unheard = [], []
    threads = [threading.Thread(target=lambda: streams.append(scene.ask(stream=True))) for _ in range(20)]
    threads.append(threading.Thread(target=lambda: unheard.append(scene.ask(model=f"{scene.model} silent"))))
    for thread in threads:
        thread.start()
    talking.wait_for(20)
    silent.wait_for(1)

    # One who has stopped reading must not keep the worker from closing its books.
    with scene.stream(model=f"{scene.model} stuck"):
        stuck.wait_for(1)
        time.sleep(1)
        told = time.monotonic()
        scene.server.send(number)
        for thread in threads:
            thread.join(30)
        wait_until(lambda: _open_lines(scene) == 0, "a line is open", 5)
        assert 0.9 < time.monotonic() - told < 6

    assert {reply.frames[-1]["error"]["code"] for reply in streams} == {"server_restarting"}
    assert not any("[DONE]" in reply.frames for reply in streams)
    assert unheard[0].status == 503
    assert (unheard[0].error["code"], unheard[0].headers["retry-after"]) == ("server_restarting", "1")
    # No reaper runs here: what is closed was closed by the worker that was told to stop.
    assert {(line["outcome"], line["basis"]) for line in scene.lines()} == {("interrupted", "partial")}
    assert sum(line["charged"] for line in scene.lines()) == scene.charged() > 0
    assert scene.pool_now()["reserved"] == 0
    if number == signal.SIGTERM:
        assert scene.server.master.wait(10) == 0
    else:
        scene.server.wait_until_ready()
        assert scene.ask(path="/v1/models", method="GET").status == 200


def _open_lines(scene):
    found = rows("select count(*) from usage_log where model like :model and state = 'open'", model=f"{scene.model}%")
    return found[0]["count"]
