"""How a Messages stream ends, and what on its way there is no content."""

from __future__ import annotations

import json

import pytest

from shared_accounts.gateway.dialects.messages import Stream
from tests.gateway.dialects.messages_reader import read
from tests.gateway.dialects.messages_said import ROLE, counted, finish, said, text, translated
from tests.upstream import DONE, USAGE, chunk, event, usage_chunk


@pytest.mark.parametrize(
    ("details", "numbers"),
    [({"cached_tokens": 80}, (20, 0, 80, 50)), ({"cached_tokens": 80, "cache_write_tokens": 15}, (5, 15, 80, 50))],
)
def test_cached_tokens_stand_beside_the_input(details, numbers):
    usage = {**USAGE, "prompt_tokens_details": details}

    for stream in (
        [finish("stop"), event(usage_chunk(usage))],
        [event(chunk({}, "stop", usage=usage))],
        [event(usage_chunk(usage)), finish("stop")],
    ):
        assert translated(ROLE, *stream, DONE).message["usage"] == counted(*numbers)


def test_a_usage_that_cannot_be_true_leaves_the_last_that_can():
    wrong = event(usage_chunk({**USAGE, "completion_tokens": -1}))

    assert translated(ROLE, event(usage_chunk()), wrong, DONE).message["usage"]["output_tokens"] == 50


def test_a_stream_without_usage_says_zero():
    assert translated(ROLE, said(content="x"), finish("stop"), DONE).message["usage"]["output_tokens"] == 0


def test_comments_pass_as_they_are():
    stream = Stream(model="claude")

    assert stream.feed(b": ping\n\n") == b": ping\n\n"
    assert stream.feed(b": one\n: two\n\n" + ROLE).startswith(b": one\n: two\n\nevent: message_start\n")
    assert stream.feed(b": three\n" + said(content="x")).startswith(b": three\n\nevent: content_block_start\n")


@pytest.mark.parametrize("eol", [b"\n", b"\r\n", b"\r"])
def test_any_end_of_line_will_do(eol):
    events = (ROLE + said(content="Hi") + finish("stop") + DONE).replace(b"\n", eol)

    assert translated(events).content == [text("Hi")]


@pytest.mark.parametrize(
    "noise",
    [b"data: nonsense\n\n", b"data: 7\n\n", b"data: {}\n\n", b'data: {"choices": 7}\n\n', b'data: {"choices": [7, {"delta": 7}]}\n\n',
     b'data: {"choices": [{"delta": {"tool_calls": [7, {}, {"function": 7, "index": []}]}}]}\n\n', b"event: x\n\n",
     b'data: {"choices": [{"index": 1, "delta": {"content": "second"}}]}\n\n', b'data: {"error": null}\n\n'],
)  # fmt: skip
def test_what_makes_no_sense_is_passed_over(noise):
    assert translated(noise, ROLE, noise, said(content="Hi"), noise, finish("stop"), noise, DONE).content == [
        text("Hi")
    ]


def test_a_stream_of_nothing_is_an_empty_message():
    found = translated(DONE)

    assert found.events == ["message_start", "message_delta", "message_stop"]
    assert found.message["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ({"message": "Slow down", "type": "rate_limit_error", "code": "x"}, "rate_limit_error", "Slow down"),
        ({"message": "Busy", "type": "overloaded_error"}, "overloaded_error", "Busy"),
        ({"message": "Boom", "type": "server_error", "code": 500}, "api_error", "Boom"),
        ({"code": "insufficient_quota"}, "rate_limit_error", "The upstream failed."),
        ("Boom", "api_error", "Boom"),
        (["Boom"], "api_error", "The upstream failed."),
    ],
)
def test_an_upstreams_error_ends_the_stream(words, kind, message):
    stream = Stream(model="claude")
    broken = stream.feed(
        ROLE + said(content="Hi") + event(json.dumps({"error": words}).encode()) + said(content="more")
    )

    found = read(broken + stream.feed(said(content="more")) + stream.end() + stream.fail("again", type="x", code="x"))

    assert found.error == {"type": kind, "message": message}
    assert found.events[-1] == "error"
    assert found.deltas == ["Hi"]


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("server_error", "upstream_error", "api_error"),
        ("server_error", "upstream_timeout", "timeout_error"),
        ("server_error", "server_restarting", "overloaded_error"),
        ("insufficient_quota", "insufficient_quota", "rate_limit_error"),
    ],
)
def test_a_stream_that_ended_too_soon_says_so_and_nothing_after_it(kind, code, told):
    stream = Stream(model="claude")
    found = read(stream.feed(ROLE + said(content="Hi")) + stream.fail("Sorry.", type=kind, code=code))

    assert found.error == {"type": told, "message": "Sorry."}
    assert stream.feed(said(content="x") + finish("stop") + DONE) + stream.end() == b""


def test_nothing_follows_the_end():
    stream = Stream(model="claude")
    stream.feed(ROLE + finish("stop"))
    stream.end()

    assert stream.end() + stream.feed(ROLE) + stream.fail("Sorry.", type="x", code="x") == b""
