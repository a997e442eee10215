"""Streams that outstay their time, workers that die and servers that must stop: the books are closed all the same."""

import os
import signal
import threading
import time

import pytest

from shared_accounts.gateway import books
from tests.gateway.scene import wait_until
from tests.upstream import chunk, drips, event, stalls

SOON = 2.0
ROLE, WORD = event(chunk({"role": "assistant", "content": ""})), event(chunk({"content": "word "}))


def test_a_stream_that_falls_silent_ends_by_its_deadline(scene, upstream):
    server = upstream(stalls(ROLE, WORD))
    scene.account(server)

    reply = scene.ask(stream=True)

    assert reply.frames[-1]["error"]["code"] == "upstream_timeout"
    assert "[DONE]" not in reply.frames
    assert scene.line()["outcome"] == "timed_out"
    assert server.requests[0].gone.wait(SOON)


def test_a_stream_that_only_drips_ends_by_the_total_deadline(scene, upstream):
    scene.account(upstream(drips(0.3, WORD)))
    started = time.monotonic()

    reply = scene.ask(stream=True)

    assert time.monotonic() - started < 15
    assert reply.frames[-1]["error"]["code"] == "upstream_timeout"
    assert scene.line()["outcome"] == "timed_out"


def test_a_stream_longer_than_its_lease_keeps_its_reservation(scene, start_server, upstream):
    scene.server = start_server(LEASE_SECONDS=2, HEARTBEAT_SECONDS=1, UPSTREAM_TOTAL_TIMEOUT=60)
    scene.account(upstream(drips(0.3, WORD)))

    with scene.stream() as response:
        for _ in range(12):
            response.read1(1000)
            books.close_abandoned()
            assert scene.lines()[0]["state"] == "open"

    assert scene.line()["outcome"] == "client_left"


def test_a_worker_that_is_killed_leaves_a_line_that_is_settled_once_at_its_estimate(scene, start_server, upstream):
    scene.server = start_server(LEASE_SECONDS=2, HEARTBEAT_SECONDS=1, UPSTREAM_TOTAL_TIMEOUT=60)
    scene.account(upstream(drips(0.3, WORD)))

    with scene.stream() as response:
        response.read1(1000)
        os.kill(scene.server.pids()[0], signal.SIGKILL)
        wait_until(lambda: books.close_abandoned() == 1, "nothing is reaped")

    assert books.close_abandoned() == 0
    line = scene.line()
    assert (line["outcome"], line["basis"], line["charged"]) == ("abandoned", "estimated", line["estimate"])
    assert (scene.charged(), scene.pool_now()["reserved"]) == (line["estimate"], 0)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_during_twenty_long_streams_leaves_nothing_reserved(scene, start_server, upstream, number):
    scene.server = start_server(GRACEFUL_TIMEOUT=6, UPSTREAM_TOTAL_TIMEOUT=120)
    scene.account(upstream(drips(0.2, WORD)))
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(scene.ask(stream=True))) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(scene.lines()) == 20, "twenty streams")
    time.sleep(1)

    scene.server.send(number)
    for thread in threads:
        thread.join(30)

    assert {reply.frames[-1]["error"]["code"] for reply in replies} == {"server_restarting"}
    # No reaper runs here: what is closed was closed by the workers that were told to stop.
    wait_until(lambda: scene.pool_now()["reserved"] == 0, "something stays reserved", 5)
    assert {(line["state"], line["outcome"]) for line in scene.lines()} == {("closed", "interrupted")}
