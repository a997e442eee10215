"""A chat's whole answer as a Message, and refusals in Anthropic's words."""

from __future__ import annotations

import pytest

from shared_accounts.gateway.dialects.messages import from_completion, refusal, to_chat
from tests.gateway.dialects.messages_said import call, counted, text

USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
NOTHING = counted(0, 0, 0, 0)


def completion(message, finish="stop", **more):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}
    return {"id": "chatcmpl-7", "object": "chat.completion", "model": "upstream's", "choices": [choice], "usage": USAGE}


def tool_call(ident, arguments, name="weather"):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def use(ident, name, given):
    return call(ident, name) | {"input": given}


def test_an_answer_has_every_field_the_sdk_needs():
    assert from_completion(completion({"content": "Hello 你好"}), model="claude") == {
        "id": "msg_7",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [text("Hello 你好")],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": counted(100, 0, 0, 50),
    }


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": None}, []),
        ({"content": ""}, []),
        ({}, []),
        ({"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}, 7]}, [text("Hello")]),
        (
            {"reasoning_content": "Hm.", "content": "Hi"},
            [{"type": "thinking", "thinking": "Hm.", "signature": "reasoning_content"}, text("Hi")],
        ),
        ({"reasoning": "Hm."}, [{"type": "thinking", "thinking": "Hm.", "signature": "reasoning_content"}]),
        ({"content": None, "refusal": "I will not."}, [text("I will not.")]),
        (
            {"content": "Well", "tool_calls": [tool_call("a", '{"city":"Köln"}'), tool_call("b", "", "now")]},
            [
                text("Well"),
                use("a", "weather", {"city": "Köln"}),
                use("b", "now", {}),
            ],
        ),
        ({"tool_calls": [tool_call("", {"a": 1})]}, [use("toolu_msg_7_0", "weather", {"a": 1})]),
        ({"tool_calls": [tool_call(7, None)]}, [use("toolu_msg_7_0", "weather", {})]),
        ({"tool_calls": [tool_call("a", '{"city": "K')]}, [use("a", "weather", {"arguments": '{"city": "K'})]),
        ({"tool_calls": [tool_call("a", "[1]")]}, [use("a", "weather", {"arguments": "[1]"})]),
        ({"tool_calls": [7, {}, {"function": 7}, tool_call("a", "{}", None)]}, []),
        ({"tool_calls": 7, "content": 7}, []),
    ],
)  # fmt: skip
def test_what_was_said_becomes_blocks(message, content):
    assert from_completion(completion(message), model="claude")["content"] == content


CALLS = {"tool_calls": [tool_call("a", "{}")]}


@pytest.mark.parametrize(
    ("message", "finish", "more", "stopped"),
    [
        ({"content": "x"}, "stop", {}, ("end_turn", None)),
        ({"content": "x"}, "length", {}, ("max_tokens", None)),
        ({"content": "x"}, "content_filter", {}, ("refusal", None)),
        ({"content": None, "refusal": "No."}, "stop", {}, ("refusal", None)),
        ({"content": "x"}, None, {}, ("end_turn", None)),
        ({"content": "x"}, "surprise", {}, ("end_turn", None)),
        ({"content": "x"}, ["surprise"], {}, ("end_turn", None)),
        ({"content": "x"}, "tool_calls", {}, ("end_turn", None)),
        ({"content": "x"}, "stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ({"content": "x"}, "stop", {"stop_reason": 128001}, ("end_turn", None)),
        ({"content": "x"}, "length", {"stop_reason": None}, ("max_tokens", None)),
        (CALLS, "tool_calls", {}, ("tool_use", None)),
        (CALLS, "stop", {}, ("tool_use", None)),
        (CALLS, "length", {}, ("max_tokens", None)),
    ],
)
def test_why_it_stopped(message, finish, more, stopped):
    answer = from_completion(completion(message, finish, **more), model="claude")

    assert (answer["stop_reason"], answer["stop_sequence"]) == stopped


@pytest.mark.parametrize(
    ("usage", "numbers"),
    [
        (USAGE, (100, 0, 0, 50)),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": 80}}, (20, 0, 80, 50)),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 15}}, (5, 15, 80, 50)),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": 180, "cache_write_tokens": 15}}, (0, 0, 100, 50)),
        ({**USAGE, "prompt_tokens_details": {"cache_write_tokens": -5}}, (100, 0, 0, 50)),
        ({**USAGE, "prompt_tokens_details": {"cache_write_tokens": "x"}}, (100, 0, 0, 50)),
        ({**USAGE, "prompt_tokens_details": None}, (100, 0, 0, 50)),
        ({**USAGE, "prompt_tokens": -1}, (0, 0, 0, 0)),
        ({**USAGE, "completion_tokens_details": {"reasoning_tokens": 30}}, (100, 0, 0, 50, 30)),
        ({**USAGE, "completion_tokens_details": {"reasoning_tokens": 70}}, (100, 0, 0, 50, 50)),
        (None, (0, 0, 0, 0)),
        (7, (0, 0, 0, 0)),
    ],
)
def test_cached_tokens_stand_beside_the_input_and_thoughts_in_the_output(usage, numbers):
    answer = from_completion({**completion({"content": "x"}), "usage": usage}, model="claude")

    assert answer["usage"] == counted(*numbers)


