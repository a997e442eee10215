"""Clients that leave: noticed while the upstream is silent, settled, and never mistaken for clients that stay."""

from __future__ import annotations

import http.client
import socket
import threading
import time

import pytest

from tests.gateway.scene import CHAT, content, wait_until
from tests.upstream import DONE, Turn, answers, chunk, event, plays, says, stalls, stalls_before_the_head, streams

TALK = [event(chunk({"content": f"word{number} "})) for number in range(3)]


def send(scene, client, **fields):
    """Send a chat on a bare connection."""
    body = scene.body(**fields)
    head = "".join(f"{name}: {value}\r\n" for name, value in scene.headers(content_length=str(len(body))).items())
    client.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + body)


def asks(scene, *, stream, after=b""):
    """Ask and wait for these bytes of the answer; returns the connection."""
    client = scene.server.raw()
    send(scene, client, stream=stream)
    got = b""
    while after not in got:
        got += client.recv(65536)
    return client


@pytest.mark.parametrize(
    ("act", "stream", "after"),
    [
        (stalls(*TALK), True, b"word2"),
        (stalls(), True, b""),
        (stalls_before_the_head, True, b""),
        (stalls_before_the_head, False, b""),
        (plays([b'{"choices":'], headers=[("content-type", "application/json")], ending="hang"), False, b""),
    ],
    ids=["mid-stream", "before the first event", "before the head", "JSON, before the head", "JSON, mid-body"],
)
@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_client_that_leaves_a_silent_upstream_is_noticed_at_once(scene, upstream, act, stream, after, how):
    server = upstream(act)
    account = scene.account(server)
    client = asks(scene, stream=stream, after=after)
    server.wait_for(1)
    time.sleep(0.1)

    left = time.monotonic()
    if how == "half-close":
        client.shutdown(socket.SHUT_WR)
    elif how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.close()
    else:
        client.close()

    assert server.requests[0].gone.wait(10)
    assert server.requests[0].gone_at - left < 2
    line = scene.line(seconds=2)
    client.close()
    assert (line["outcome"], line["basis"], line["http_status"], line["error_code"]) == (
        "client_left",
        "partial",
        None,
        None,
    )
    assert line["completion_tokens"] == (3 if after else 0)
    assert 0 < line["charged"] == scene.charged() < line["estimate"]
    assert scene.pool_now()["reserved"] == 0
    assert len(server.requests) == 1
    assert scene.account_now(account)["strikes"] == 0


def test_two_hundred_clients_that_leave_at_once_leave_nothing_behind(scene, upstream):
    server = upstream(streams("a", "b", delay=0.02))
    scene.account(server)

    for number in range(200):
        asks(scene, stream=bool(number % 2)).close()

    # Whoever is seen to have left before the exchange was opened has no line at all.
    wait_until(lambda: scene.lines() and {line["state"] for line in scene.lines()} == {"closed"}, "an open line")
    time.sleep(0.5)
    lines = scene.lines()
    assert {line["state"] for line in lines} == {"closed"}
    assert {line["outcome"] for line in lines} <= {"client_left", "served"}
    assert sum(line["charged"] for line in lines) == scene.charged()
    assert len([line for line in lines if line["basis"] != "released"]) <= len(server.requests)
    assert scene.pool_now()["reserved"] == 0


def test_a_client_that_leaves_after_its_answer_has_been_served(scene, upstream):
    """It hangs up between the end of the stream and the end of the connection, as most tools do."""
    scene.account(upstream(streams("a", "b")))

    for _ in range(10):
        asks(scene, stream=True, after=b"[DONE]").close()

    scene.last_line()
    wait_until(lambda: [line["state"] for line in scene.lines()] == ["closed"] * 10, "an open line")
    assert {line["basis"] for line in scene.lines()} == {"measured"}


