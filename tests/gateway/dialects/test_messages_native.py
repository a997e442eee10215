"""What reaches an upstream that speaks Messages: the client's bytes, less what is not for it."""

from __future__ import annotations

import json

import pytest

from shared_accounts.gateway.dialects.messages import from_completion, native

TURN = {"role": "user", "content": "Hi"}


def body(*messages, **fields):
    return json.dumps({"model": "m", "max_tokens": 5, "messages": list(messages), **fields}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        body(TURN),
        b'{ "model":"m",\n"messages" : [] , "x": 1.0}',
        body({"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "theirs"}]}),
    ],
)
def test_a_body_with_nothing_of_ours_is_not_changed_by_a_byte(raw):
    assert native(raw) == raw


def test_a_client_s_name_for_its_user_stays_here():
    assert json.loads(native(body(TURN, metadata={"user_id": "u", "x": 1})))["metadata"] == {"x": 1}


def test_what_we_added_to_another_upstream_s_answer_is_taken_out():
    call = {
        "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"google": 1},
    }  # fmt: skip
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call]}
    said = from_completion({"choices": [{"message": message, "finish_reason": "tool_calls"}]}, model="m")["content"]
    assert [block["type"] for block in said] == ["thinking", "redacted_thinking", "tool_use"]

    [first, second] = json.loads(native(body(TURN, {"role": "assistant", "content": said})))["messages"]

    assert first == TURN
    assert [block["type"] for block in second["content"]] == ["tool_use"]


def test_a_turn_that_held_nothing_else_goes_with_it():
    ours = {"type": "thinking", "thinking": "x", "signature": "reasoning_content"}

    assert json.loads(native(body(TURN, {"role": "assistant", "content": [ours]})))["messages"] == [TURN]


def test_what_others_redacted_stays():
    theirs = {"type": "redacted_thinking", "data": "opaque"}

    [turn] = json.loads(native(body({"role": "assistant", "content": [theirs]})))["messages"]

    assert turn["content"] == [theirs]
