"""Whatever is sent to a chat door gets a clear answer in the shape of that door, and leaves nothing half-done."""

from __future__ import annotations

import http.client
import json
import re
import time

import pytest

from tests.gateway.scene import CHAT, MESSAGES, PLUGIN_CHAT, Reply, at_once, read
from tests.upstream import answers

CANARY = "zqxcanary"
DOORS = [CHAT, PLUGIN_CHAT]
MOST_BYTES = 300_000  # MAX_BODY_BYTES of the server under test


def assert_refused(reply: Reply, path: str, status: int, field: str | None = None) -> None:
    """A refusal in OpenAI's shape under /v1 and in ours elsewhere, naming the field and echoing nothing."""
    assert reply.status == status, reply.body
    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["x-request-id"])
    assert reply.headers["content-type"] == "application/json"
    assert CANARY.encode() not in reply.body
    assert b"Traceback" not in reply.body
    if path.startswith("/v1"):
        assert set(reply.error) == {"message", "type", "param", "code"}
        assert reply.error["param"] == field
        assert reply.error["message"]
    else:
        assert reply.json["code"] == status
        assert reply.json["message"] == reply.json["detail"]
        assert reply.json["error_code"]
        assert set(reply.json.get("errors", {}).get("json", {})) == ({field} if field else set())


@pytest.fixture
def served(scene, upstream):
    """The model is served, so that only the body can be at fault."""
    server = upstream(answers())
    scene.account(server)
    yield server
    assert server.requests == []
    assert scene.lines() == []
    assert scene.pool_now()["reserved"] == scene.charged() == 0


NESTED = b"[" * 100_000 + b"]" * 100_000
BODIES = {
    "nothing": (b"", None),
    "no JSON": (CANARY.encode(), None),
    "half of JSON": (b'{"model": "m", "messages": [', None),
    "not UTF-8": (b'{"model": "\xff\xfe"}', None),
    "UTF-16": ('{"model": "m"}'.encode("utf-16"), None),
    "a list": (b"[]", None),
    "null": (b"null", None),
    "a string": (f'"{CANARY}"'.encode(), None),
    "nested for ever": (b'{"messages":' + NESTED + b"}", None),
    "a number for ever": (b'{"max_tokens":' + b"9" * 100_000 + b"}", None),
    "NaN": (b'{"max_tokens": NaN}', None),
}
FIELDS = {
    "no model": ({"model": None}, "model"),
    "an empty model": ({"model": ""}, "model"),
    "a model of the wrong type": ({"model": {"a": CANARY}}, "model"),
    "a model with NUL": ({"model": f"{CANARY}\x00"}, "model"),
    "an over-long model": ({"model": CANARY * 100}, "model"),
    "no messages": ({"messages": None}, "messages"),
    "empty messages": ({"messages": []}, "messages"),
    "messages of the wrong type": ({"messages": CANARY}, "messages"),
    "a message of the wrong type": ({"messages": [CANARY]}, "messages"),
    "stream of the wrong type": ({"stream": CANARY}, "stream"),
    "stream options of the wrong type": ({"stream_options": CANARY}, "stream_options"),
    "negative max_tokens": ({"max_tokens": -1}, "max_tokens"),
    "huge max_tokens": ({"max_tokens": 10**18}, "max_tokens"),
    "max_tokens beyond 64 bits": ({"max_tokens": 10**30}, "max_tokens"),
    "max_tokens of the wrong type": ({"max_tokens": CANARY}, "max_tokens"),
    "huge max_completion_tokens": ({"max_completion_tokens": 10**18}, "max_completion_tokens"),
    "zero n": ({"n": 0}, "n"),
    "huge n": ({"n": 10**6}, "n"),
    "n of the wrong type": ({"n": [CANARY]}, "n"),
}


@pytest.mark.parametrize("path", DOORS)
def test_a_body_that_cannot_be_used_is_a_400_that_names_the_field(scene, served, connection, path):
    for raw, field in BODIES.values():
        reply = scene.ask(path=path, raw=raw, connection=connection)
        assert_refused(reply, path, 400, field)
    for fields, field in FIELDS.values():
        reply = scene.ask(path=path, connection=connection, **fields)
        assert_refused(reply, path, 400, field)


@pytest.mark.parametrize("path", DOORS)
def test_an_unknown_model_is_a_404_that_does_not_repeat_it(scene, served, path):
    for model in (CANARY, f"<script>{CANARY}</script>", "' or 1=1 --", "../../etc/passwd", "💥", "%00", "m\u202e"):
        assert_refused(scene.ask(path=path, model=model), path, 404, "model")


@pytest.mark.parametrize("path", DOORS)
def test_who_asks_is_settled_before_what_is_asked(scene, served, path):
    """A stranger learns nothing about what a body should look like."""
    reply = scene.ask(path=path, raw=b"no json", headers=scene.headers(authorization=None))

    assert_refused(reply, path, 401)


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_the_type_a_body_claims_does_not_matter(scene, upstream, content_type):
    """curl users forget it; the body speaks for itself."""
    scene.account(upstream(answers()))

    assert scene.ask(headers=scene.headers(content_type=content_type)).status == 200


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def send_raw(
    scene, path: str, headers: str, body: bytes, *, then_close: bool = False, seconds: float = 20
) -> Reply | None:
    """Send bytes no client library would; returns the answer, or nothing when the connection ends without one."""
    with scene.server.raw() as client:
        client.settimeout(seconds)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {scene.key}\r\n{headers}\r\n"
        try:
            client.sendall(head.encode() + body)
            if then_close:
                client.shutdown(1)
            response = http.client.HTTPResponse(client)
            response.begin()
            return read(response)
        except (http.client.HTTPException, ConnectionError):
            return None


