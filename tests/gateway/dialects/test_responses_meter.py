"""Metering what an upstream streams as Responses itself, cut wherever the network likes to cut it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_accounts.gateway import upstream
from shared_accounts.gateway.dialects.responses import Meter, Stream
from shared_accounts.quotas.pricing import Tokens
from tests.gateway.dialects.reading_responses import chat
from tests.gateway.dialects.test_responses_answer import USAGE
from tests.upstream import DONE

TOKENS = Tokens(100, 50, 80)
TOLD = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 80}, "output_tokens": 50, "total_tokens": 150}


def told(kind, **facts):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **facts}, ensure_ascii=False)}\n\n".encode()


def spoken(*deltas, **facts):
    stream = Stream(model="m")
    return stream.feed(chat(*deltas, **{"usage": USAGE, **facts})) + stream.end()


def delta(text):
    return told("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=text, logprobs=[])


def failed(**error):
    return told("response.failed", response={"id": "resp_1", "status": "failed", "error": error or None, "usage": None})


BEGUN = told("response.created", response={"error": None, "tools": [{"parameters": {"properties": {"error": {"type": "error"}}}}]}) + told("response.in_progress", response={"error": None})  # fmt: skip
TALK = b"".join(delta(f"word{number} ") for number in range(5))
LAST = told("response.completed", response={"id": "resp_1", "error": None, "usage": TOLD})
FAILED = failed(code="rate_limit_exceeded", message="slow down")


def run(pieces, *, show_usage=False):
    meter = Meter(show_usage=show_usage)
    out = [meter.feed(piece) for piece in pieces]
    return b"".join([*out, meter.flush()]), meter


PLAIN = spoken(
    {"content": "a" * 20}, {"content": "b"}, {"tool_calls": [{"function": {"name": "x", "arguments": "{}"}}]}
)
STREAMS = {
    "plain": PLAIN,
    "without names": b"".join(line + b"\n\n" for line in PLAIN.splitlines() if line.startswith(b"data:")),
    "crlf": PLAIN.replace(b"\n", b"\r\n"),
    "cr": PLAIN.replace(b"\n", b"\r"),
    "comments": b": ping\n\n" + PLAIN.replace(b"event: response.output_text.done", b": ping\n\nevent: response.output_text.done"),
    "unicode": spoken({"content": "héllo 你好 🎉"}),
    "marks in the text": spoken({"content": '{"type": "response.completed"} "error": {"a":1} data: [DONE]\n\ndata: x'}),
    "cut for length": spoken({"content": "a"}, finish="length"),
    "broke off": BEGUN + TALK,
    "failed": BEGUN + TALK + FAILED,
    "an error": BEGUN + TALK + told("error", code="server_error", message="boom"),
    "no last blank line": PLAIN.removesuffix(b"\n\n"),
    "half an event at the end": BEGUN + TALK + b'data: {"type": "response.comp',
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_wherever_a_stream_is_cut_the_same_comes_out(name, data):
    stream = STREAMS[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    whole, expected = run([stream])
    cut, meter = run(pieces)

    assert cut == whole
    facts = ("tokens", "events", "done", "finished", "error", "is_empty", "usage_is_final", "unbelieved")
    assert [getattr(meter, fact) for fact in facts] == [getattr(expected, fact) for fact in facts]
    assert meter.completion_estimate() == expected.completion_estimate()


@pytest.mark.parametrize("name", ["plain", "without names", "crlf", "cr", "comments", "unicode", "marks in the text", "cut for length", "no last blank line"])  # fmt: skip
@pytest.mark.parametrize("show_usage", [True, False])
def test_the_last_event_brings_the_usage_and_all_bytes_pass(name, show_usage):
    passed, meter = run([STREAMS[name]], show_usage=show_usage)

    assert passed.strip() == STREAMS[name].strip()
    assert meter.tokens == TOKENS
    assert (meter.done, meter.finished, meter.usage_is_final) == (True, True, True)
    assert (meter.error, meter.unbelieved, meter.is_empty) == (None, False, False)


def test_nothing_follows_the_end():
    assert run([PLAIN + DONE + PLAIN])[0] == PLAIN
    assert run([PLAIN, DONE])[1].done


@pytest.mark.parametrize("name", ["broke off", "half an event at the end"])
def test_a_stream_that_broke_off_has_no_end(name):
    passed, meter = run([STREAMS[name]])

    assert passed == BEGUN + TALK
    assert (meter.done, meter.finished, meter.usage_is_final, meter.error) == (False, False, False, None)
    assert not meter.is_empty


ERRORS = [
    (FAILED, upstream.LIMIT),
    (failed(code="server_error", message="boom"), upstream.FAULT),
    (failed(), upstream.FAULT),
    (told("error", code="insufficient_quota", message="no more"), upstream.LIMIT),
    (told("error", error={"code": "x", "message": "boom"}), upstream.FAULT),
    (b'data: {"error": {"message": "rate limit"}}\n\n', upstream.LIMIT),
    (b'data: {"error": "boom"}\n\n', upstream.FAULT),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS)
def test_an_error_is_recognised_and_nothing_follows_it(error, kind):
    passed, meter = run([BEGUN + error + TALK + LAST])

    assert passed == BEGUN + error
    assert (meter.done, meter.finished) == (False, False)
    assert meter.error
    assert upstream.refused_by_error(meter.error).kind == kind


def test_a_failure_tells_what_was_used_all_the_same():
    stream = BEGUN + TALK + told("response.failed", response={"error": {"code": "server_error"}, "usage": TOLD})

    _, meter = run([stream])

    assert meter.tokens == TOKENS
    assert not meter.usage_is_final


@pytest.mark.parametrize("stream", [b"", b": ping\n\n", BEGUN, DONE, BEGUN + DONE, BEGUN.replace(b"\n", b"\r\n")])
def test_an_announcement_is_not_yet_an_answer(stream):
    _, meter = run([stream])

    assert (meter.is_empty, meter.events) == (True, 0)


def test_a_response_of_nothing_is_an_answer():
    assert not run([BEGUN + LAST])[1].is_empty


def test_a_long_last_event_is_read_however_it_is_cut():
    echo = told("response.completed", response={"instructions": "x" * 500_000, "output": [], "usage": TOLD})
    stream = BEGUN + TALK + echo

    passed, meter = run([stream[at : at + 40_000] for at in range(0, len(stream), 40_000)])

    assert passed == stream
    assert meter.tokens == TOKENS
    assert meter.done


def test_an_event_of_megabytes_flows_through_and_costs_little_memory():
    huge = told("response.image_generation_call.partial_image", partial_image_b64="A" * 3_000_000)
    meter, passed, most = Meter(show_usage=False), b"", 0
    for at in range(0, len(huge), 60_000):
        passed += meter.feed(huge[at : at + 60_000])
        most = max(most, at + 60_000 - len(passed))
    passed += meter.feed(TALK + LAST)

    assert passed == huge + TALK + LAST
    assert most <= 128 * 1024
    assert meter.tokens == TOKENS
    assert meter.completion_estimate() < 100


def test_whole_events_are_not_held_up():
    meter = Meter(show_usage=False)

    assert meter.feed(BEGUN) == BEGUN
    assert meter.feed(delta("a") + delta("b")[:10]) == delta("a")
    assert meter.feed(delta("b")[10:]) == delta("b")


def test_an_estimate_looks_at_what_the_model_wrote_and_not_at_what_repeats_it():
    talk = "".join(f"word{number} " for number in range(5000))
    deltas = b"".join(delta(talk[at : at + 50]) for at in range(0, len(talk), 50))
    repeated = told("response.output_text.done", text=talk) + told("response.output_item.done", item={"text": talk})

    _, meter = run([BEGUN, deltas, repeated])

    assert len(talk) / 3 - 10 <= meter.completion_estimate() <= len(talk) / 3 + 10


@pytest.mark.parametrize("text", ["a", '\\"', "\\\\"])
def test_a_text_that_is_never_closed_costs_no_time(text):
    closed = told("response.function_call_arguments.delta", delta='{"a": "' * 20_000)

    _, meter = run([closed, b'data: {"delta":"' + text.encode() * 10_000 + b"\n\n"])

    assert 50_000 < meter.completion_estimate() < 70_000


@pytest.mark.parametrize(
    ("usage", "tokens", "unbelieved"),
    [
        (TOLD, TOKENS, False),
        ({"input_tokens": 7}, Tokens(7, 0, 0), False),
        ({"input_tokens": 7, "output_tokens": 3, "input_tokens_details": None}, Tokens(7, 3, 0), False),
        (None, None, False),
        ({}, None, False),
        ({"total_tokens": 7}, None, True),
        ({"input_tokens": -1, "output_tokens": 3}, None, True),
        ({"input_tokens": 10**12, "output_tokens": 3}, None, True),
        ({"input_tokens": 7, "output_tokens": "3"}, None, True),
        ("7", None, True),
    ],
)
def test_a_usage_is_believed_only_when_it_makes_sense(usage, tokens, unbelieved):
    _, meter = run([BEGUN + TALK + told("response.completed", response={"usage": usage})])
    whole = Meter(show_usage=False)
    whole.read_whole({"usage": usage, "output": []}, 100)

    assert (meter.tokens, meter.unbelieved) == (tokens, unbelieved)
    assert (whole.tokens, whole.unbelieved) == (tokens, unbelieved)


def test_a_whole_response_is_metered_by_its_output():
    meter = Meter(show_usage=False)

    meter.read_whole({"instructions": "x" * 90_000, "output": [{"text": "y" * 3000}]}, 95_000)

    assert 1000 <= meter.completion_estimate() <= 1010
    assert (meter.events, meter.done, meter.is_empty) == (1, True, False)
