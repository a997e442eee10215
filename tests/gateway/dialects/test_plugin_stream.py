"""The Plug-in API's streams as OpenAI would have sent them, however they are cut on the way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_accounts.gateway.dialects.plugin_stream import PluginStream, error_of

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
CALL = {
    "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"},
    "extra_content": {"google": {"thought_signature": "x"}},
}  # fmt: skip


def frame(delta, finish=None, **more):
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **more,
    }
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STOP = frame({}, "stop", usage=USAGE)


def told(*pieces):
    stream = PluginStream()
    out = b"".join(stream.feed(piece) for piece in pieces) + stream.flush()
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads(out)]


def payloads(out):
    return [line[6:].decode() for line in out.split(b"\n") if line.startswith(b"data: ")]


def deltas(frames):
    return [one["choices"][0]["delta"] for one in frames if one != "[DONE]" and one.get("choices")]


def test_the_first_frame_says_who_speaks_and_the_others_stay_as_they_are():
    second = frame({"content": "b"})

    stream = PluginStream()
    first = stream.feed(frame({"reasoning_content": "a"}))

    assert deltas(told(frame({"reasoning_content": "a"})))[0] == {"reasoning_content": "a", "role": "assistant"}
    assert first
    assert stream.feed(second) == second


def test_usage_comes_after_the_end_in_a_frame_of_its_own():
    *_, stop, usage, done = told(frame({"content": "a"}), STOP, DONE)

    assert stop["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in stop
    assert (usage["choices"], usage["usage"], usage["id"]) == ([], USAGE, "chatcmpl-1")
    assert done == "[DONE]"


def test_tool_calls_are_numbered_and_keep_what_the_next_turn_needs():
    [delta] = deltas(told(frame({"tool_calls": [CALL, {**CALL, "id": "c2"}]})))

    assert [call["index"] for call in delta["tool_calls"]] == [0, 1]
    assert delta["tool_calls"][0] == {**CALL, "index": 0}


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        ("\n\n错误: RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "insufficient_quota"),
        ("错误: ILLEGAL_PROMPT", "ILLEGAL_PROMPT", "server_error"),
        ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "insufficient_quota"),
        ("\n\n错误: " + "x" * 5000, "x" * 300, "server_error"),
    ],
)
@pytest.mark.parametrize("before", [b"", frame({"content": "half an answer"})])
def test_a_failure_told_as_text_is_an_error(text, message, code, before):
    frames = told(before, frame({"content": text}), frame({}, "stop"), DONE)

    [error] = [one for one in frames if "error" in one and one != "[DONE]"]
    assert error == {"error": {"message": message, "type": code, "param": None, "code": code}}
    assert not any(text in str(one) for one in frames if one != error)


def test_a_model_that_says_the_word_is_not_in_error():
    text = "错误: this is what the program printed"

    assert "".join(delta.get("content", "") for delta in deltas(told(frame({"content": text}), STOP, DONE))) == text


def test_the_suspect_words_keep_their_place_among_the_others():
    frames = told(frame({"content": "a"}), frame({"content": "错误: b"}), frame({"content": "c"}), STOP, DONE)

    assert [delta.get("content") for delta in deltas(frames)] == ["a", "错误: b", "c", None]


def test_an_image_of_megabytes_passes_as_it_comes():
    image = frame({"content": "![](data:image/png;base64," + "A" * 3_000_000 + ")"})
    pieces = [image[start : start + 50_000] for start in range(0, len(image), 50_000)]
    stream = PluginStream()
    stream.feed(frame({"content": "here"}))

    passed = [stream.feed(piece) for piece in pieces]

    assert b"".join(passed) == image
    assert max(len(piece) for piece in passed) < 150_000
    assert stream.feed(STOP).count(b"data: ") == 2


def test_an_image_that_comes_first_is_introduced_too():
    image = frame({"content": "A" * 200_000})

    frames = told(image[:100_000], image[100_000:], STOP, DONE)

    assert deltas(frames)[0] == {"role": "assistant", "content": ""}
    assert deltas(frames)[1] == {"content": "A" * 200_000}


@given(
    texts=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=10),
    cuts=st.lists(st.integers(1, 200), min_size=1, max_size=20),
)
@settings(deadline=None, max_examples=200)
def test_however_a_stream_is_cut_its_text_is_the_same(texts, cuts):
    whole = b"".join(frame({"content": text}) for text in texts) + STOP + DONE
    pieces, start = [], 0
    for size in cuts:
        pieces.append(whole[start : start + size])
        start += size

    frames = told(*pieces, whole[start:])

    assert "".join(delta.get("content", "") for delta in deltas(frames)) == "".join(texts)
    assert deltas(frames)[0]["role"] == "assistant"
    assert frames[-1] == "[DONE]"


@pytest.mark.parametrize("content", ["RESOURCE_EXHAUSTED", " RESOURCE_EXHAUSTED\n"])
def test_a_whole_answer_of_that_one_word_is_an_error(content):
    error = error_of({"choices": [{"message": {"role": "assistant", "content": content}}], "usage": USAGE})

    assert error is not None
    assert error["code"] == "insufficient_quota"


@pytest.mark.parametrize("content", ["It said RESOURCE_EXHAUSTED.", "", None, ["RESOURCE_EXHAUSTED"]])
def test_any_other_answer_is_none(content):
    assert error_of({"choices": [{"message": {"content": content}}]}) is None


@pytest.mark.parametrize("choices", [None, [], ["x"], [{}], [{"message": None}]])
def test_an_answer_without_a_message_is_none(choices):
    assert error_of({"choices": choices}) is None
