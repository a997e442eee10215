"""What crosses the gateway, in both directions, to the byte; and what does not."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.gateway.scene import CHAT, PLUGIN_CHAT, read
from tests.upstream import DONE, USAGE, answers, chunk, event, plays, says, split, streams, usage_chunk

ROLE = event(chunk({"role": "assistant", "content": ""}))
FINISH = event(chunk({}, "stop"))
EMOJI = event('{"choices":[{"index":0,"delta":{"content":"héllo 你好 🎉"}}]}'.encode())
HUGE = event(chunk({"content": "A" * 3_000_000}))


@pytest.mark.parametrize("path", [CHAT, PLUGIN_CHAT])
def test_unknown_request_fields_reach_the_upstream_byte_for_byte(scene, upstream, path):
    server = upstream(answers())
    scene.account(server)
    raw = (
        b'{ "seed" : 123456789012345678901234567890, "t":1.0,\t"e":1E5, "u":"\\u4f60\\/", "a":{"b":1,"b":2}, '
        b'"messages":[{"role":"user","content":"hi \xf0\x9f\x8e\x89"}] ,"stream": false, "model": "%s" }\n'
    ) % scene.model.encode()

    assert scene.ask(path=path, raw=raw).status == 200

    assert server.requests[0].body == raw


STREAMS = {
    "plain": [ROLE, event(chunk({"content": "hi"})), FINISH, DONE],
    "crlf": [b"".join([ROLE, event(chunk({"content": "hi"})), FINISH, DONE]).replace(b"\n", b"\r\n")],
    "usage null in each": [event(chunk({"content": "hi"}, usage=None)), event(chunk({}, "stop", usage=None)), DONE],
    "named events and comments": [b": ping\n\nevent: chunk\nid: 7\nretry: 10\n" + ROLE, b": ping\n\n", FINISH, DONE],
    "utf-8 cut in two": [ROLE, EMOJI[:50], 0.05, EMOJI[50:51], 0.05, EMOJI[51:], FINISH, DONE],
    "byte by byte": [*split(ROLE + EMOJI + FINISH + DONE, 1)],
    "awkward": [*split(ROLE + EMOJI + FINISH + DONE, 3, len(ROLE) - 4, 7, 11, 2, pause=0.002)],
    "megabytes": [ROLE, HUGE, FINISH, DONE],
    "megabytes in pieces": [ROLE, *split(HUGE, 100_000), FINISH, DONE],
}


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_comes_out_as_it_went_in(scene, upstream, name, framing):
    scene.account(upstream(plays(STREAMS[name], framing=framing)), owner=scene.user)

    reply = scene.ask(stream=True)

    assert reply.body == b"".join(piece for piece in STREAMS[name] if isinstance(piece, bytes))
    assert not reply.broken


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_json_answer_comes_out_as_it_went_in(scene, upstream, framing):
    body = b'{ "choices" : [ ] ,"usage":{"prompt_tokens":1,"completion_tokens":1}, "x":1.0, "big":"%s"}\n' % (
        b"y" * 200_000
    )
    scene.account(upstream(says(body, framing=framing)))

    reply = scene.ask()

    assert reply.body == body
    assert reply.headers["content-length"] == str(len(body))


@pytest.mark.parametrize("show", [True, False])
def test_the_usage_frame_comes_only_to_who_asked(scene, upstream, show):
    server = upstream(streams("hi", unasked=True))
    scene.account(server)

    reply = scene.ask(stream=True, stream_options={"include_usage": True} if show else None)

    last = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
        "usage": USAGE,
    }
    assert (last in reply.frames) is show
    assert (event(usage_chunk()) in reply.body) is show
    assert server.requests[0].json["stream_options"] == {"include_usage": True}
    assert scene.line()["basis"] == "measured"


def test_bytes_come_as_soon_as_the_upstream_sent_them(scene, upstream):
    words = [event(chunk({"content": f"word{number} "})) for number in range(4)]
    pieces = [ROLE, *[piece for word in words for piece in (0.4, word)], 0.4, FINISH + DONE]
    scene.account(upstream(plays(pieces)))
    arrivals = []

    with scene.stream() as response:
        while piece := response.read1(65536):
            arrivals.append((time.monotonic(), piece))

    assert [piece for _, piece in arrivals] == [ROLE, *words, FINISH + DONE]
    gaps = [later[0] - sooner[0] for sooner, later in itertools.pairwise(arrivals)]
    assert all(0.2 < gap < 0.9 for gap in gaps), gaps


def test_an_unfinished_event_does_not_hold_up_the_one_before_it(scene, upstream):
    whole, half = event(chunk({"content": "whole"})), event(chunk({"content": "half"}))
    scene.account(upstream(plays([ROLE + whole + half[:20], 0.8, half[20:] + FINISH + DONE])))

    with scene.stream() as response:
        began = time.monotonic()
        assert response.read1(65536) == ROLE + whole
        assert time.monotonic() - began < 0.6
        assert read(response).body == half + FINISH + DONE


def test_only_what_is_on_the_list_of_headers_reaches_the_upstream(scene, upstream):
    server = upstream(answers())
    account = scene.account(server, secret="sk-of-the-account")
    headers = scene.headers(
        cookie="session=1", x_forwarded_for="6.6.6.6", x_forwarded_host="evil", forwarded="for=6.6.6.6", via="1.1 x",
        user_agent="her-tool/1.0", accept="text/plain", accept_encoding="gzip, br", origin="https://her.example",
        referer="https://her.example/secret", x_stainless_lang="python", openai_organization="org-hers",
        x_request_id="hers", traceparent="00-1-1-01", proxy_authorization="Basic x", te="trailers", x_api_key=scene.key,
    )  # fmt: skip

    for stream in (False, True):
        assert scene.ask(headers=headers, stream=stream).status == 200

    for request in server.requests:
        assert request.names == {"host", "user-agent", "authorization", "content-type", "accept", "content-length"}
        assert request.header("authorization") == "Bearer sk-of-the-account"
        assert request.header("user-agent") == "shared_accounts"
        assert request.header("host") == f"127.0.0.1:{server.port}"
        assert request.header("content-type") == "application/json"
        assert scene.key.encode() not in request.body
    assert account.id == scene.last_line()["account_id"]


@pytest.mark.parametrize("stream", [False, True])
def test_no_header_of_the_upstream_reaches_the_client(scene, upstream, stream):
    theirs = [
        ("set-cookie", "session=theirs"), ("server", "theirs"), ("openai-organization", "org-theirs"), ("x-request-id", "theirs"),
        ("x-ratelimit-remaining-requests", "98765"), ("cf-ray", "x"), ("access-control-allow-origin", "https://theirs.example"), ("content-language", "x"),
    ]  # fmt: skip
    body = b"".join([ROLE, FINISH, DONE]) if stream else b'{"choices":[]}'
    kind = "text/event-stream; odd=1" if stream else "application/json; odd=1"
    scene.account(upstream(plays([body], headers=[("content-type", kind), *theirs], framing="length")))

    reply = scene.ask(stream=stream)

    assert reply.body == body
    assert not set(dict(theirs).values()) & set(reply.headers.values())
    allowed = {
        "server",
        "date",
        "connection",
        "content-type",
        "x-request-id",
        "x-content-type-options",
        "cache-control",
        "openai-version",
        "openai-processing-ms",
        "access-control-allow-origin",
        "access-control-expose-headers",
    }
    extra = {"transfer-encoding", "x-accel-buffering"} if stream else {"content-length"}
    assert {name.lower() for name in reply.headers} == allowed | extra
    assert reply.headers["content-type"] == ("text/event-stream; charset=utf-8" if stream else "application/json")
    assert reply.headers["cache-control"] == ("no-cache" if stream else "no-store")
    assert "/" not in reply.headers["server"]


@pytest.mark.parametrize("path", [CHAT, PLUGIN_CHAT])
def test_a_key_and_a_token_open_both_doors_in_every_usual_header(scene, upstream, path):
    scene.account(upstream(answers("Hello")))
    nothing = scene.headers(authorization=None)

    for secret in (scene.key, scene.token()):
        for header in (
            {"authorization": f"Bearer {secret}"},
            {"authorization": f"bearer  {secret} "},
            {"x-api-key": secret},
            {"api-key": secret},
            {"authorization": f"Bearer {secret}", "x-api-key": secret},
        ):
            assert scene.ask(path=path, headers={**nothing, **header}).status == 200, header

    lines = scene.lines()
    assert [line["api_key_id"] is None for line in lines] == [False] * 5 + [True] * 5
    assert {line["user_id"] for line in lines} == {scene.user.id}


@pytest.mark.parametrize("path", [CHAT, PLUGIN_CHAT, "/v1/models"])
def test_no_credential_or_two_different_ones_open_nothing(scene, upstream, path):
    scene.account(upstream())
    _, other = scene.somebody()
    nothing = scene.headers(authorization=None)
    method = "GET" if path == "/v1/models" else "POST"

    for header in (
        {},
        {"authorization": ""},
        {"authorization": scene.key},
        {"authorization": f"Basic {scene.key}"},
        {"authorization": f"Bearer {scene.key} {scene.key}"},
        {"authorization": f"Bearer {scene.key}", "x-api-key": other},
        {"authorization": f"Bearer {scene.key}", "api-key": "sk-x"},
        {"authorization": f"Bearer {scene.key}", "x-api-key": scene.token()},
        {"x-api-key": scene.key, "api-key": other},
        {"cookie": f"access_token={scene.token()}"},
    ):
        reply = scene.ask(path=path, method=method, headers={**nothing, **header})
        assert reply.status == 401, header
        assert reply.headers["www-authenticate"] == "Bearer"
        assert scene.key.encode() not in reply.body
    assert scene.lines() == []
