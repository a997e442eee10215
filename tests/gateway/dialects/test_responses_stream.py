"""A chat's stream as a Responses stream: what comes in which order, and that it is always whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_accounts.gateway.dialects.responses import Stream, from_completion
from tests.gateway.dialects.reading_responses import LAST, believed, call, chat, check, read
from tests.gateway.dialects.test_responses_answer import USAGE, told
from tests.upstream import DONE, chunk, event


def translated(stream, *, pieces=None):
    translator = Stream(model="asked-for")
    out = [translator.feed(piece) for piece in pieces or [stream]]
    return b"".join([*out, translator.end()])


def kinds(events):
    return [one["type"].removeprefix("response.") for one in events]


def test_text_is_told_in_the_documented_order():
    events = read(
        translated(chat({"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, usage=USAGE))
    )

    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert (events[2]["item"]["status"], events[2]["item"]["content"]) == ("in_progress", [])
    response = check(events)
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 80
    assert (response["model"], believed(response).output_text) == ("asked-for", "Hello")


def test_a_call_is_told_in_the_documented_order():
    pieces = [call(0, "read", id="1"), call(0, arguments='{"pa'), call(0, arguments='th":1}')]

    events = read(translated(chat(*[{"tool_calls": [piece]} for piece in pieces], finish="tool_calls")))

    assert kinds(events)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    (item,) = check(events)["output"]
    assert (item["call_id"], item["name"], item["arguments"]) == ("1", "read", '{"path":1}')


def test_a_thought_is_told_as_a_summary():
    events = read(translated(chat({"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "so"})))

    assert kinds(events)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert [item["type"] for item in check(events)["output"]] == ["reasoning", "message"]


def test_a_refusal_is_told_as_one():
    events = read(translated(chat({"refusal": "I "}, {"refusal": "won't"})))

    assert kinds(events)[4:8] == ["refusal.delta", "refusal.delta", "refusal.done", "content_part.done"]
    assert check(events)["output"][0]["content"] == [{"type": "refusal", "refusal": "I won't"}]


def test_a_custom_tools_input_is_told_when_it_is_whole():
    pieces = [
        call(0, "free--apply_patch", '{"inp', id="1"),
        call(0, arguments='ut":"*** \\"Be'),
        call(0, arguments='gin"}'),
    ]

    events = read(translated(chat(*[{"tool_calls": [piece]} for piece in pieces])))

    assert kinds(events)[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert check(events)["output"][0]["input"] == '*** "Begin'


MINGLED = {
    "one after the other": [
        call(0, "a", "1", id="x"),
        call(0, None, "2"),
        call(1, "b", "3", id="y"),
        call(1, None, "4"),
    ],
    "mingled": [call(0, "a", "1", id="x"), call(1, "b", "3", id="y"), call(0, None, "2"), call(1, None, "4")],
    "named in each piece": [
        call(0, "a", "1", id="x"),
        call(0, "a", "2", id="x"),
        call(1, "b", "3", id="y"),
        call(1, "b", "4", id=""),
    ],
    "whole, without an index": [call(None, "a", "12", id="x"), call(None, "b", "34", id="y")],
    "whole, under one index": [call(0, "a", "12", id="x"), call(0, "b", "34", id="y")],
    "a piece of no call": [call(7, None, "5"), call(0, "a", "12", id="x"), call(1, "b", "34", id="y")],
}


@pytest.mark.parametrize("name", MINGLED)
@pytest.mark.parametrize("in_one_chunk", [True, False])
def test_parallel_calls_are_kept_apart(name, in_one_chunk):
    pieces = MINGLED[name]
    deltas = [{"tool_calls": pieces}] if in_one_chunk else [{"tool_calls": [piece]} for piece in pieces]

    output = check(read(translated(chat(*deltas))))["output"]

    assert [(item["call_id"], item["name"], item["arguments"]) for item in output] == [
        ("x", "a", "12"),
        ("y", "b", "34"),
    ]


def test_calls_with_neither_index_nor_id_are_kept_apart():
    output = check(read(translated(chat({"tool_calls": [call(None, "a", "1"), call(None, "a", "2")]}))))["output"]

    assert [item["arguments"] for item in output] == ["1", "2"]
    assert output[0]["call_id"] != output[1]["call_id"]


def test_an_empty_delta_begins_nothing():
    empty = [{}, {"role": "assistant", "content": None}, {"content": ""}, {"reasoning_content": "", "tool_calls": None}]

    events = read(translated(chat(*empty, {"content": "x"}, *empty, {"content": "y"})))

    assert kinds(events).count("output_item.added") == 1
    assert believed(check(events)).output_text == "xy"


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_stream_that_was_cut_is_incomplete(finish, reason):
    events = read(translated(chat({"reasoning": "hm"}, {"content": "so"}, finish=finish)))

    response = check(events)

    assert events[-1]["type"] == "response.incomplete"
    assert response["incomplete_details"] == {"reason": reason}
    assert response["output"][1]["status"] == "incomplete"


def test_a_stream_without_a_reason_is_completed():
    assert check(read(translated(event(chunk({"content": "x"})))))["status"] == "completed"


def test_a_stream_of_nothing_is_a_response_of_nothing():
    assert check(read(translated(DONE)))["output"] == []


def test_comments_pass_and_garbage_does_not():
    hello = event(chunk({"content": "hello"}))
    noise = (
        b": ping\n\n"
        + event(b"{")
        + event(b"[]")
        + event(b"7")
        + b"event: x\n\n"
        + event(b'{"choices": 7, "usage": []}')
    )

    stream = translated(noise + hello + b": pong\n\n" + event(chunk({}, "stop")) + DONE)

    assert stream.startswith(b": ping\n\n")
    assert stream.count(b": pong\n\n") == 1
    assert believed(check(read(stream))).output_text == "hello"


@pytest.mark.parametrize("eol", [b"\n", b"\r\n", b"\r"])
def test_any_line_ends_are_understood(eol):
    stream = (b"event: chunk\nid: 7\n" + chat({"content": "x"}, {"content": "y"})).replace(b"\n", eol)

    assert believed(check(read(translated(stream)))).output_text == "xy"


def test_characters_cut_in_two_are_whole_in_the_end():
    halves = [json.dumps({"choices": [{"delta": {"content": half}}]}).encode() for half in ("a\ud83c", "\udf89b")]

    events = read(translated(b"".join(map(event, halves)) + DONE))

    assert check(events, clean=False)["output"][0]["content"][0]["text"] == "a🎉b"


def test_it_does_not_matter_how_events_are_bundled():
    stream = chat(
        {"reasoning": "hm"}, {"content": "héllo 你好 🎉"}, {"tool_calls": [call(0, "a", "{}", id="1")]}, usage=USAGE
    )
    single = [one + b"\n\n" for one in stream.split(b"\n\n")[:-1]]

    whole, bundled = (check(read(translated(stream, pieces=pieces))) for pieces in (single, [stream]))

    assert told(whole) == told(bundled)
    assert whole["usage"] == bundled["usage"]


def broken(stream, *, then=b""):
    translator = Stream(model="m")
    out = translator.feed(stream)
    last = translator.fail("It broke.", type="server_error", code="upstream_error")
    assert translator.feed(then) + translator.end() + translator.fail("x", type="x", code="x") == b""
    return read(out + last)


@pytest.mark.parametrize("deltas", [[], [{"content": "hel"}], [{"tool_calls": [call(0, "rm", '{"pa', id="1")]}]])
def test_a_stream_that_broke_off_fails_and_says_no_more(deltas):
    events = broken(b"".join(event(chunk(delta)) for delta in deltas), then=chat({"content": "lo"}))

    response = check(events, clean=False)

    error = {"code": "upstream_error", "message": "It broke.", "param": None}
    assert {**events[-2], "sequence_number": 0} == {
        "type": "error",
        "sequence_number": 0,
        **error,
        "error": {"type": "server_error", **error},
    }
    assert (response["status"], response["error"]) == ("failed", {"code": "server_error", "message": "It broke."})
    assert {item["status"] for item in response["output"]} <= {"incomplete"}


def test_half_a_call_is_never_told_as_a_whole_one():
    events = broken(event(chunk({"tool_calls": [call(0, "rm", '{"path": "/', id="1")]})))

    assert not [kind for kind in kinds(events) if kind.endswith(".done")]


def test_what_was_whole_before_it_broke_stays_whole():
    events = broken(event(chunk({"reasoning": "hm"})) + event(chunk({"content": "a"})) + event(chunk({"refusal": "b"})))

    assert [item.get("status") for item in events[-1]["response"]["output"]] == [None, "completed", "incomplete"]


ERRORS = [
    ({"message": "boom", "type": "overloaded", "code": "slow"}, ("boom", "slow", "overloaded")),
    ({"message": "boom", "code": 500}, ("boom", "500", "server_error")),
    ("boom", ("boom", "upstream_error", "server_error")),
    ({"message": None}, ("The upstream broke off.", "upstream_error", "server_error")),
]


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=str)
def test_an_upstreams_error_event_ends_the_stream(error, words):
    stream = event(chunk({"content": "x"})) + event(json.dumps({"error": error}).encode()) + chat({"content": "y"})

    events = read(translated(stream))

    assert (events[-2]["message"], events[-2]["code"], events[-2]["error"]["type"]) == words
    code = "server_error" if words[2] == "server_error" else words[1]
    assert check(events, clean=False)["error"] == {"code": code, "message": words[0]}


TEXT = st.text(max_size=4)
NOTHING = st.none() | st.just("")
PIECES = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({}, optional={"name": st.sampled_from(["a", "free--b", "ns1--x__y", "", None]), "arguments": TEXT | NOTHING})},
    optional={"index": st.integers(0, 2) | st.none(), "id": st.sampled_from(["1", "2", "", None])},
)  # fmt: skip
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": TEXT | NOTHING,
        "reasoning_content": TEXT | NOTHING,
        "reasoning": TEXT | NOTHING,
        "refusal": TEXT | NOTHING,
        "tool_calls": st.lists(PIECES, max_size=3) | st.none(),
    },
)
FINISHES = st.sampled_from(["stop", "length", "tool_calls", "content_filter", None])


@given(st.lists(DELTAS, max_size=8), FINISHES, st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_the_chat_says_the_stream_is_well_formed(deltas, finish, one_by_one):
    stream = chat(*deltas, finish=finish, usage=USAGE)
    pieces = [one + b"\n\n" for one in stream.split(b"\n\n")[:-1]] if one_by_one else [stream]

    events = read(translated(stream, pieces=pieces))

    believed(check(events))
    assert sum(one["type"] in LAST for one in events) == 1
    said = "".join(delta.get("content") or "" for delta in deltas)
    assert "".join(one["delta"] for one in events if one["type"] == "response.output_text.delta") == said


@given(st.lists(DELTAS, max_size=8), st.integers(0, 8))
@settings(max_examples=150, deadline=None)
def test_wherever_it_breaks_it_fails_once(deltas, after):
    events = broken(b"".join(event(chunk(delta)) for delta in deltas[:after]))

    assert check(events, clean=False)["status"] == "failed"
    assert kinds(events).count("error") == 1


JSON = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["choices", "delta", "index", "tool_calls", "function", "name", "content", "usage", "id"]), inner, max_size=4), max_leaves=12)  # fmt: skip


@given(
    st.lists(
        st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"delta": JSON})) | JSON, "usage": JSON}),
        max_size=3,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_nonsense_from_an_upstream_is_an_error_of_ours(chunks):
    stream = b"".join(event(json.dumps(one).encode()) for one in chunks)

    check(read(translated(stream)), clean=False)
    for one in chunks:
        believed(from_completion(one, model="m"))
