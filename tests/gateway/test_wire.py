"""The one way out, against real sockets: kept connections, broken ones, slow ones, and whose they are."""

from __future__ import annotations

import threading
import time

import pytest

from shared_accounts.outbound.addresses import Guard
from shared_accounts.outbound.line import Line
from shared_accounts.outbound.wire import Answer, Unreachable, Wire, request_head
from tests.upstream import Turn, Upstream, plays, says, split

BODY = b"0123456789" * 1000


@pytest.fixture
def lines():
    """Every line that was handed out, closed in the end."""
    handed: list[Line] = []
    yield handed
    for line in handed:
        line.close()


@pytest.fixture
def wire(lines):
    made = Wire(Guard(["127.0.0.1"]), connect_timeout=2)
    yield made
    made.sweep()


@pytest.fixture
def ask(wire, lines):
    """Send a request and return the answer, its head read."""

    def send(server: Upstream, *, timeout: float | None = 10.0, body: bytes = b"{}") -> Answer:
        origin = Guard(["127.0.0.1"]).parse(server.url).origin
        request = request_head("POST", origin, "/v1/x", {"content-length": str(len(body))}) + b"\r\n" + body
        return wire.exchange(origin, request, timeout, hold=lines.append)

    return send


def closes_at_once(turn: Turn) -> bool:
    """Hear the request out, then hang up without a word."""
    return False


def says_half(turn: Turn) -> bool:
    turn.raw(b"HTTP/1.1 200 OK\r\ncontent-le")
    return False


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("sizes", [(10_000,), (1, 9_999), (3333,), (7, 64)])
def test_a_body_arrives_as_it_was_sent_however_it_is_framed_and_cut(ask, upstream, framing, sizes):
    server = upstream(plays(split(BODY, *sizes), framing=framing))

    assert ask(server).read_all(len(BODY)) == BODY


def test_a_piece_is_there_as_soon_as_it_was_sent(ask, upstream):
    answer = ask(upstream(plays([b"one", 1.0, b"two"])))
    began = time.monotonic()

    assert answer.read() == b"one"
    assert time.monotonic() - began < 0.8
    assert answer.read() == b"two"
    assert answer.read() == b""
    assert answer.read() == b""


@pytest.mark.parametrize("head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"])
@pytest.mark.parametrize("apart", [True, False])
def test_an_interim_answer_is_passed_over(ask, upstream, head, apart):
    final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Name: a\r\nx-name: b\r\n\r\nok"

    def act(turn: Turn) -> bool:
        turn.raw(head if apart else head + final)
        if apart:
            turn.wait(0.1)
            turn.raw(final)
        return True

    answer = ask(upstream(act))

    assert (answer.status, answer.header("x-name"), answer.header("link")) == (200, "a", None)
    assert answer.read_all(10) == b"ok"


def test_a_connection_is_kept_and_used_again(ask, upstream):
    server = upstream(says(BODY))

    for _ in range(3):
        assert ask(server).read_all(10**6) == BODY

    assert server.connections == 1