def test_whoever_leaves_takes_nobody_elses_answer_along(scene, upstream):
    """All of them share the connections to one upstream, handed from one exchange to the next."""
    server = upstream(streams(*["word"] * 10, delay=0.01))
    scene.account(server)
    broken = []

    def stay():
        for _ in range(8):
            reply = scene.ask(stream=True)
            if reply.frames[-1] != "[DONE]":
                broken.append(reply)

    def go():
        for number in range(40):
            asks(scene, stream=True, after=b"[DONE]" if number % 2 else b"word").close()

    threads = [threading.Thread(target=one) for one in (stay, stay, stay, go, go)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert broken == []


def test_each_answer_goes_to_the_one_who_asked(scene, upstream):  # noqa: C901 - two kinds of reader and what they ask
    """The case in which answers could cross: an upstream's connection is free while its answer is still being written.

    Slow readers keep the last piece of their answers waiting; meanwhile others are served on the same connections,
    and half of the slow ones leave.
    """

    def echoes(turn: Turn) -> bool:
        said, size = turn.request.json["messages"][0]["content"].split()
        pieces = [event(chunk({"content": said})), 0.05, event(chunk({"content": said * int(size)}))]
        return plays([*pieces, event(chunk({}, "stop"))], framing="length")(turn)

    # So much text costs her nothing, and fits into the window.
    scene.account(upstream(echoes), owner=scene.user, allowance_tokens=10**12)
    wrong, over = [], threading.Event()

    def quick():
        number = 0
        while not over.is_set():
            number += 1
            said = f"{threading.get_ident()}-{number}"
            reply = scene.ask(stream=True, messages=[{"role": "user", "content": f"{said} 3"}])
            if content(reply.frames) != said * 4 or reply.frames[-1] != "[DONE]":
                wrong.append((said, reply.body))

    def slow(number):
        said = f"slow-{number}"
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", scene.server.port))
            send(scene, client, stream=True, messages=[{"role": "user", "content": f"{said} 100000"}])
            client.recv(1, socket.MSG_PEEK)
            time.sleep(0.3)
            if number % 2:
                return
            with http.client.HTTPResponse(client) as response:
                response.begin()
                got = response.read()
            if got.count(said.encode()) != 100_001 or not got.endswith(DONE):
                wrong.append((said, got))

    askers = [threading.Thread(target=quick) for _ in range(6)]
    readers = [threading.Thread(target=slow, args=(number,)) for number in range(8)]
    for thread in askers + readers:
        thread.start()
    for thread in readers:
        thread.join()
    over.set()
    for thread in askers:
        thread.join()

    assert wrong == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "GET", "PUT", "DELETE"])
def test_no_other_method_opens_an_exchange(scene, upstream, method):
    server = upstream()
    scene.account(server)

    reply = scene.ask(method=method)

    assert reply.status == (200 if method == "OPTIONS" else 405)
    assert "POST" in reply.headers["allow"]
    assert scene.lines() == []
    assert server.requests == []


def test_a_second_request_on_its_way_already_is_not_a_hang_up(scene, upstream):
    server = upstream(streams("one", "two", "three", delay=0.2), answers("the second"))
    scene.account(server)
    with scene.server.raw() as client:
        send(scene, client, stream=True)
        send(scene, client)
        got = b""
        while b"the second" not in got:
            piece = client.recv(65536)
            assert piece, got
            got += piece

    assert got.index(b"three") < got.index(b"[DONE]") < got.index(b"the second")
    assert len(server.requests) == 2
    wait_until(lambda: [line["outcome"] for line in scene.lines()] == ["served"] * 2, "not served")


def test_a_client_that_stops_reading_is_cut_off_and_settled(scene, upstream):
    """Its connection stays open, so no hang-up is to be seen; without a deadline it would keep its reservation."""
    flood = event(chunk({"content": "x" * 60_000}))
    server = upstream(plays([flood] * 400))
    scene.account(server)
    client = asks(scene, stream=True, after=b"xxx")

    line = scene.line(seconds=15)

    assert (line["outcome"], line["basis"]) == ("timed_out", "partial")
    assert server.requests[0].gone.wait(2)
    client.close()


def test_an_answer_is_not_lost_to_a_client_that_reads_slowly(scene, upstream):
    body = b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "x": "%s"}' % (b"y" * 5_000_000)
    scene.account(upstream(says(body)))
    connection = scene.server.connect()
    connection.request("POST", CHAT, scene.body(), scene.headers())
    time.sleep(2.5)  # longer than the gap's deadline

    got = connection.getresponse().read()
    connection.close()

    assert got == body
    assert scene.line()["outcome"] == "served"


def test_an_old_client_gets_its_stream_too(scene, upstream):
    scene.account(upstream(streams("Hello")))
    body = scene.body(stream=True)
    head = "".join(f"{n}: {v}\r\n" for n, v in scene.headers(content_length=str(len(body))).items())

    with scene.server.raw() as client:
        client.sendall(f"POST {CHAT} HTTP/1.0\r\n{head}\r\n".encode() + body)
        response = http.client.HTTPResponse(client)
        response.begin()
        got = response.read()
        response.close()

    assert got.endswith(b"data: [DONE]\n\n")
    assert scene.line()["outcome"] == "served"