@pytest.mark.parametrize(
    "odd", [{}, {"choices": []}, {"choices": None}, {"choices": [7]}, {"choices": [{"message": 7}]}]
)
def test_an_answer_of_nothing_is_an_empty_message(odd):
    answer = from_completion(odd, model="claude")

    assert (answer["content"], answer["stop_reason"], answer["usage"]) == ([], "end_turn", NOTHING)
    assert answer["id"].startswith("msg_")


def test_an_answer_can_be_sent_back_as_it_is():
    first = from_completion(completion({"reasoning_content": "Hm.", "content": "Hi", **CALLS}), model="m")
    turns = [{"role": "user", "content": "Hello"}, {"role": first["role"], "content": first["content"]}]

    chat = to_chat({"model": "m", "max_tokens": 1, "messages": turns})

    assert chat["messages"][1] == {"role": "assistant", "content": "Hi", "reasoning_content": "Hm.", **CALLS}


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, ("invalid_request_error", None), "invalid_request_error"),
        (401, ("invalid_request_error", "invalid_api_key"), "authentication_error"),
        (402, ("insufficient_quota", "insufficient_quota"), "billing_error"),
        (403, ("permission_error", None), "permission_error"),
        (404, ("invalid_request_error", "model_not_found"), "not_found_error"),
        (405, ("invalid_request_error", None), "invalid_request_error"),
        (408, ("server_error", None), "timeout_error"),
        (409, ("invalid_request_error", None), "conflict_error"),
        (413, ("invalid_request_error", None), "request_too_large"),
        (422, ("invalid_request_error", None), "invalid_request_error"),
        (429, ("insufficient_quota", "insufficient_quota"), "rate_limit_error"),
        (429, ("rate_limit_error", "rate_limit_exceeded"), "rate_limit_error"),
        (500, ("server_error", None), "api_error"),
        (502, ("server_error", "upstream_error"), "api_error"),
        (503, ("server_error", "no_account_available"), "overloaded_error"),
        (504, ("server_error", "upstream_timeout"), "timeout_error"),
        (529, ("overloaded_error", None), "overloaded_error"),
        (200, ("server_error", "upstream_timeout"), "timeout_error"),
        (200, ("server_error", None), "api_error"),
    ],
)
def test_a_refusal_is_told_in_anthropics_words(status, words, kind):
    assert refusal(status, "Sorry.", type=words[0], code=words[1], param=None, request_id="req_1") == {
        "type": "error",
        "error": {"type": kind, "message": "Sorry."},
        "request_id": "req_1",
    }


@pytest.mark.parametrize(
    ("message", "said"),
    [("max_tokens is required.", "max_tokens is required."), ("Too much.", "max_tokens: Too much.")],
)
def test_a_refusal_names_the_field_once(message, said):
    body = refusal(400, message, type="invalid_request_error", code=None, param="max_tokens", request_id="r")

    assert body["error"]["message"] == said
