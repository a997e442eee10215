"""A native Messages stream, metered as it passes, cut wherever the network likes to cut it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_accounts.gateway.dialects.messages import DONE, Meter
from shared_accounts.quotas.pricing import Tokens


def event(kind, **fields):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}\n\n".encode()


def start(**usage):
    return event("message_start", message={"id": "msg_1", "role": "assistant", "content": [], "usage": usage})


def talk(text, index=0):
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


def delta(reason="end_turn", **usage):
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


USAGE = {"input_tokens": 20, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 75}
TOKENS = Tokens(100, 50, 75)
START = start(**USAGE, output_tokens=1)
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
CLOSE = event("content_block_stop", index=0)
PING = event("ping")
TALK = [talk(f"word{number} ") for number in range(5)]
END = delta(output_tokens=50) + DONE
PLAIN = b"".join([START, PING, OPEN, *TALK, CLOSE, END])
ERROR = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
FORGED = '{"type":"message_stop"} "error": {"x" "type":"message_delta"'

STREAMS = {
    "plain": PLAIN,
    "crlf": PLAIN.replace(b"\n", b"\r\n"),
    "comments": b": ping\n\n" + PLAIN.replace(CLOSE, b": ping\n\n" + CLOSE),
    "no names": b"".join(b"data:" + one.split(b"\ndata:")[1] + b"\n\n" for one in PLAIN.split(b"\n\n")[:-1]),
    "input told at the end": PLAIN.replace(START, start(input_tokens=0, output_tokens=0)).replace(END, delta(**USAGE, output_tokens=50) + DONE),
    "input zero at the end": PLAIN.replace(END, delta(input_tokens=0, output_tokens=50) + DONE),
    "totals on the way": PLAIN.replace(END, delta(None, output_tokens=9) + delta(output_tokens=50) + DONE),
    "no usage": b"".join([start(), OPEN, *TALK, CLOSE, delta(), DONE]),
    "start's usage only": b"".join([START, OPEN, *TALK, CLOSE, delta(), DONE]),
    "unicode": b"".join([START, OPEN, talk("héllo 你好 🎉"), CLOSE, END]),
    "marks in the text": b"".join([START, OPEN, talk(FORGED), CLOSE, END]),
    "marks in a tool's input": b"".join(
        [START, event("content_block_start", index=0, content_block={"type": "tool_use", "input": {"type": "message_stop"}}), CLOSE, END]
    ),
    "error": b"".join([START, OPEN, *TALK, ERROR]),
    "error without a type": b"".join([START, OPEN, event("error").replace(b'"type": "error"', b'"error": {"message": "x"}')]),
    "error without words": b"".join([START, OPEN, event("error")]),
    "garbage": b"".join([START, b'data: {"type":"message_delta"\n\n', b'data: ["message_stop", {"type":"error"}]\n\n', END]),
    "no last blank line": PLAIN.removesuffix(b"\n\n"),
    "half an event at the end": b"".join([START, OPEN, *TALK, b'event: content_block_stop\ndata: {"ty']),
}  # fmt: skip


def run(pieces):
    meter = Meter(show_usage=False)
    out = [meter.feed(piece) for piece in pieces]
    return b"".join([*out, meter.flush()]), meter


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_wherever_a_stream_is_cut_the_same_comes_out(name, data):
    stream = STREAMS[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    whole, expected = run([stream])
    cut, meter = run(pieces)

    assert cut == whole
    facts = ("tokens", "events", "done", "finished", "error", "is_empty", "usage_is_final", "unbelieved")
    assert [getattr(meter, fact) for fact in facts] == [getattr(expected, fact) for fact in facts]


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte_nothing_is_changed(name):
    stream = STREAMS[name]
    whole = {"no last blank line": PLAIN, "half an event at the end": b"".join([START, OPEN, *TALK])}.get(name, stream)

    assert run([stream[at : at + 1] for at in range(len(stream))])[0] == run([stream])[0] == whole


METERED = ["plain", "crlf", "comments", "no names", "input told at the end", "input zero at the end", "totals on the way", "unicode", "marks in the text", "marks in a tool's input", "no last blank line"]  # fmt: skip


@pytest.mark.parametrize("name", METERED)
def test_the_prompt_is_told_at_the_start_and_the_total_at_the_end(name):
    _, meter = run([STREAMS[name]])

    assert meter.tokens == TOKENS
    assert meter.usage_is_final
    assert (meter.done, meter.finished, meter.error, meter.unbelieved, meter.is_empty) == (
        True,
        True,
        None,
        False,
        False,
    )


def test_the_usage_of_the_start_alone_is_no_total():
    _, meter = run([STREAMS["start's usage only"]])

    assert meter.tokens == Tokens(100, 1, 75)
    assert not meter.usage_is_final


def test_a_total_in_a_stream_that_never_ended_is_none():
    _, meter = run([START, OPEN, *TALK, delta(None, output_tokens=50)])

    assert meter.tokens == TOKENS
    assert not meter.usage_is_final


def test_a_total_long_before_the_end_is_none():
    _, meter = run([START, OPEN, delta(None, output_tokens=9), *TALK * 2, CLOSE, delta(), DONE])

    assert not meter.usage_is_final


def test_without_a_usage_nothing_is_known():
    _, meter = run([STREAMS["no usage"]])

    assert (meter.tokens, meter.usage_is_final, meter.unbelieved) == (None, False, False)


@pytest.mark.parametrize("name", ["error", "error without a type", "error without words"])
def test_an_error_is_recognised_and_nothing_follows_it(name):
    passed, meter = run([STREAMS[name] + b"".join(TALK) + END])

    assert passed == STREAMS[name]
    assert meter.error
    assert not meter.done


def test_nothing_follows_the_end():
    assert run([PLAIN + b"data: [DONE]\n\n" + START])[0] == PLAIN


@pytest.mark.parametrize("early", [b"", START, START + PING, b": ping\n\n" + START + PING * 3])
def test_an_error_before_any_content_comes_before_any_event(early):
    meter = Meter(show_usage=False)
    meter.feed(early)

    assert meter.events == 0
    meter.feed(ERROR)
    assert (meter.events, bool(meter.error)) == (0, True)


@pytest.mark.parametrize(
    ("stream", "is_empty"),
    [(b"", True), (b": ping\n\n", True), (PING, True), (DONE, True), (START + DONE, True), (START + delta(output_tokens=2) + DONE, False), (START + OPEN, False)],
)  # fmt: skip
def test_an_answer_without_content_is_one_if_it_says_why_it_stopped(stream, is_empty):
    assert run([stream])[1].is_empty is is_empty


def test_whole_events_are_not_held_up():
    meter = Meter(show_usage=False)

    assert meter.feed(START + OPEN) == START + OPEN
    assert meter.feed(TALK[0] + TALK[1][:10]) == TALK[0]
    assert meter.feed(TALK[1][10:]) == TALK[1]


def test_an_event_of_megabytes_flows_through():
    huge, meter = talk("A" * 3_000_000), Meter(show_usage=False)

    passed, most = b"", 0
    for at in range(0, len(huge), 60_000):
        passed += meter.feed(huge[at : at + 60_000])
        most = max(most, at + 60_000 - len(passed))

    assert passed == huge
    assert most <= 128 * 1024


@pytest.mark.parametrize("in_one_read", [True, False])
@pytest.mark.parametrize(
    ("texts", "least", "most"),
    [(["x" * 30_000], 9_900, 10_200), (["word "] * 600, 600, 1_300), (["x"] * 10, 12, 20), ([], 0, 5)],
)
def test_a_cut_stream_is_estimated_by_its_text(texts, least, most, in_one_read):
    stream = [START, PING, OPEN, *map(talk, texts), CLOSE]

    _, meter = run([b"".join(stream)] if in_one_read else stream)

    assert least <= meter.completion_estimate() <= most


@pytest.mark.parametrize(
    ("usage", "tokens", "unbelieved"),
    [
        ({**USAGE, "output_tokens": 50}, TOKENS, False),
        ({"input_tokens": 7, "output_tokens": 3}, Tokens(7, 3, 0), False),
        ({"input_tokens": 7, "cache_read_input_tokens": None, "output_tokens": 3}, Tokens(7, 3, 0), False),
        ({}, None, False),
        (None, None, False),
        (7, None, False),
        ({"input_tokens": -1, "output_tokens": 3}, None, True),
        ({"input_tokens": 10**12, "output_tokens": 3}, None, True),
        ({"input_tokens": "7", "output_tokens": 3}, None, True),
        ({"input_tokens": True, "output_tokens": 3}, None, True),
        ({"input_tokens": 7.5, "output_tokens": 3}, None, True),
    ],
)
def test_a_whole_answer_is_believed_only_when_it_makes_sense(usage, tokens, unbelieved):
    meter = Meter(show_usage=True)

    meter.read_whole({"type": "message", "usage": usage}, 3_000)

    assert (meter.tokens, meter.unbelieved, meter.usage_is_final) == (tokens, unbelieved, tokens is not None)
    assert (meter.done, meter.is_empty) == (True, False)
    assert 900 <= meter.completion_estimate() <= 1_000


def test_an_absurd_total_leaves_what_was_believed():
    _, meter = run([START, OPEN, *TALK, CLOSE, delta(output_tokens=-50), DONE])

    assert (meter.tokens, meter.unbelieved, meter.usage_is_final) == (Tokens(100, 1, 75), True, False)
