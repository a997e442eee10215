"""What the gateway's answers say beside their bodies, and what of either side's headers never reaches the other."""

from __future__ import annotations

import http.client
import re

import pytest
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.requests_in import duration
from tests import factories
from tests.gateway.scene import CHAT, read
from tests.upstream import answers, plays, refuses, says, streams

LEVEL = 3
OURS = {
    "access-control-allow-origin",
    "access-control-expose-headers",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "openai-processing-ms",
    "openai-version",
    "server",
    "transfer-encoding",
    "x-accel-buffering",
    "x-content-type-options",
    "x-request-id",
    "x-should-retry",
}
TELLTALE = [
    ("Set-Cookie", "upstream=crumb"),
    ("Server", "upstream-server"),
    ("X-Secret", "upstream-secret"),
    ("openai-organization", "org-upstream"),
    ("x-request-id", "req-upstream"),
    ("openai-processing-ms", "123456789"),
    ("x-ratelimit-remaining-requests", "424242"),
    ("Via", "1.1 upstream"),
    ("Alt-Svc", 'h3=":443"'),
    ("Access-Control-Allow-Origin", "https://upstream.example"),
    ("Content-Language", "tlh"),
]
JSON = [("content-type", "application/json"), *TELLTALE]
EVENTS = [("content-type", "text/event-stream"), *TELLTALE]
ANSWER = b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def limited(scene):
    """Somebody with quota whose level allows so many requests a minute: `limited(3)` returns her key."""

    def make(per_minute):
        _allow(per_minute)
        user, key = scene.somebody(trust_level=LEVEL)
        factories.quota_pool(user, model_group=scene.model)
        db.session.rollback()
        return key

    yield make
    _allow(None)


def _allow(per_minute):
    change = f"update trust_levels set requests_per_minute = :value where level = {LEVEL}"
    db.session.execute(text(change), {"value": per_minute})
    db.session.commit()


def all_of(headers):
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_says_its_id_its_version_and_how_long_it_took_to_begin(scene, upstream, stream):
    scene.account(upstream(streams(*["word"] * 4, delay=0.5) if stream else answers()))

    reply = scene.ask(stream=stream)

    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["x-request-id"])
    assert reply.headers["openai-version"] == "2020-10-01"
    assert 1 <= int(reply.headers["openai-processing-ms"]) < 30_000


def test_a_streams_time_is_counted_until_it_begins(scene, upstream):
    scene.account(upstream(streams("a", "b", "c", delay=0.8)))

    reply = scene.ask(stream=True)

    assert reply.frames[-1] == "[DONE]"
    assert int(reply.headers["openai-processing-ms"]) < scene.last_line()["total_ms"] - 1000


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/nope", "GET", 404), (CHAT, "DELETE", 405), ("/v1/models", "GET", 401), (CHAT, "POST", 401)],
)
def test_a_refusal_says_them_too(client, path, method, status):
    answer = client.open(path, method=method)

    assert answer.status_code == status
    assert answer.headers["x-request-id"]
    assert answer.headers["openai-processing-ms"].isdecimal()
    assert answer.headers["openai-version"] == "2020-10-01"


def test_management_does_not_speak_openai(client):
    answer = client.get("/api/auth/me")

    assert answer.status_code == 401
    assert not [name for name in all_of(answer.headers) if name.startswith(("openai-", "x-ratelimit", "x-should"))]


@pytest.mark.parametrize(
    ("act", "stream", "status"),
    [
        (says(ANSWER, headers=JSON), False, 200),
        (plays([EVENT], headers=EVENTS), True, 200),
        (says(b'{"error": {"message": "odd"}}', status=400, headers=JSON), False, 400),
        (says(b'{"error": {"message": "slow"}}', status=429, headers=[*JSON, ("retry-after", "7")]), False, 429),
        (says(b"<html>", status=500, headers=TELLTALE), False, 502),
    ],
    ids=["whole", "stream", "caller's fault", "limit", "fault"],
)
def test_nothing_an_upstream_says_beside_its_answer_reaches_the_client(scene, upstream, act, stream, status):
    scene.account(upstream(act))

    reply = scene.ask(stream=stream)

    headers = all_of(reply.headers)
    assert reply.status == status
    assert set(headers) - {"retry-after"} <= OURS
    assert not [value for _, value in TELLTALE for said in headers.values() if value in said]
    assert (headers["server"], headers["access-control-allow-origin"]) == ("gunicorn", "*")


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_a_client_says_beside_its_request_reaches_the_upstream(scene, upstream, stream):
    server = upstream(streams("a") if stream else answers())
    account = scene.account(server)
    body = scene.body(stream=stream)
    lines = [
        f"POST {CHAT}?query=tell HTTP/1.1",
        "Host: client-host.example",
        f"Authorization: Bearer {scene.key}",
        f"X-Api-Key: {scene.key}",
        "Cookie: session=tell-cookie",
        "User-Agent: tell-agent/1.0",
        "X-Forwarded-For: 203.0.113.99",
        "X-Forwarded-Proto: https",
        "X-Real-Ip: 203.0.113.99",
        "Forwarded: for=203.0.113.99",
        "Via: 1.1 tell-proxy",
        "Referer: https://tell-page.example/",
        "Origin: https://tell-page.example",
        "X-Stainless-Arch: tell-arch",
        "OpenAI-Organization: org-tell",
        "OpenAI-Project: proj-tell",
        "Idempotency-Key: tell-key",
        "Anthropic-Version: 2023-06-01",
        "X-Custom: tell-custom",
        "Accept-Encoding: gzip, br",
        "Accept-Language: tlh",
        "Proxy-Authorization: Basic dGVsbA==",
        "Expect-Ct: tell",
        "TE: trailers",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    with scene.server.raw() as client:
        client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        response = http.client.HTTPResponse(client)
        response.begin()
        reply = read(response)

    (request,) = server.requests
    sent = {name.lower(): value for name, value in request.headers}
    assert reply.status == 200
    assert len(sent) == len(request.headers)
    assert set(sent) == {"host", "user-agent", "authorization", "accept", "content-type", "content-length"}
    assert sent["host"] == f"127.0.0.1:{server.port}"
    assert request.path == "/v1/chat/completions"
    assert sent["authorization"].startswith("Bearer sk-upstream-")
    assert scene.key not in str(request.headers) + request.body.decode()
    assert not [value for value in sent.values() if "tell" in value or "203.0.113.99" in value or "tlh" in value]
    assert account.id == scene.line()["account_id"]


def test_a_caller_with_a_limit_hears_how_it_stands_and_when_she_is_refused_too(scene, upstream, limited):
    scene.account(upstream(answers()))
    key = limited(2)

    replies = [scene.ask(key=key) for _ in range(3)]

    assert [reply.status for reply in replies] == [200, 200, 429]
    assert [reply.headers["x-ratelimit-limit-requests"] for reply in replies] == ["2"] * 3
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0", "0"]
    for reply in replies:
        assert re.fullmatch(r"(\d+(\.\d)?s|\d+ms|1m[01]s)", reply.headers["x-ratelimit-reset-requests"])
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 61
    assert replies[-1].headers["x-should-retry"] == "true"


def test_a_caller_without_one_hears_of_none(scene, upstream):
    scene.account(upstream(answers()))

    assert not [name for name in all_of(scene.ask().headers) if name.startswith("x-ratelimit")]


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (-1, "0ms"),
        (0, "0ms"),
        (0.012, "12ms"),
        (0.9996, "1s"),
        (7.54, "7.5s"),
        (59.96, "1m0s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3599.7, "1h0m0s"),
        (86399, "23h59m59s"),
    ],
)
def test_a_time_is_written_as_openai_writes_it(seconds, written):
    assert duration(seconds) == written


