"""What a stream may look like, cut wherever the network likes to cut it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_accounts.gateway.sse import Meter, tokens_of
from shared_accounts.quotas.pricing import Tokens
from tests.upstream import DONE, USAGE, chunk, event, usage_chunk

TOKENS = Tokens(100, 50, 0)
ROLE = event(chunk({"role": "assistant", "content": ""}))
FINISH = event(chunk({}, "stop"))
TALK = [event(chunk({"content": f"word{number} "})) for number in range(5)]
PLAIN = b"".join([ROLE, *TALK, FINISH, event(usage_chunk()), DONE])


def run(pieces, *, show_usage=False):
    meter = Meter(show_usage=show_usage)
    out = [meter.feed(piece) for piece in pieces]
    return b"".join([*out, meter.flush()]), meter


STREAMS = {
    "plain": PLAIN,
    "crlf": PLAIN.replace(b"\n", b"\r\n"),
    "cr": PLAIN.replace(b"\n", b"\r"),
    "comments": b": ping\n\n" + PLAIN.replace(FINISH, b": ping\n\n" + FINISH),
    "named events": PLAIN.replace(b"data: {", b"event: chunk\nid: 7\ndata: {"),
    "no space": PLAIN.replace(b"data: ", b"data:"),
    "usage in the last chunk": b"".join([ROLE, *TALK, event(chunk({}, "stop", usage=USAGE)), DONE]),
    "usage null in each": b"".join(
        [ROLE, *[event(chunk({"content": "x"}, usage=None))] * 5, FINISH, event(usage_chunk()), DONE]
    ),
    "usage running in each": b"".join(
        event(chunk({"content": "x"}, usage={**USAGE, "completion_tokens": number})) for number in range(45, 51)
    )
    + FINISH
    + DONE,
    "no usage": b"".join([ROLE, *TALK, FINISH, DONE]),
    "unicode": b"".join([ROLE, event('{"choices":[{"delta":{"content":"héllo 你好 🎉"}}]}'.encode()), FINISH, DONE]),
    "marks in the text": b"".join([ROLE, event(chunk({"content": 'data: [DONE] "usage": {"error": {'})), FINISH, DONE]),
    "error": b"".join([ROLE, *TALK, event(b'{"error":{"message":"boom"}}')]),
    "garbage": b"".join([ROLE, event(b'{"choices": 7, "usage": {"x": '), event(b"nonsense"), FINISH, DONE]),
    "odd choices": b"".join([ROLE, event(b'{"choices": 7, "usage": {}}'), event(b'["finish_reason": "x"]'), DONE]),
    "no last blank line": PLAIN.removesuffix(b"\n\n"),
    "half an event at the end": b"".join([ROLE, *TALK, FINISH, b'data: {"choices": [{"del']),
}


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_wherever_a_stream_is_cut_the_same_comes_out(name, data):
    stream = STREAMS[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    show_usage = data.draw(st.booleans())

    whole, expected = run([stream], show_usage=show_usage)
    cut, meter = run(pieces, show_usage=show_usage)

    assert cut == whole
    facts = ("tokens", "events", "done", "finished", "error", "is_empty")
    assert [getattr(meter, fact) for fact in facts] == [getattr(expected, fact) for fact in facts]


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte_nothing_is_lost(name):
    stream = STREAMS[name]

    assert run([stream[at : at + 1] for at in range(len(stream))])[0] == run([stream])[0]


@pytest.mark.parametrize("name", ["plain", "crlf", "cr", "comments", "named events", "no space", "usage null in each"])
def test_a_usage_frame_is_read_and_kept_from_whoever_did_not_ask(name):
    hidden, meter = run([STREAMS[name]])
    shown, _ = run([STREAMS[name]], show_usage=True)

    assert meter.tokens == TOKENS
    assert meter.usage_is_final
    assert meter.done
    assert b'"prompt_tokens"' not in hidden
    assert shown == STREAMS[name]
    assert hidden == b"".join(e for e in _events(STREAMS[name]) if b'"prompt_tokens"' not in e)


@pytest.mark.parametrize("name", ["usage in the last chunk", "usage running in each"])
def test_a_usage_beside_text_passes_with_its_text(name):
    passed, meter = run([STREAMS[name]])

    assert passed == STREAMS[name]
    assert meter.tokens == TOKENS
    assert meter.usage_is_final


@pytest.mark.parametrize("name", ["no usage", "unicode", "marks in the text"])
def test_what_a_model_says_is_never_taken_for_a_mark(name):
    passed, meter = run([STREAMS[name]])

    assert passed == STREAMS[name]
    assert meter.tokens is None
    assert meter.error is None
    assert meter.done
    assert meter.finished


def test_nothing_follows_an_error_event():
    passed, meter = run([STREAMS["error"] + b"".join(TALK) + DONE])

    assert passed == STREAMS["error"]
    assert meter.error == {"error": {"message": "boom"}}
    assert not meter.done


@pytest.mark.parametrize(
    "error", ['{"error":"words"}', '{"error" : {"message":"x"}}', '{"id":"1","error":{"code":500}}']
)
def test_an_error_is_recognised_in_every_usual_spelling(error):
    assert run([ROLE, event(error.encode())])[1].error


@pytest.mark.parametrize(
    "frame", ['{"error":null,"choices":[{}]}', '{"error":"","choices":[{}]}', '{"x":{"error":{"a":1}}}']
)
def test_an_empty_or_nested_error_is_none(frame):
    assert run([event(frame.encode())])[1].error is None


def test_nothing_follows_the_end():
    assert run([ROLE + DONE + ROLE])[0] == ROLE + DONE


def test_whole_events_are_not_held_up():
    meter = Meter(show_usage=False)

    assert meter.feed(ROLE) == ROLE
    assert meter.feed(TALK[0] + TALK[1][:10]) == TALK[0]
    assert meter.feed(TALK[1][10:]) == TALK[1]


def test_an_event_of_megabytes_flows_through_and_costs_little_memory():
    huge = event(chunk({"content": "A" * 3_000_000}))
    meter = Meter(show_usage=False)
    passed, most = b"", 0
    for at in range(0, len(huge), 60_000):
        out = meter.feed(huge[at : at + 60_000])
        passed += out
        most = max(most, at + 60_000 - len(passed))

    assert passed == huge
    assert most <= 128 * 1024


def test_megabytes_that_are_no_text_are_not_billed_as_text():
    huge = event(chunk({"images": ["A" * 3_000_000]}))

    _, meter = run([ROLE, *[huge[at : at + 60_000] for at in range(0, len(huge), 60_000)], FINISH, DONE])

    assert meter.completion_estimate() < 50_000


def test_a_stream_without_usage_counts_at_least_a_token_per_event():
    _, meter = run([ROLE, *TALK, FINISH, DONE])

    assert 7 <= meter.completion_estimate() <= 20


@pytest.mark.parametrize("head", [b"", b": OPENROUTER PROCESSING\n\n"])
@pytest.mark.parametrize("in_one_read", [True, False])
def test_text_in_few_events_is_estimated_by_its_length(head, in_one_read):
    stream = [head + ROLE, event(chunk({"content": "x" * 30_000})), FINISH, DONE]

    _, meter = run([b"".join(stream)] if in_one_read else stream)

    assert 9_900 <= meter.completion_estimate() <= 10_100


def test_a_whole_answer_in_the_first_event_is_not_taken_for_its_envelope():
    assert run([event(chunk({"content": "x" * 30_000})) + FINISH + DONE])[1].completion_estimate() > 9_000


def test_comments_before_the_first_event_are_not_taken_for_its_envelope():
    _, meter = run([b": wait\n\n" + ROLE, *TALK * 20, FINISH, DONE])

    assert meter.completion_estimate() < 200


def test_a_usage_long_before_the_end_is_a_running_total():
    _, meter = run([event(usage_chunk({"prompt_tokens": 100, "completion_tokens": 1})), ROLE, *TALK * 4, FINISH, DONE])

    assert meter.tokens == Tokens(100, 1, 0)
    assert not meter.usage_is_final


def test_a_usage_in_a_stream_that_never_ended_is_a_running_total():
    _, meter = run([ROLE, event(chunk({"content": "x"}, usage=USAGE))])

    assert meter.tokens == TOKENS
    assert not meter.usage_is_final


@pytest.mark.parametrize("stream", [b"", b": ping\n\n", DONE, b": ping\n\n" + DONE, event(usage_chunk()) + DONE])
def test_a_stream_of_nothing_is_empty(stream):
    assert run([stream])[1].is_empty


def test_a_last_event_without_its_blank_line_is_completed():
    passed, meter = run([ROLE, FINISH, b"data: [DONE]\n"])

    assert passed == ROLE + FINISH + DONE
    assert meter.done


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (USAGE, TOKENS),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": 80}}, Tokens(100, 50, 80)),
        ({**USAGE, "prompt_tokens_details": None}, TOKENS),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": None}}, TOKENS),
        ({"prompt_tokens": 7}, Tokens(7, 0, 0)),
        ({}, None),
        (None, None),
        ([], None),
        ("100", None),
        ({"total_tokens": 150}, None),
        ({**USAGE, "prompt_tokens": -1}, None),
        ({**USAGE, "completion_tokens": -1}, None),
        ({**USAGE, "completion_tokens": 10**12}, None),
        ({**USAGE, "completion_tokens": None}, None),
        ({**USAGE, "completion_tokens": True}, None),
        ({**USAGE, "completion_tokens": "50"}, None),
        ({**USAGE, "completion_tokens": 50.5}, None),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": -5}}, None),
    ],
)
def test_a_usage_is_believed_only_when_it_makes_sense(usage, tokens):
    assert tokens_of(usage) == tokens


def _events(stream):
    for mark in (b"\r\n\r\n", b"\r\r", b"\n\n"):
        if mark in stream:
            return [part + mark for part in stream.split(mark)[:-1]]
    raise AssertionError(json.dumps(stream.decode()))
