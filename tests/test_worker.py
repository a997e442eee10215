"""What our gunicorn worker does differently must not show: every kind of answer, whole, in order, on one connection."""

from __future__ import annotations

import http.client
import io
import socket
import subprocess
import sys
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from shared_accounts.local.servers import free_port
from tests.conftest import ROOT
from tests.gateway.scene import wait_until

MUCH = 8 * 1024 * 1024


def app(environ, start_response):
    """What the worker serves here."""
    kind = environ["PATH_INFO"].strip("/")
    if kind == "fails":
        raise ValueError
    if kind == "fails-late":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return breaks()
    if kind == "nothing":
        start_response("204 No Content", [])
        return []
    if kind == "pieces":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"one ", b"", b"two ", b"three"])
    if kind == "file":
        start_response("200 OK", [("Content-Length", str(Path(__file__).stat().st_size))])
        return environ["wsgi.file_wrapper"](Path(__file__).open("rb"))
    if kind == "no-file":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"no file at all"))
    body = b"x" * (MUCH if kind == "much" else 5)
    splits = [("x-request-id", "one\r\nset-cookie: two")] if kind == "splits" else []
    start_response("200 OK", [("Content-Length", str(len(body))), *splits])
    return [body]


def breaks():
    yield b"so far"
    raise ValueError


@pytest.fixture(scope="module")
def port():
    found = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "shared_accounts.worker.Worker", "--no-control-socket"]
    command += ["-b", f"127.0.0.1:{found}", "--log-level", "critical", "tests.test_worker:app"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            wait_until(lambda: answers(found), "it does not start", 60)
            yield found
        finally:
            process.terminate()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def client(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    yield connection
    connection.close()


def ask(client, path, method="GET"):
    client.request(method, path)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_each_kind_of_answer_comes_whole_one_after_the_other_on_one_connection(client):
    asked = ["/", "/pieces", "/nothing", "/file", "/no-file", "/", "/much", "/pieces"]

    got = [ask(client, path) for path in asked]

    kept = client.sock
    assert got == [
        (200, b"xxxxx"),
        (200, b"one two three"),
        (204, b""),
        (200, Path(__file__).read_bytes()),
        (200, b"no file at all"),
        (200, b"xxxxx"),
        (200, b"x" * MUCH),
        (200, b"one two three"),
    ]
    assert ask(client, "/") == (200, b"xxxxx")
    assert client.sock is kept


def test_asked_for_its_head_alone_an_answer_has_no_body(client):
    assert ask(client, "/", "HEAD") == (200, b"")
    assert ask(client, "/pieces", "HEAD") == (200, b"")
    assert ask(client, "/") == (200, b"xxxxx")


def test_head_and_body_come_in_one_packet(port):
    with socket.create_connection(("127.0.0.1", port), 60) as raw:
        for _ in range(3):
            raw.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            head, _, body = raw.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert body == b"xxxxx"


def test_what_fails_before_its_first_piece_is_an_error_and_after_it_no_clean_end(client):
    assert ask(client, "/fails")[0] == 500
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(client, "/fails-late")
    assert broken.value.partial == b"so far"


def test_the_time_goes_on(client):
    def now():
        client.request("GET", "/")
        answer = client.getresponse()
        answer.read()
        return parsedate_to_datetime(answer.headers["Date"])

    first = now()

    wait_until(lambda: now() > first, "it stands still")


def test_a_header_that_would_become_two_is_an_error(client):
    assert ask(client, "/splits")[0] == 500