@pytest.mark.parametrize(
    "act",
    [
        plays([b"x"], framing="close"),
        says(b"x", headers=[("connection", "close")]),
        lambda turn: turn.raw(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx") is None,
    ],
)
def test_a_connection_that_will_be_closed_is_not_kept(ask, upstream, act):
    server = upstream(act)

    assert ask(server).read_all(10) == b"x"
    assert ask(server).read_all(10) == b"x"

    assert server.connections == 2


def test_an_answer_not_read_to_its_end_costs_its_connection(ask, upstream):
    server = upstream(plays([b"one", 0.2, b"two"]))
    answer = ask(server)
    answer.read()
    answer.close()

    assert ask(server).read_all(10) == b"onetwo"
    assert server.connections == 2


def test_an_answer_that_has_said_all_keeps_its_connection_once_the_last_bytes_are_here(ask, upstream):
    def act(turn: Turn) -> bool:
        turn.begin(200, [], length=None, chunked=True)
        turn.write(b"data: [DONE]\n\n")
        turn.wait(0.1)
        turn.end()
        return True

    server = upstream(act)
    answer = ask(server)
    assert answer.read() == b"data: [DONE]\n\n"
    time.sleep(0.3)
    answer.finish()

    answer = ask(server)
    answer.read()
    answer.finish()  # too early: nothing is here yet
    ask(server).read_all(100)

    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_a_kept_connection_that_was_closed_meanwhile_is_not_used(ask, upstream):
    server = upstream(says(b"x"))
    ask(server).read_all(10)
    server.hang_up()
    time.sleep(0.1)

    assert ask(server).read_all(10) == b"x"
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_kept_connection_on_which_something_was_said_out_of_turn_is_not_used(ask, upstream):
    def act(turn: Turn) -> bool:
        turn.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")
        turn.wait(0.1)
        turn.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
        return True

    server = upstream(act)
    ask(server).read_all(10)
    time.sleep(0.4)

    assert ask(server).read_all(10) == b"x"
    assert server.connections == 2


def test_a_kept_connection_that_dies_unheard_is_made_up_for_once(ask, upstream):
    server = upstream(says(b"x"), closes_at_once, says(b"y"))
    ask(server).read_all(10)

    assert ask(server).read_all(10) == b"y"
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_it_is_made_up_for_only_once_however_many_connections_were_kept(ask, upstream):
    server = upstream(*[plays([0.2, b"x"], framing="length")] * 5, closes_at_once)
    threads = [threading.Thread(target=lambda: ask(server).read_all(10)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with pytest.raises(Unreachable):
        ask(server)

    assert server.connections == 6
    assert len(server.requests) == 7


def test_a_fresh_connection_that_dies_is_not_made_up_for(ask, upstream):
    server = upstream(closes_at_once)

    with pytest.raises(Unreachable):
        ask(server)

    assert len(server.requests) == 1


def test_a_kept_connection_that_has_said_a_byte_is_not_made_up_for(ask, upstream):
    server = upstream(says(b"x"), says_half, says(b"never"))
    ask(server).read_all(10)

    with pytest.raises(Unreachable):
        ask(server)

    assert len(server.requests) == 2


def test_a_kept_connection_that_is_slow_is_not_made_up_for(ask, upstream):
    server = upstream(says(b"x"), plays([1.0, b"y"], framing="length"))
    ask(server).read_all(10)

    with pytest.raises(Unreachable) as error:
        ask(server, timeout=0.2).read_all(10)

    assert error.value.timed_out
    assert len(server.requests) == 2


def stays_silent(turn: Turn) -> bool:
    turn.wait(10.0)
    return False


def test_a_kept_connection_that_we_shut_is_not_made_up_for(ask, lines, upstream):
    """Else a request we had given up on would be sent, and paid for, a second time."""
    server = upstream(says(b"x"), stays_silent, says(b"never"))
    ask(server).read_all(10)

    threading.Timer(0.3, lambda: lines[-1].shut()).start()
    with pytest.raises(Unreachable):
        ask(server, timeout=None)

    assert server.requests[1].gone.wait(5)
    assert len(server.requests) == 2


def test_a_line_shut_before_it_is_used_sends_nothing(wire, upstream):
    server = upstream(says(b"x"))
    origin = Guard(["127.0.0.1"]).parse(server.url).origin

    with pytest.raises(Unreachable):
        wire.exchange(origin, b"POST / HTTP/1.1\r\n\r\n", 5.0, hold=lambda line: line.shut())

    assert server.requests == []


def test_who_has_released_a_line_can_no_longer_end_it(ask, lines, upstream):
    """A client that hangs up after its answer must not take somebody else's connection down."""
    server = upstream(says(b"x"), plays([0.5, b"y"], framing="length"))
    mine = ask(server)
    mine.read_all(10)
    was_mine = lines[-1]

    theirs = ask(server)
    was_mine.shut()
    mine.close()
    was_mine.close()

    assert server.requests[1].connection == 1
    assert theirs.read_all(10) == b"y"


def test_who_has_released_a_line_does_not_release_it_again(ask, upstream):
    """Else the same connection would be given to two, and the one would read the other's answer."""
    server = upstream(says(b"x"), plays([0.3, b"theirs"], framing="length"), says(b"third"))
    mine = ask(server)
    assert mine.read() == b"x"

    theirs = ask(server)
    assert mine.read() == b""
    mine.finish()
    third = ask(server)

    assert theirs.read_all(10) == b"theirs"
    assert third.read_all(10) == b"third"
    assert [request.connection for request in server.requests] == [1, 1, 2]


@pytest.mark.parametrize(
    "act",
    [
        closes_at_once,
        says_half,
        plays([b"half"], framing="chunked", ending="close"),
        plays([b"half"], framing="chunked", ending="reset"),
        lambda turn: bool(turn.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")),
        lambda turn: bool(turn.raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")),
        lambda turn: bool(turn.raw(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n")),
        lambda turn: bool(turn.raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
        lambda turn: bool(turn.raw(b"\x16\x03\x01\x00")),
        lambda turn: bool(turn.raw(b"")),
        lambda turn: bool(turn.raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")),
    ],
)
def test_an_answer_that_breaks_off_or_is_none_is_unreachable(ask, upstream, act):
    with pytest.raises(Unreachable) as error:
        ask(upstream(act)).read_all(10**6)

    assert not error.value.timed_out


def test_an_endless_head_is_cut_off(ask, upstream):
    def act(turn: Turn) -> bool:
        turn.raw(b"HTTP/1.1 200 OK\r\n")
        while True:
            turn.raw(b"x-more: " + b"a" * 8000 + b"\r\n")

    with pytest.raises(Unreachable):
        ask(upstream(act), timeout=None)


def test_an_endless_body_is_cut_off(ask, upstream):
    server = upstream(plays([b"x" * 1000] * 1000))

    with pytest.raises(Unreachable):
        ask(server).read_all(5000)


def test_nobody_listening_is_unreachable(ask, upstream):
    server = upstream()
    server.stop()

    with pytest.raises(Unreachable) as error:
        ask(server)

    assert not error.value.timed_out


def test_nobody_answering_the_knock_is_a_timeout(lines):
    # A full backlog: the kernel drops what knocks, as a firewall would.
    import socket

    with socket.socket() as silent, socket.socket() as first:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        first.connect(silent.getsockname())
        origin = Guard(["127.0.0.1"]).parse(f"http://127.0.0.1:{silent.getsockname()[1]}").origin

        with pytest.raises(Unreachable) as error:
            Wire(Guard(["127.0.0.1"]), connect_timeout=0.3).connect(origin)

    assert error.value.timed_out


def test_what_is_asked_names_nobody_but_us(ask, upstream):
    server = upstream(says(b"x"))
    ask(server).read_all(10)

    assert server.requests[0].names == {"host", "user-agent", "content-length"}
    assert server.requests[0].header("user-agent") == "shared_accounts"


def test_idle_connections_are_closed_after_a_while(ask, wire, upstream):
    server = upstream(says(b"x"))
    ask(server).read_all(10)
    wire.sweep(longest_idle=60)
    ask(server).read_all(10)
    assert server.connections == 1

    wire.sweep()

    ask(server).read_all(10)
    assert server.connections == 2
