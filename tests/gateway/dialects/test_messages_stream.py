"""A chat's stream, read as a Messages client reads it."""

from __future__ import annotations

import json

import pytest

from shared_accounts.gateway.dialects.messages import Stream, from_completion
from tests.gateway.dialects.messages_reader import read
from tests.gateway.dialects.messages_said import (
    CITY,
    END,
    ROLE,
    call,
    calling,
    counted,
    finish,
    piece,
    said,
    text,
    thinking,
    translated,
)
from tests.upstream import USAGE


@pytest.mark.parametrize(
    ("events", "blocks", "stop"),
    [
        ([ROLE, said(content="Hel"), said(content="lo"), finish("stop")], [text("Hello")], "end_turn"),
        ([ROLE, said(content="你"), said(content=""), said(content="好🎉"), finish("length")], [text("你好🎉")], "max_tokens"),
        ([ROLE, said(content=None), finish("stop")], [], "end_turn"),
        ([ROLE, finish("content_filter")], [], "refusal"),
        ([ROLE, said(refusal="I will "), said(refusal="not."), finish("stop")], [text("I will not.")], "refusal"),
        (
            [said(reasoning_content="Hm"), said(reasoning_content="."), said(content="Hi", reasoning_content=None), finish("stop")],
            [thinking("Hm."), text("Hi")],
            "end_turn",
        ),
        ([said(reasoning="Hm.", content="Hi"), finish("stop")], [thinking("Hm."), text("Hi")], "end_turn"),
        ([said(content="A"), said(reasoning_content="B"), said(content="C"), finish("stop")], [text("A"), thinking("B"), text("C")], "end_turn"),
        ([ROLE, *map(calling, CITY), finish("tool_calls")], [call("a", city="Köln")], "tool_use"),
        ([ROLE, said(content="Well"), *map(calling, CITY), finish("stop")], [text("Well"), call("a", city="Köln")], "tool_use"),
        ([ROLE, *map(calling, CITY[:2]), finish("length")], [{**call("a"), "input": '{"city":'}], "max_tokens"),
        ([ROLE, calling(piece(0, "a", "now", "")), finish("tool_calls")], [call("a", "now")], "tool_use"),
        (
            [*map(calling, CITY), calling(piece(1, "b", "now", "")), calling(piece(1, None, None, "{}")), finish("tool_calls")],
            [call("a", city="Köln"), call("b", "now")],
            "tool_use",
        ),
        (
            [calling(CITY[0], piece(1, "b", "now")), calling(CITY[1]), calling(piece(1, None, None, "{}"), CITY[2]), finish("tool_calls")],
            [call("a", city="Köln"), call("b", "now")],
            "tool_use",
        ),
        ([calling(CITY[0]), calling(CITY[1]), said(content="So"), calling(CITY[2]), finish("stop")], [call("a", city="Köln"), text("So")], "tool_use"),
        (
            [calling(piece(0, "a", "now", "{}"), piece(0, "b", "now", "{}")), finish("tool_calls")],
            [call("a", "now"), call("b", "now")],
            "tool_use",
        ),
        (
            [calling(*({"id": one, "function": {"name": "now", "arguments": "{}"}} for one in "ab")), finish("stop")],
            [call("a", "now"), call("b", "now")],
            "tool_use",
        ),
        ([calling(piece(0, "a", "now", {"in": "UTC"})), finish("stop")], [{**call("a", "now"), "input": {"in": "UTC"}}], "tool_use"),
        ([calling(piece(0, None, "now", "{}")), finish("stop")], [call("toolu_msg_1_1", "now")], "tool_use"),
        ([calling(piece(0, "a", None, "{}")), said(content="x"), finish("stop")], [text("x")], "end_turn"),
        ([calling(CITY[0]), calling({**CITY[1], "id": "z"}), calling(CITY[2]), finish("stop")], [call("a", city="Köln")], "tool_use"),
        ([said(content="x"), finish("stop", stop_reason="END")], [text("x")], "stop_sequence"),
        ([said(content=[{"type": "text", "text": "Hi"}]), finish("stop")], [text("Hi")], "end_turn"),
    ],
)  # fmt: skip
def test_a_client_reads_what_was_said(events, blocks, stop):
    whole = Stream(model="claude")

    one_by_one, at_once = translated(*events, END), read(whole.feed(b"".join([*events, END])) + whole.end())

    assert one_by_one.content == at_once.content == blocks
    assert one_by_one.message["stop_reason"] == at_once.message["stop_reason"] == stop
    assert one_by_one.message["usage"] == counted(100, 0, 0, 50)


def test_the_start_has_every_field_the_sdk_needs():
    first = Stream(model="claude").feed(ROLE)

    assert first.startswith(b"event: message_start\ndata: ")
    assert read(first).message == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": counted(0, 0, 0, 0),
    }


def test_the_events_come_in_the_documented_order():
    found = translated(
        ROLE, said(reasoning_content="Hm"), said(content="Hi"), *map(calling, CITY), finish("tool_calls"), END
    )

    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    thought = [*block[:2], *block[1:]]  # its signature is a second delta
    arguments = [*block[:2], *block[1:]]  # they came in two pieces
    assert found.events == ["message_start", *thought, *block, *arguments, "message_delta", "message_stop"]


def test_text_is_passed_on_as_it_comes():
    stream = Stream(model="claude")
    stream.feed(ROLE)

    assert read(Stream(model="claude").feed(ROLE) + stream.feed(said(content="Hel"))).deltas == ["Hel"]
    assert json.loads(stream.feed(said(content="lo")).split(b"data: ")[1])["delta"]["text"] == "lo"


def test_arguments_are_passed_on_as_they_come():
    stream = Stream(model="claude")

    deltas = [read(b"".join(map(stream.feed, map(calling, CITY)))).deltas]

    assert deltas == [['{"city":', '"Köln"}']]


def test_a_second_call_waits_until_the_first_is_whole():
    stream = Stream(model="claude")
    stream.feed(calling(CITY[0]) + calling(CITY[1]))

    assert stream.feed(calling(piece(1, "b", "now", "{}"))) == b""
    assert stream.feed(calling(CITY[2])).count(b"event: content_block_start") == 1


def test_half_a_character_waits_for_its_other_half():
    high, low = said(content="x\ud83c"), said(content="\udf89y")

    assert translated(high, low, END).deltas == ["x", "🎉y"]
    assert translated(low, high, END).content == [text("\ufffdyx\ufffd")]


def test_a_stream_and_a_whole_answer_say_the_same():
    streamed = translated(
        ROLE, said(reasoning_content="Hm."), said(content="Hi"), *map(calling, CITY), finish("tool_calls"), END
    )
    function = {"name": "weather", "arguments": '{"city":"Köln"}'}
    message = {
        "reasoning_content": "Hm.",
        "content": "Hi",
        "tool_calls": [{"id": "a", "type": "function", "function": function}],
    }
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]

    assert streamed.message == from_completion({"id": "chatcmpl-1", "choices": choices, "usage": USAGE}, model="claude")
