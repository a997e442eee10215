"""Clients that leave, and servers that must stop: whatever the exit, the books are closed."""

import os
import signal
import threading
import time

import pytest

from shared_accounts.gateway import books
from tests.gateway.scene import COST, wait_until
from tests.upstream import answers, chunk, drips, event, stalls, stalls_before_the_head

SOON = 2.0  # seconds the gateway may take to notice; the machine gets as many again
ROLE, WORD = event(chunk({"role": "assistant", "content": ""})), event(chunk({"content": "word "}))


def test_a_client_that_leaves_while_the_upstream_is_silent_ends_the_call(scene, upstream):
    server = upstream(stalls(ROLE, WORD, WORD))
    scene.account(server)

    with scene.stream() as response:
        response.read1(100)
        left = time.monotonic()

    assert server.requests[0].gone.wait(SOON)
    line = scene.line(2 * SOON)
    assert time.monotonic() - left < 2 * SOON
    assert (line["outcome"], line["basis"]) == ("client_left", "partial")
    assert 0 < line["charged"] < line["estimate"]
    assert scene.pool_now()["reserved"] == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_the_first_byte_ends_the_call(scene, upstream, stream):
    server = upstream(stalls_before_the_head)
    scene.account(server)
    connection = scene.server.connect()
    connection.request("POST", "/v1/chat/completions", scene.body(stream=stream), scene.headers())
    server.wait_for(1)

    connection.close()

    assert server.requests[0].gone.wait(SOON)
    line = scene.line(2 * SOON)
    assert (line["outcome"], line["basis"]) == ("client_left", "partial")
    assert scene.pool_now()["reserved"] == 0


def test_the_next_request_on_a_kept_connection_is_no_hang_up(scene, upstream):
    scene.account(upstream(answers(delay=0.5)))
    body, bare = scene.body(), scene.server.raw()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {scene.key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"

    bare.sendall((head.encode() + body) * 2)
    wait_until(lambda: len([line for line in scene.lines() if line["state"] == "closed"]) == 2, "two calls, two lines")
    bare.close()

    assert [line["outcome"] for line in scene.lines()] == ["served", "served"]
    assert scene.charged() == 2 * COST


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "GET", "PUT", "DELETE"])
def test_other_methods_open_nothing(scene, upstream, method):
    scene.account(upstream(answers()))

    assert scene.ask(method=method).status in {200, 204, 405}

    assert scene.lines() == []


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
