"""Requests that two servers might read differently, to the byte (quality.md S29): answered once, or not at all.

Each is followed by a second request that is hidden in the first one's body. Whoever reads the first one otherwise than a
proxy before us would serve that second one, to somebody else's connection.
"""

from __future__ import annotations

import re

import pytest

from tests.gateway.scene import CHAT
from tests.upstream import answers

HIDDEN = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-api-key: KEY\r\n\r\n"
LENGTH, CHUNKED = b"content-length: %d\r\n", b"transfer-encoding: chunked\r\n"

HEADS = {
    "chunked, and a length": LENGTH + CHUNKED,
    "a length, and chunked": CHUNKED + LENGTH,
    "two lengths": LENGTH + b"content-length: 0\r\n",
    "twice the same length": LENGTH * 2,
    "a list of lengths": b"content-length: %d, %d\r\n",
    "a signed length": b"content-length: +%d\r\n",
    "a negative length": b"content-length: -1\r\n",
    "a length in hexadecimal": b"content-length: 0x10\r\n",
    "a length with an underscore": b"content-length: 1_0\r\n",
    "a length in other digits": "content-length: \u0661\u0660\r\n".encode(),
    "an empty length": b"content-length: \r\n",
    "space before the colon": b"content-length : %d\r\n",
    "space before the name": b" content-length: %d\r\n",
    "xchunked": b"transfer-encoding: xchunked\r\n",
    "chunked twice": CHUNKED * 2,
    "chunked, then identity": b"transfer-encoding: chunked, identity\r\n",
    "identity": b"transfer-encoding: identity\r\n" + LENGTH,
    "chunked by a vertical tab": b"transfer-encoding:\x0bchunked\r\n",
    "two hosts": b"host: y\r\n" + LENGTH,
    "a bare line feed": b"content-length: %d\nx: y\r\n",
    "a bare carriage return": b"x: y\rcontent-length: %d\r\n",
    "a folded line": b"x: y\r\n content-length: %d\r\n",
    "a NUL": b"x: a\x00b\r\n" + LENGTH,
    "no colon": b"content-length\r\n",
    "no name": b": x\r\n" + LENGTH,
}
CHUNKS = {
    "a size that is none": b"zz\r\n",
    "a negative size": b"-1\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size beyond all numbers": b"f" * 40 + b"\r\n",
    "a chunk longer than its size": b"2\r\nhello\r\n0\r\n\r\n",
    "a bare line feed after the size": b"5\nhello\r\n0\r\n\r\n",
    "a chunk cut off": b"ff\r\nhello",
    "no last chunk": b"5\r\nhello\r\n",
}
LINES = {
    "no version": b"POST /v1/chat/completions\r\n",
    "another protocol": b"POST /v1/chat/completions HTTP/3.0\r\n",
    "a space in the path": b"POST /v1/chat /completions HTTP/1.1\r\n",
    "a control character in the path": b"POST /v1/chat\x01/completions HTTP/1.1\r\n",
    "a method that is none": b"PO ST /v1/chat/completions HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.fixture
def served(scene, upstream):
    """The model is served, so that only the bytes can be at fault; nothing of them may reach its upstream."""
    server = upstream(answers())
    scene.account(server)
    yield server
    assert server.requests == []
    assert scene.lines() == []


def exchange(scene, sent: bytes) -> bytes:
    """Send these bytes and the end of all bytes; return everything that comes back."""
    found = b""
    with scene.server.raw() as client:
        try:
            client.sendall(sent)
            client.shutdown(1)
            while piece := client.recv(65536):
                found += piece
        except ConnectionError:
            pass
    return found


def assert_refused_once(answer: bytes) -> None:
    """Nothing came back, or one refusal and the end of the connection."""
    statuses = [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE)]
    assert len(statuses) <= 1, answer
    assert set(statuses) <= {400, 404, 405, 408, 413, 501, 505}, answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_could_mean_two_lengths_is_refused_and_hides_nothing(scene, served, name):
    hidden = HIDDEN.replace(b"KEY", scene.key.encode())
    head = HEADS[name].replace(b"%d", b"%d" % len(hidden))
    start = b"POST %s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n" % (CHAT.encode(), scene.key.encode())

    assert_refused_once(exchange(scene, start + head + b"\r\n" + b"0\r\n\r\n" * (b"chunked" in head) + hidden))


@pytest.mark.parametrize("name", CHUNKS)
def test_a_body_whose_chunks_are_none_is_refused_and_hides_nothing(scene, served, name):
    start = b"POST %s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n" % (CHAT.encode(), scene.key.encode())

    assert_refused_once(exchange(scene, start + CHUNKED + b"\r\n" + CHUNKS[name]))


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_no_request_is_refused(scene, served, name):
    rest = b"host: x\r\nauthorization: Bearer %s\r\ncontent-length: 2\r\n\r\n{}" % scene.key.encode()

    assert_refused_once(exchange(scene, LINES[name] + rest))


def test_a_request_that_is_plain_is_answered_and_so_is_the_one_behind_it(scene):
    """The same bytes, framed as they should be: two requests, two answers."""
    plain = HIDDEN.replace(b"KEY", scene.key.encode())

    found = exchange(scene, plain + plain.replace(b"host: x", LENGTH % 0 + b"host: x"))

    assert re.findall(rb"^HTTP/1\.1 (\d{3})", found, re.MULTILINE) == [b"200", b"200"]


@pytest.mark.parametrize(
    ("name", "headers", "body"),
    [
        ("gzip that is none", b"content-encoding: gzip\r\n", b"{}"),
        ("another charset", b"content-type: application/json; charset=utf-16\r\n", '{"model":"m"}'.encode("utf-16")),
        ("a byte order mark", b"content-type: application/json\r\n", b"\xef\xbb\xbf{}"),
        ("half a character", b"content-type: application/json\r\n", b'{"model":"\xe4\xbd"}'),
        ("overlong UTF-8", b"content-type: application/json\r\n", b'{"model":"\xc0\xaf"}'),
    ],
)
def test_a_body_in_an_encoding_that_is_none_is_a_400(scene, served, name, headers, body):
    start = b"POST %s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n" % (CHAT.encode(), scene.key.encode())

    answer = exchange(scene, start + headers + LENGTH % len(body) + b"\r\n" + body)

    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b"invalid_request_error" in answer


@pytest.mark.parametrize(
    "path", ["/v1/models/%ff%fe", "/v1/models/%00", "/v1/models/%2e%2e", "/v1/%c0%af", "/v1/models/%zz"]
)
def test_a_path_in_an_encoding_that_is_none_is_nobodys(scene, served, path):
    reply = scene.ask(method="GET", path=path, raw=b"")

    assert reply.status == 404
    assert set(reply.error) == {"message", "type", "param", "code"}


def test_options_tells_the_methods_and_opens_nothing(scene, served):
    reply = scene.ask(method="OPTIONS", raw=b"", headers={})

    assert (reply.status, reply.body) == (200, b"")
    assert set(reply.headers["allow"].split(", ")) == {"POST", "OPTIONS"}
