"""A conversation in blocks, told as a conversation in messages."""

from __future__ import annotations

import json

import pytest

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.messages import to_chat

EPHEMERAL = {"cache_control": {"type": "ephemeral"}}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.jpg"}}
LINK_PART = {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}}
HELLO = {"role": "user", "content": "Hello"}


def text(words, **more):
    return {"type": "text", "text": words, **more}


def result(call, content=None, **more):
    block = {"type": "tool_result", "tool_use_id": call, **more}
    return block if content is None else {**block, "content": content}


def call(ident, name="weather", **arguments):
    return {"type": "tool_use", "id": ident, "name": name, "input": arguments}


def tool_call(ident, arguments, name="weather"):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def messages(*turns, **more):
    return to_chat({"model": "m", "max_tokens": 1, "messages": list(turns), **more})["messages"]


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (None, []),
        ("", []),
        ("Be brief.", ["Be brief."]),
        ([], []),
        ([text("Be brief.", **EPHEMERAL)], ["Be brief."]),
        ([text("Be brief."), text("Be kind. 你好 🎉")], ["Be brief.\n\nBe kind. 你好 🎉"]),
        ([text("x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;"), text("Be brief.")], ["Be brief."]),
        ([text("x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;")], []),
        ("x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;\nBe brief.", ["Be brief."]),
        ("Say x-anthropic-billing-header: no.", ["Say x-anthropic-billing-header: no."]),
    ],
)
def test_the_system_prompt_is_one_message_before_all_others(system, said):
    assert messages(HELLO, system=system) == [*({"role": "system", "content": one} for one in said), HELLO]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Hello", "Hello"),
        ("", ""),
        ([text("Hello", **EPHEMERAL)], "Hello"),
        ([text("One"), text("Two")], "One\n\nTwo"),
        ([text("Look:"), PNG], [text("Look:"), PNG_PART]),
        ([PNG, LINK, text("Which?")], [PNG_PART, LINK_PART, text("Which?")]),
        ([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once."}}], "Once."),
        (
            [{"type": "document", "title": "Tale", "context": "Old", "source": {"type": "text", "data": "Once."}}],
            "Tale\n\nOld\n\nOnce.",
        ),
        ([{"type": "document", "title": "Tale", "source": {"type": "content", "content": "Once."}}], "Tale\n\nOnce."),
        (
            [{"type": "document", "source": {"type": "content", "content": [text("Once."), PNG]}}],
            [text("Once."), PNG_PART],
        ),
        (
            [{"type": "search_result", "title": "T", "source": "https://a.b", "content": [text("Found.")]}],
            "T\n\nhttps://a.b\n\nFound.",
        ),
    ],
)
def test_a_user_says_text_images_and_plain_documents(content, said):
    assert messages({"role": "user", "content": content}) == [{"role": "user", "content": said}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([result("a", "Sunny")], [{"role": "tool", "tool_call_id": "a", "content": "Sunny"}]),
        ([result("a", [text("Sunny"), text("Hot")])], [{"role": "tool", "tool_call_id": "a", "content": "Sunny\n\nHot"}]),
        ([result("a")], [{"role": "tool", "tool_call_id": "a", "content": ""}]),
        ([result("a", [])], [{"role": "tool", "tool_call_id": "a", "content": ""}]),
        ([result("a", "No such city", is_error=True)], [{"role": "tool", "tool_call_id": "a", "content": "Error: No such city"}]),
        ([result("a", "Sunny", is_error=False, **EPHEMERAL)], [{"role": "tool", "tool_call_id": "a", "content": "Sunny"}]),
        (
            [text("And now?"), result("a", "Sunny"), result("b", "Rain"), text("Well?")],
            [
                {"role": "tool", "tool_call_id": "a", "content": "Sunny"},
                {"role": "tool", "tool_call_id": "b", "content": "Rain"},
                {"role": "user", "content": "And now?\n\nWell?"},
            ],
        ),
        (
            [result("a", [text("Here"), PNG]), result("b", [LINK]), text("Which?")],
            [
                {"role": "tool", "tool_call_id": "a", "content": "Here\n\n(The images of this result follow in the next message.)"},
                {"role": "tool", "tool_call_id": "b", "content": "(The images of this result follow in the next message.)"},
                {
                    "role": "user",
                    "content": [
                        text("Images of the result of tool call a:"), PNG_PART,
                        text("Images of the result of tool call b:"), LINK_PART,
                        text("Which?"),
                    ],
                },
            ],
        ),
    ],
)  # fmt: skip
def test_results_come_first_each_a_message_of_its_own(content, told):
    assert messages({"role": "user", "content": content}) == told


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Hi", {"content": "Hi"}),
        ([text("It is "), text("sunny.")], {"content": "It is sunny."}),
        ([{"type": "thinking", "thinking": "Hm", "signature": "EqQB"}, text("Hi")], {"content": "Hi"}),
        ([{"type": "redacted_thinking", "data": "EqQB"}], {"content": ""}),
        ([], {"content": ""}),
        ([call("a", city="Köln")], {"content": None, "tool_calls": [tool_call("a", '{"city":"Köln"}')]}),
        (
            [text("Let me see."), call("a", city="X"), call("b", "now")],
            {"content": "Let me see.", "tool_calls": [tool_call("a", '{"city":"X"}'), tool_call("b", "{}", "now")]},
        ),
    ],
)
def test_an_assistant_says_text_and_calls_tools(content, said):
    assert messages(HELLO, {"role": "assistant", "content": content})[1:] == [{"role": "assistant", **said}]


