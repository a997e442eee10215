"""What a Responses request becomes as a chat, and what of it is refused."""

from __future__ import annotations

import orjson
import pytest

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway import chat as chats
from shared_accounts.gateway.dialects.responses import estimate, to_chat
from shared_accounts.quotas import pricing

PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def asked(*items, **fields):
    return to_chat({"model": "m", "input": list(items) or "hi", **fields})


def said(*items, **fields):
    return asked(*items, **fields)["messages"]


def user(content):
    return {"role": "user", "content": content}


def ran(call_id, name="shell", arguments="{}", **more):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def came(call_id, output="ok", kind="function_call_output"):
    return {"type": kind, "call_id": call_id, "output": output}


def calling(*calls, content=None, **more):
    told = [{"id": one, "type": "function", "function": {"name": name, "arguments": text}} for one, name, text in calls]
    return {"role": "assistant", "content": content, **more, "tool_calls": told}


def tool(call_id, content="ok"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


FOUND = ("1", "shell", "{}")

MESSAGES = {
    "a string": ("hi", [user("hi")]),
    "a message without a type": ([user("hi")], [user("hi")]),
    "one text": ([user([{"type": "input_text", "text": "hi"}])], [user("hi")]),
    "text and an image": (
        [user([{"type": "input_text", "text": "what?"}, {"type": "input_image", "image_url": PIXEL, "detail": "low"}])],
        [
            user(
                [
                    {"type": "text", "text": "what?"},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                ]
            )
        ],
    ),
    "an image in its original size": (
        [user([{"type": "input_image", "image_url": PIXEL, "detail": "original"}])],
        [user([{"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}}])],
    ),
    "a file and a sound": (
        [
            user(
                [
                    {"type": "input_file", "file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"},
                    {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
                ]
            )
        ],
        [
            user(
                [
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"}},
                    {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
                ]
            )
        ],
    ),
    "developers are the system, and adjacent ones are one": (
        [{"role": "developer", "content": "be kind"}, {"role": "system", "content": "be brief"}, user("hi")],
        [{"role": "system", "content": "be kind\n\nbe brief"}, user("hi")],
    ),
    "an answer with its id and status": (
        [
            user("hi"),
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "ho", "annotations": [], "logprobs": []}],
            },
            user("so"),
        ],
        [user("hi"), {"role": "assistant", "content": "ho"}, user("so")],
    ),
    "a refusal": (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [{"role": "assistant", "content": "no"}],
    ),
    "a call and its result": ([ran("1"), came("1")], [calling(FOUND), tool("1")]),
    "a call without arguments": ([ran("1", arguments=""), came("1")], [calling(FOUND), tool("1")]),
    "parallel calls": (
        [ran("1"), ran("2"), came("2", "b"), came("1", "a")],
        [calling(FOUND, ("2", "shell", "{}")), tool("2", "b"), tool("1", "a")],
    ),
    "a call after a result": (
        [ran("1"), came("1"), ran("2"), came("2")],
        [calling(FOUND), tool("1"), calling(("2", "shell", "{}")), tool("2")],
    ),
    "what is said between a call and its result": (
        [ran("1"), {"role": "assistant", "content": "wait"}, came("1")],
        [calling(FOUND, content="wait"), tool("1")],
    ),
    "what is asked between a call and its result": (
        [ran("1"), user("hurry"), came("1")],
        [calling(FOUND), tool("1"), user("hurry")],
    ),
    "a custom tool": (
        [
            {"type": "custom_tool_call", "call_id": "1", "name": "apply_patch", "input": '*** "Begin"'},
            came("1", kind="custom_tool_call_output"),
        ],
        [calling(("1", "free--apply_patch", '{"input":"*** \\"Begin\\""}')), tool("1")],
    ),
    "a tool in a namespace": (
        [ran("1", "search", namespace="mcp__github"), came("1")],
        [calling(("1", "ns11--mcp__github__search", "{}")), tool("1")],
    ),
    "a tool in the namespace of those that are in none": (
        [ran("1", namespace="functions"), came("1")],
        [calling(FOUND), tool("1")],
    ),
    "a result of text parts": (
        [ran("1"), came("1", [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}])],
        [calling(FOUND), tool("1", "a\nb")],
    ),
    "a result that is an image": (
        [ran("1"), ran("2"), came("1", [{"type": "input_image", "image_url": PIXEL}]), came("2")],
        [
            calling(FOUND, ("2", "shell", "{}")),
            tool("1", "The result is attached to the next message."),
            tool("2"),
            user([{"type": "image_url", "image_url": {"url": PIXEL}}]),
        ],
    ),
    "a thought before a call": (
        [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}, ran("1"), came("1")],
        [calling(FOUND, reasoning_content="hm"), tool("1")],
    ),
    "a thought in full": (
        [
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "in short"}],
                "content": [{"type": "reasoning_text", "text": "at length"}],
            },
            ran("1"),
            came("1"),
        ],
        [calling(FOUND, reasoning_content="at length"), tool("1")],
    ),
    "a thought that led to no call": (
        [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAA"},
            {"role": "assistant", "content": "ho"},
            user("so"),
            ran("1"),
            came("1"),
        ],
        [{"role": "assistant", "content": "ho"}, user("so"), calling(FOUND), tool("1")],
    ),
    "a provider's own notes": (
        [
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "compaction", "id": "1"},
            user("a"),
        ],
        [user("a")],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_an_input_becomes_messages(name):
    given, messages = MESSAGES[name]

    assert to_chat({"model": "m", "input": given})["messages"] == messages