@pytest.mark.parametrize("path", DOORS)
def test_a_body_over_the_limit_is_a_413_however_it_is_framed(scene, served, path):
    big = scene.body(x="y" * MOST_BYTES)

    assert_refused(scene.ask(path=path, raw=big), path, 413)
    framed = send_raw(scene, path, "transfer-encoding: chunked\r\n", chunked(big))
    endless = send_raw(scene, path, "transfer-encoding: chunked\r\n", chunked(*[b"x" * 60_000] * 10, end=b""))
    promised = send_raw(scene, path, "content-length: 99999999999\r\n", b"{")

    for reply in (framed, endless, promised):
        assert reply is not None
        assert_refused(reply, path, 413)


@pytest.mark.parametrize("path", DOORS)
def test_a_body_just_under_the_limit_is_served_however_it_is_framed(scene, upstream, path):
    server = upstream(answers())
    scene.account(server)
    body = scene.body(stream=False)
    body += b" " * (MOST_BYTES - len(body))

    assert scene.ask(path=path, raw=body).status == 200
    reply = send_raw(scene, path, "transfer-encoding: chunked\r\n", chunked(body[:10], body[10:70_000], body[70_000:]))
    assert reply is not None
    assert reply.status == 200
    assert [request.body for request in server.requests] == [body, body]


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(
    ("headers", "cut"),
    [
        ("transfer-encoding: chunked\r\n", lambda body: chunked(body, end=b"")),
        ("transfer-encoding: chunked\r\n", lambda body: chunked(body)[:-20]),
        ("transfer-encoding: chunked\r\n", lambda body: b"zz\r\n" + body),
        ("transfer-encoding: chunked\r\n", lambda body: b"-5\r\n" + body),
        ("content-length: 5000\r\n", lambda body: body),
    ],
)
def test_a_body_that_was_cut_off_is_never_taken_for_a_whole_one(scene, served, path, headers, cut):
    reply = send_raw(scene, path, headers, cut(scene.body()), then_close=True)

    assert reply is not None
    assert_refused(reply, path, 400)


def test_what_never_comes_is_not_waited_for_for_ever(scene, served):
    """Half a head, half a body, half a chunk."""

    def half_a_head():
        with scene.server.raw() as client:
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost:")
            return client.recv(100)

    began = time.monotonic()
    nothing, body, chunk = at_once(
        half_a_head,
        lambda: send_raw(scene, CHAT, "content-length: 500\r\n", b'{"model":', seconds=50),
        lambda: send_raw(scene, CHAT, "transfer-encoding: chunked\r\n", b'40\r\n{"model":', seconds=50),
    )

    assert time.monotonic() - began < 30
    assert nothing == b""
    for reply in (body, chunk):
        assert reply is not None
        assert_refused(reply, CHAT, 408)


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", {400}),
        ("content-length: 5\r\ncontent-length: 6\r\n", {400}),
        ("content-length: -5\r\n", {400}),
        ("content-length: x\r\n", {400}),
        ("content-length : 5\r\n", {400}),
        ("transfer-encoding: xchunked\r\n", {400, 501}),
        ("transfer-encoding: chunked, identity\r\n", {400, 501}),
        ("host: y\r\n", {400}),
        ("x: a\x00b\r\n", {400}),
    ],
)
def test_a_request_that_two_servers_might_read_differently_is_refused(scene, served, headers, statuses):
    """Request smuggling (quality.md S29): the answer is gunicorn's own, and the connection is over."""
    body = scene.body()

    reply = send_raw(scene, CHAT, headers, chunked(body) + b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n")

    assert reply is None or reply.status in statuses, reply


@pytest.mark.parametrize("path", [*DOORS, "/v1/models", "/v1/models/x", "/api/plugin-api/models"])
def test_a_wrong_method_is_a_405_that_names_the_right_ones(scene, path):
    right = "POST" if "chat" in path else "GET"
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "GET" if right == "POST" else "POST"):
        reply = scene.ask(path=path, method=method, raw=b"")
        assert_refused(reply, path, 405)
        assert right in reply.headers["allow"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [f"/v1/{CANARY}", "/v1", "/v1/", "/v1/v1/models", "/v1/chat", f"/v1/chat/completions/{CANARY}", f"/v1//{CANARY}"],
)
def test_an_unknown_route_under_v1_is_a_404_in_openais_shape(scene, method, path):
    assert_refused(scene.ask(path=path, method=method, raw=b""), "/v1", 404)


def test_an_unknown_route_elsewhere_is_a_404_in_our_shape(scene):
    assert_refused(scene.ask(path=f"/api/{CANARY}", method="GET", raw=b""), "/api", 404)


def test_nothing_of_a_prompt_or_a_credential_is_in_the_log(scene, upstream):
    scene.account(upstream(answers(CANARY)), secret="sk-upstreamcanary-0123456789abcdef0123456789")
    said = [{"role": "user", "content": CANARY}, *MESSAGES]
    scene.ask(messages=said)
    scene.ask(messages=said, stream=True)
    scene.ask(messages=said, model=CANARY)
    scene.ask(raw=json.dumps({"model": CANARY * 50, "messages": said}).encode())
    scene.last_line()

    for secret in (CANARY, "upstreamcanary", scene.key, "sk-" + scene.key[3:20]):
        assert secret not in scene.server.output()
