"""What Gemini wants back with a call comes back with it, though Messages has no field for it."""

from __future__ import annotations

import json

import pytest

from shared_accounts.gateway.dialects.messages import Stream, from_completion, to_chat
from tests.gateway.dialects.messages_reader import read
from tests.upstream import DONE, chunk, event

EXTRA = {"google": {"thought_signature": "EqQBCg=="}}
NOW = {"type": "function", "function": {"name": "now", "arguments": "{}"}}
SIGNED, PLAIN = {"id": "a", **NOW, "extra_content": EXTRA}, {"id": "b", **NOW}


def streamed(*calls):
    stream = Stream(model="m")
    places = [{"index": place, **call} for place, call in enumerate(calls)]
    return read(stream.feed(event(chunk({"tool_calls": places}, "tool_calls")) + DONE) + stream.end()).content


def whole(*calls):
    choices = [{"index": 0, "message": {"tool_calls": list(calls)}, "finish_reason": "tool_calls"}]
    return from_completion({"id": "x", "choices": choices}, model="m")["content"]


def sent_back(content):
    content = json.loads(json.dumps(content))
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": content}]}
    return to_chat(body)["messages"][0]["tool_calls"]


@pytest.mark.parametrize("answered", [streamed, whole])
@pytest.mark.parametrize("calls", [[SIGNED], [SIGNED, PLAIN], [PLAIN, SIGNED], [PLAIN]])
def test_a_call_comes_back_with_what_belongs_to_it(answered, calls):
    assert sent_back(answered(*calls)) == calls


@pytest.mark.parametrize("answered", [streamed, whole])
def test_a_call_without_an_id_keeps_its_own_too(answered):
    (call,) = sent_back(answered({**NOW, "extra_content": EXTRA}))

    assert call["id"].startswith("toolu_")
    assert call["extra_content"] == EXTRA


@pytest.mark.parametrize("answered", [streamed, whole])
def test_it_travels_before_its_call(answered):
    assert [block["type"] for block in answered(SIGNED)] == ["redacted_thinking", "tool_use"]


@pytest.mark.parametrize(
    "data", ["EqQB", "extra_content.", "extra_content.!!", "extra_content.WzFd", "extra_content.WzEsMl0=", 7, None]
)
def test_a_block_that_is_not_ours_is_dropped(data):
    use = {"type": "tool_use", "id": "b", "name": "now", "input": {}}

    assert sent_back([{"type": "redacted_thinking", "data": data}, use]) == [PLAIN]