@pytest.mark.parametrize(
    ("act", "status", "retry"),
    [
        (refuses(400), 400, "false"),
        (refuses(404, "The model does not exist"), 404, "false"),
        (refuses(422), 422, "false"),
        (refuses(429, retry_after=7), 429, "true"),
        (refuses(429, retry_after=3600), 429, "false"),
        (refuses(500), 502, "true"),
    ],
)
def test_a_refusal_says_whether_to_try_again(scene, upstream, act, status, retry):
    scene.account(upstream(act))

    reply = scene.ask()

    assert (reply.status, reply.headers["x-should-retry"]) == (status, retry)
    assert ("retry-after" in reply.headers) is (status in {429, 502})


def test_what_no_second_try_can_change_says_so(scene, upstream):
    scene.account(upstream(answers()))
    poor, key = scene.somebody()
    factories.quota_pool(poor, balance=0, model_group=scene.model)
    db.session.rollback()

    replies = {
        "insufficient_quota": scene.ask(key=key),
        "model_not_found": scene.ask(model="nobody-has-it"),
        "invalid_api_key": scene.ask(key="sk-" + "x" * 64),
        None: scene.ask(raw=b"{"),
    }

    assert {reply.error["code"]: reply.status for reply in replies.values()} == {
        "insufficient_quota": 429,
        "model_not_found": 404,
        "invalid_api_key": 401,
        None: 400,
    }
    assert {reply.headers["x-should-retry"] for reply in replies.values()} == {"false"}
    assert replies["insufficient_quota"].headers["retry-after"]


def test_an_account_that_pauses_is_worth_waiting_for(scene, upstream):
    scene.account(upstream(refuses(429, retry_after=60)))
    scene.ask()

    reply = scene.ask()

    assert reply.status in {429, 503}
    assert reply.headers["x-should-retry"] == "true"
    assert 1 <= int(reply.headers["retry-after"]) <= 60


def test_an_answer_says_nothing_about_trying_again(scene, upstream):
    scene.account(upstream(answers()))

    assert "x-should-retry" not in scene.ask().headers


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/MODEL"])
def test_whoever_asks_for_the_head_alone_gets_it(scene, upstream, path):
    scene.account(upstream(answers()))
    path = path.replace("MODEL", scene.model)

    whole, head = scene.ask(method="GET", path=path, raw=b""), scene.ask(method="HEAD", path=path, raw=b"")

    assert (whole.status, head.status, head.body) == (200, 200, b"")
    assert all_of(head.headers).keys() == all_of(whole.headers).keys()
    assert head.headers["content-length"] == whole.headers["content-length"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, {"POST", "OPTIONS"}),
        ("HEAD", CHAT, {"POST", "OPTIONS"}),
        ("TRACE", CHAT, {"POST", "OPTIONS"}),
        ("POST", "/v1/models", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/v1/models/m", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/v1/messages", {"POST", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(client, method, path, allowed):
    answer = client.open(path, method=method)

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", ["/v1/v1/chat/completions", "/v1/v1/messages", "/v1/v1/models"])
def test_a_base_url_that_says_v1_twice_is_told_so_and_not_served(scene, upstream, path):
    server = upstream(answers())
    scene.account(server)

    reply = scene.ask(path=path)

    assert (reply.status, reply.headers["x-should-retry"]) == (404, "false")
    assert "/v1/v1" in reply.error["message"]
    assert "base URL" in reply.error["message"]
    assert server.requests == []
