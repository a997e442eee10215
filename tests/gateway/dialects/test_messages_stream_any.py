"""Whatever order an upstream says things in, a client reads a well-formed stream."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from shared_accounts.gateway.dialects.messages import Stream
from tests.gateway.dialects.messages_reader import read
from tests.upstream import DONE, USAGE, event

WORDS = st.one_of(st.none(), st.text(max_size=4), st.sampled_from(["", "{", "}", '{"a":1}', "\ud83c", "\udf89"]))
PIECE = st.fixed_dictionaries(
    {},
    optional={
        "index": st.one_of(st.integers(0, 2), st.none()),
        "id": st.sampled_from(["a", "b", "", None, "\ud83c"]),
        "extra_content": st.sampled_from([None, {}, {"a": "\ud83c"}]),
        "function": st.fixed_dictionaries(
            {}, optional={"name": st.sampled_from(["now", "", None]), "arguments": st.one_of(WORDS, st.just({"a": 1}))}
        ),
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "content": WORDS,
        "reasoning_content": WORDS,
        "refusal": WORDS,
        "tool_calls": st.lists(PIECE, max_size=3),
    },
)
CHOICE = st.fixed_dictionaries(
    {"delta": DELTA},
    optional={
        "index": st.sampled_from([0, 0, 1]),
        "finish_reason": st.sampled_from([None, "stop", "length", "tool_calls", "content_filter"]),
        "stop_reason": st.sampled_from([None, "END", 7]),
    },
)
FRAME = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=2)}, optional={"usage": st.sampled_from([None, USAGE, {}]), "id": WORDS}
)
EVENT = st.one_of(
    FRAME.map(lambda frame: event(json.dumps(frame).encode())), st.sampled_from([b": ping\n\n", b"data: x\n\n", DONE])
)


def said(events):
    """All that was said, whoever said it, without the halves of characters."""
    words: dict[str, str] = {"text": "", "thinking": ""}
    for one in events:
        if not one.startswith(b"data: {"):
            continue
        for choice in json.loads(one[6:])["choices"]:
            if not choice.get("index"):
                delta = choice["delta"]
                words["thinking"] += delta.get("reasoning_content") or ""
                words["text"] += (delta.get("content") or "") + (delta.get("refusal") or "")
    return words


def plain(text):
    """A text without characters that may come in halves, and without what stands for a lost half."""
    return "".join(letter for letter in text if letter < "\ud800" or "\ue000" <= letter < "\ufffd")


@given(events=st.lists(EVENT, max_size=12), together=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_sequence_of_chunks_is_a_well_formed_stream_that_keeps_every_word(events, together):
    stream = Stream(model="claude")
    pieces = [b"".join(events)] if together else events

    found = read(b"".join([*(stream.feed(one) for one in pieces), stream.end()]))

    assert found.events[0] == "message_start"
    assert found.events[-1] == "message_stop"
    assert found.events.count("content_block_start") == found.events.count("content_block_stop")
    for kind, words in said(events).items():
        heard = "".join(block[kind] for block in found.content if block["type"] == kind)
        assert plain(heard) == plain(words)
        assert heard == words or any("\ud800" <= letter <= "\udfff" for letter in words)
        heard.encode()  # no half of a character is left


@given(events=st.lists(EVENT, max_size=12))
@settings(max_examples=80, deadline=None)
def test_any_sequence_may_fail_and_then_only_fails(events):
    stream = Stream(model="claude")

    out = b"".join(stream.feed(one) for one in events) + stream.fail("Sorry.", type="server_error", code="x")

    found = read(out + b"".join(stream.feed(one) for one in events) + stream.end())
    assert found.events.count("error") == 1
    assert "message_stop" not in found.events


@given(pieces=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=20))
@settings(max_examples=80, deadline=None)
def test_however_calls_are_interleaved_each_gets_its_own_arguments(pieces):
    texts = {place: json.dumps({"place": place, "words": "x}{" * 3}) for place in range(3)}
    left, stream, out = dict(texts), Stream(model="claude"), b""
    for place, length in [*pieces, (0, 99), (1, 99), (2, 99)]:
        part, left[place] = left[place][:length], left[place][length:]
        first = {"id": f"call_{place}", "function": {"name": "now", "arguments": part}}
        frame = {"choices": [{"delta": {"tool_calls": [{"index": place, **first}]}}]}
        out += stream.feed(event(json.dumps(frame).encode()))

    found = read(out + stream.end())

    assert {block["id"]: block["input"] for block in found.content} == {
        f"call_{place}": json.loads(words) for place, words in texts.items()
    }