def test_instructions_come_first():
    assert said(user("hi"), instructions="be kind") == [{"role": "system", "content": "be kind"}, user("hi")]
    assert to_chat({"input": [], "instructions": "be kind"})["messages"] == [{"role": "system", "content": "be kind"}]
    assert said(instructions=None) == [user("hi")]


FIELDS = [
    ({"stream": True}, {"stream": True}),
    ({"stream": False}, {"stream": False}),
    ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
    ({"temperature": None}, {}),
    ({"max_output_tokens": 64}, {"max_completion_tokens": 64}),
    ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning_effort": "high"}),
    ({"reasoning": {"effort": None}}, {}),
    ({"reasoning": None}, {}),
    ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    (
        {"text": {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "city", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    ({"metadata": {"a": "b"}, "user": "u"}, {"metadata": {"a": "b"}, "user": "u"}),
    ({"prompt_cache_key": "k", "service_tier": "flex"}, {"prompt_cache_key": "k", "service_tier": "flex"}),
    ({"store": True, "include": ["reasoning.encrypted_content"], "truncation": "auto"}, {}),
    ({"previous_response_id": None, "conversation": None, "prompt": None, "background": False}, {}),
    ({"client_metadata": {"x": 1}, "stream_options": {"include_obfuscation": False}, "from_the_future": 7}, {}),
    ({"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}, {}),
]


@pytest.mark.parametrize(("fields", "chat"), FIELDS, ids=lambda value: ",".join(value) or "nothing")
def test_a_field_becomes_chats(fields, chat):
    assert asked(**fields) == {"model": "m", "messages": [user("hi")], **chat}


def test_what_comes_out_is_a_chat_the_gateway_reads():
    body = asked(user("hi"), stream=True, max_output_tokens=7, prompt_cache_key="k")

    chat = chats.parse(orjson.dumps(body), stream_by_default=False, default_completion_tokens=1024)

    assert (chat.model, chat.stream, chat.most_completion_tokens, chat.is_bounded) == ("m", True, 7, True)
    assert chat.conversation is not None


def test_a_turn_of_a_coding_agent_becomes_a_chat():
    later = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "plan"}]}
    turn = {
        "model": "m",
        "instructions": "You are a coding agent.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandboxed."}]},
            later,
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
            {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
            ran("1", "js", '{"code":"1"}', namespace="mcp__node"),
            {"type": "custom_tool_call", "status": "completed", "call_id": "2", "name": "apply_patch", "input": "***"},
            came("1", [{"type": "input_text", "text": "1"}]),
            came("2", "Done!", "custom_tool_call_output"),
        ],
        "tools": [
            {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": {"type": "text"}},
            {
                "type": "namespace",
                "name": "mcp__node",
                "description": "",
                "tools": [{"type": "function", "name": "js"}],
            },
            {"type": "web_search", "external_web_access": False},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199",
        "text": {"verbosity": "low"},
        "client_metadata": {"session": "1"},
    }

    chat = to_chat(turn)

    assert chat.pop("messages") == [
        {"role": "system", "content": "You are a coding agent.\n\nSandboxed."},
        user("Fix it."),
        calling(("1", "ns9--mcp__node__js", '{"code":"1"}'), ("2", "free--apply_patch", '{"input":"***"}')),
        tool("1", "1"),
        tool("2", "Done!"),
    ]
    names = [tool["function"]["name"] for tool in chat.pop("tools")]
    assert names == ["free--apply_patch", "ns9--mcp__node__js", "plan"]
    assert chat == {
        "model": "m",
        "stream": True,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "prompt_cache_key": "0199",
        "reasoning_effort": "medium",
        "verbosity": "low",
    }
    assert estimate(turn) > 100


SECRET = "s3cret"
WRONG = [
    ({}, "input"),
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 7}, "input"),
    ({"input": {"role": "user", "content": SECRET}}, "input"),
    ({"input": [SECRET]}, "input[0]"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [user("a"), {"role": SECRET, "content": "a"}]}, "input[1].role"),
    ({"input": [{"type": 7}]}, "input[0].type"),
    ({"input": [{"type": SECRET}]}, "input[0].type"),
    ({"input": [{"type": "item_reference", "id": SECRET}]}, "input[0].type"),
    ({"input": [user(7)]}, "input[0].content"),
    ({"input": [user([SECRET])]}, "input[0].content[0]"),
    ({"input": [user([{"type": SECRET}])]}, "input[0].content[0].type"),
    ({"input": [user([{"text": "a"}])]}, "input[0].content[0].type"),
    ({"input": [user([{"type": "input_text"}])]}, "input[0].content[0].text"),
    ({"input": [user([{"type": "input_text", "text": 7}])]}, "input[0].content[0].text"),
    ({"input": [user([{"type": "input_image"}])]}, "input[0].content[0].image_url"),
    ({"input": [user([{"type": "input_image", "file_id": SECRET}])]}, "input[0].content[0].file_id"),
    ({"input": [user([{"type": "input_image", "image_url": {"url": SECRET}}])]}, "input[0].content[0].image_url"),
    ({"input": [user([{"type": "input_image", "image_url": PIXEL, "detail": 7}])]}, "input[0].content[0].detail"),
    ({"input": [user([{"type": "input_file", "file_id": SECRET}])]}, "input[0].content[0].file_id"),
    ({"input": [user([{"type": "input_file", "file_url": SECRET}])]}, "input[0].content[0].file_url"),
    ({"input": [user([{"type": "input_file"}])]}, "input[0].content[0].file_data"),
    (
        {"input": [{"role": "system", "content": [{"type": "input_image", "image_url": SECRET}]}]},
        "input[0].content[0].type",
    ),
    ({"input": [ran(7)]}, "input[0].call_id"),
    ({"input": [ran("1", name=None)]}, "input[0].name"),
    ({"input": [ran("1", arguments={"a": SECRET})]}, "input[0].arguments"),
    ({"input": [ran("1", namespace=7)]}, "input[0].namespace"),
    ({"input": [{"type": "custom_tool_call", "call_id": "1", "name": "a"}]}, "input[0].input"),
    ({"input": [came(SECRET)]}, "input[0].call_id"),
    ({"input": [came("1"), ran("1")]}, "input[0].call_id"),
    ({"input": [ran("1"), came("1", None)]}, "input[1].output"),
    ({"input": [{"type": "reasoning", "summary": [{"type": "summary_text"}]}]}, "input[0].summary[0].text"),
    ({"input": [{"type": "additional_tools", "tools": SECRET}, user("a")]}, "input[0].tools"),
    ({"input": "a", "instructions": [SECRET]}, "instructions"),
    ({"input": "a", "previous_response_id": SECRET}, "previous_response_id"),
    ({"input": "a", "conversation": {"id": SECRET}}, "conversation"),
    ({"input": "a", "prompt": {"id": SECRET}}, "prompt"),
    ({"input": "a", "background": True}, "background"),
    ({"input": "a", "background": SECRET}, "background"),
    ({"input": "a", "temperature": SECRET}, "temperature"),
    ({"input": "a", "temperature": True}, "temperature"),
    ({"input": "a", "metadata": SECRET}, "metadata"),
    ({"input": "a", "prompt_cache_key": 7}, "prompt_cache_key"),
    ({"input": "a", "max_output_tokens": 0}, "max_output_tokens"),
    ({"input": "a", "max_output_tokens": -1}, "max_output_tokens"),
    ({"input": "a", "max_output_tokens": 1.5}, "max_output_tokens"),
    ({"input": "a", "max_output_tokens": True}, "max_output_tokens"),
    ({"input": "a", "max_output_tokens": 10**9}, "max_output_tokens"),
    ({"input": "a", "max_output_tokens": SECRET}, "max_output_tokens"),
    ({"input": "a", "reasoning": SECRET}, "reasoning"),
    ({"input": "a", "reasoning": {"effort": 7}}, "reasoning.effort"),
    ({"input": "a", "text": SECRET}, "text"),
    ({"input": "a", "text": {"format": SECRET}}, "text.format"),
    ({"input": "a", "text": {"format": {}}}, "text.format.type"),
    ({"input": "a", "text": {"format": {"type": SECRET}}}, "text.format.type"),
    ({"input": "a", "text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"input": "a", "text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    ({"input": "a", "text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": 1}}}, "text.format.strict"),
    ({"input": "a", "text": {"verbosity": 7}}, "text.verbosity"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_used_is_named_and_not_repeated(body, field):
    with pytest.raises(InvalidRequest) as refused:
        to_chat({"model": "m", **body})

    assert refused.value.field == field
    assert field in refused.value.message
    assert SECRET not in refused.value.message


def test_an_estimate_is_that_of_the_chat():
    body = {
        "model": "m",
        "instructions": "be kind " * 30,
        "input": [user("hello " * 50), user([{"type": "input_image", "image_url": PIXEL * 1000}]), ran("1"), came("1", "x" * 300)],
        "tools": [{"type": "function", "name": "shell", "parameters": SCHEMA}],
        "text": {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA}},
    }  # fmt: skip

    assert 0.8 < estimate(body) / pricing.estimate_prompt(to_chat(body)) < 1.2


def test_an_image_is_counted_flat():
    small, large = ([user([{"type": "input_image", "image_url": PIXEL * times}])] for times in (1, 10_000))

    assert estimate({"input": small}) == estimate({"input": large}) > 1000


@pytest.mark.parametrize(
    "given",
    [None, 7, "hi", [], [7, None, "hi"], [{}], [{"content": 7}], [{"type": "item_reference", "id": "1"}]],
)
def test_what_cannot_be_translated_is_estimated_all_the_same(given):
    assert 4 <= estimate({"input": given, "tools": None}) < 100


def test_a_body_too_deep_to_count_is_refused():
    deep = []
    for _ in range(20_000):
        deep = [deep]

    with pytest.raises(InvalidRequest):
        estimate({"input": [{"type": "function_call", "arguments": deep}]})