@pytest.mark.parametrize(
    ("signature", "given_back"), [("reasoning_content", "Hm. Well."), ("EqQB", None), ("", None), (None, None)]
)
def test_only_thoughts_that_came_from_a_chat_and_led_to_a_call_go_back_to_one(signature, given_back):
    thoughts = [{"type": "thinking", "thinking": words, "signature": signature} for words in ("Hm. ", "Well.")]
    turns = [
        HELLO,
        {"role": "assistant", "content": [*thoughts, call("a")]},
        {"role": "user", "content": [result("a", "x")]},
    ]

    assert messages(*turns)[1].get("reasoning_content") == given_back
    assert "reasoning_content" not in messages(HELLO, {"role": "assistant", "content": [*thoughts, text("Hi")]})[1]


def test_rules_given_on_the_way_stay_where_they_were_given():
    rule = {"type": "mid_conv_system", "content": [text("Be brief.")]}
    turns = [HELLO, {"role": "system", "content": "Be kind."}, {"role": "user", "content": [result("a", "x"), rule]}]

    assert [(one["role"], one["content"]) for one in messages(*turns)] == [
        ("user", "Hello"), ("system", "Be kind."), ("tool", "x"), ("system", "Be brief."),
    ]  # fmt: skip


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        ("hunter2", "messages.1"),
        ({"role": "hunter2", "content": "x"}, "messages.1.role"),
        ({"role": ["hunter2"], "content": "x"}, "messages.1.role"),
        ({"content": "x"}, "messages.1.role"),
        ({"role": "user"}, "messages.1.content"),
        ({"role": "user", "content": {"hunter2": 1}}, "messages.1.content"),
        ({"role": "user", "content": ["hunter2"]}, "messages.1.content.0"),
        ({"role": "user", "content": [{"type": "hunter2"}]}, "messages.1.content.0.type"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages.1.content.0.text"),
        ({"role": "user", "content": [{"type": "text", "text": ["hunter2"]}]}, "messages.1.content.0.text"),
        ({"role": "user", "content": [{"type": "image"}]}, "messages.1.content.0.source"),
        ({"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "hunter2"}}]}, "messages.1.content.0.source.type"),
        ({"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "hunter2"}}]}, "messages.1.content.0.source.media_type"),
        ({"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}, "messages.1.content.0.source.url"),
        ({"role": "user", "content": [{"type": "document", "source": {"type": "base64", "data": "hunter2"}}]}, "messages.1.content.0.source.type"),
        ({"role": "user", "content": [result("a", [{"type": "document", "source": {"type": "url"}}])]}, "messages.1.content.0.content.0.source.type"),
        ({"role": "user", "content": [result(None, "hunter2")]}, "messages.1.content.0.tool_use_id"),
        ({"role": "user", "content": [result("a", 7)]}, "messages.1.content.0.content"),
        ({"role": "user", "content": [result("a", "x", is_error="hunter2")]}, "messages.1.content.0.is_error"),
        ({"role": "user", "content": [call("a")]}, "messages.1.content.0.type"),
        ({"role": "assistant", "content": [PNG]}, "messages.1.content.0.type"),
        ({"role": "assistant", "content": [{"type": "server_tool_use", "id": "a", "name": "web_search"}]}, "messages.1.content.0.type"),
        ({"role": "assistant", "content": [{"type": "tool_use", "name": "x", "input": {}}]}, "messages.1.content.0.id"),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "x", "input": {}}]}, "messages.1.content.0.name"),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "x", "input": "hunter2"}]}, "messages.1.content.0.input"),
        ({"role": "assistant", "content": [{"type": "thinking"}]}, "messages.1.content.0.thinking"),
        ({"role": "system", "content": [PNG]}, "messages.1.content"),
        ({"role": "system"}, "messages.1.content"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_named_by_its_place_and_not_repeated(turn, field):
    with pytest.raises(InvalidRequest) as refused:
        messages(HELLO, turn)

    assert refused.value.field == field
    assert field in refused.value.message
    assert SECRET not in refused.value.message


@pytest.mark.parametrize("turns", [None, [], "hunter2", {}])
def test_a_conversation_has_at_least_one_turn(turns):
    with pytest.raises(InvalidRequest) as refused:
        to_chat({"model": "m", "max_tokens": 1, "messages": turns})

    assert refused.value.field == "messages"


def test_arguments_too_deep_to_write_down_are_refused():
    deep = json.loads('{"a":' * 900 + "1" + "}" * 900)

    with pytest.raises(InvalidRequest) as refused:
        messages(HELLO, {"role": "assistant", "content": [{**call("a"), "input": deep}]})

    assert refused.value.field == "messages.1.content.0.input"
