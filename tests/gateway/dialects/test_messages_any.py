"""Whatever is sent is answered or refused, and nothing falls over."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.messages import Meter, Stream, count_tokens, estimate, from_completion, to_chat
from tests.gateway.dialects.messages_reader import read

NAMES = [
    "type",
    "role",
    "content",
    "text",
    "source",
    "data",
    "media_type",
    "url",
    "title",
    "context",
    "thinking",
    "signature",
    "id",
    "name",
    "input",
    "tool_use_id",
    "is_error",
    "system",
    "tools",
    "input_schema",
    "strict",
    "tool_choice",
    "output_config",
    "format",
    "schema",
    "effort",
    "properties",
    "required",
    "choices",
    "message",
    "delta",
    "tool_calls",
    "function",
    "arguments",
    "index",
    "finish_reason",
    "usage",
    "prompt_tokens",
    "error",
    "code",
    "extra_content",
]
WORDS = st.sampled_from(
    [
        "text",
        "image",
        "document",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "mid_conv_system",
        "user",
        "assistant",
        "system",
        "base64",
        "url",
        "auto",
        "any",
        "tool",
        "object",
        "json_schema",
        "message_start",
        "message_delta",
        "message_stop",
        "error",
        "extra_content.x",
    ]
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.floats(allow_nan=False), WORDS, st.text(max_size=3))
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)),
    max_leaves=20,
)
BLOCK = st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.lists(BLOCK, max_size=3)}
)
FIELDS = ["tools", "tool_choice", "system", "thinking", "output_config", "stream", "stop_sequences", "temperature"]
BODY = st.fixed_dictionaries(
    {"model": st.just("gpt-5"), "max_tokens": st.just(1), "messages": st.lists(TURN, min_size=1, max_size=2)},
    optional=dict.fromkeys(FIELDS, ANYTHING),
)


@given(body=BODY)
@settings(max_examples=80, deadline=None)
def test_any_request_is_translated_or_refused_by_name(body):
    try:
        chat = to_chat(body)
    except InvalidRequest as refused:
        assert refused.field
        assert refused.field in refused.message
        return
    assert chat["messages"] == json.loads(json.dumps(chat["messages"]))
    assert {"model", "messages", "max_completion_tokens"} <= set(chat)
    assert "stream_options" not in chat


@given(body=BODY)
@settings(max_examples=80, deadline=None)
def test_any_request_can_be_counted(body):
    assert count_tokens(body) == {"input_tokens": estimate(body)}


@given(completion=BLOCK, message=BLOCK)
@settings(max_examples=80, deadline=None)
def test_any_answer_is_a_message(completion, message):
    for answer in (completion, {"choices": [{"message": message}], "usage": completion}):
        made = from_completion(answer, model="m")

        assert {block["type"] for block in made["content"]} <= {"text", "thinking", "tool_use", "redacted_thinking"}
        assert all(made["usage"][name] >= 0 for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"))


@given(frames=st.lists(BLOCK, max_size=5), delta=BLOCK)
@settings(max_examples=80, deadline=None)
def test_any_frame_leaves_the_stream_and_the_meter_whole(frames, delta):
    events = [f"data: {json.dumps(frame)}\n\n".encode() for frame in [*frames, {"choices": [{"delta": delta}]}]]
    stream, meter = Stream(model="m"), Meter(show_usage=False)

    found = read(b"".join(map(stream.feed, events)) + stream.end())
    passed = b"".join(map(meter.feed, events))

    assert found.events[-1] in {"message_stop", "error"}
    assert b"".join(events).startswith(passed) or meter.done or meter.error
