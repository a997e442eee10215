"""A whole completion as a response, and a refusal as the Responses API words it."""

from __future__ import annotations

import re

import pytest

from shared_accounts.gateway.dialects.responses import from_completion, refusal
from tests.gateway.dialects.reading_responses import believed

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 80},
    "completion_tokens_details": {"reasoning_tokens": 30},
}


def answered(message, finish="stop", **more):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "upstreams-name"}
    response = from_completion({**body, "choices": [choice], **more}, model="asked-for")
    believed(response)
    return response


def called(call_id, name, arguments, **more):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def told(response):
    """The output, without the ids made up for it."""
    return [{name: value for name, value in item.items() if name != "id"} for item in response["output"]]


def text(said, status="completed"):
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": said}
    return {"type": "message", "status": status, "role": "assistant", "content": [part]}


def thought(said):
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": said}]}


def run(call_id, name, arguments, status="completed", **more):
    return {"type": "function_call", "status": status, "call_id": call_id, "name": name, **more, "arguments": arguments}


def custom(call_id, name, given, **more):
    told = {"type": "custom_tool_call", "status": "completed", "call_id": call_id, "name": name}
    return {**told, **more, "input": given}


ANSWERS = {
    "text": ({"content": "Hello 你好 🎉"}, [text("Hello 你好 🎉")]),
    "nothing": ({"content": None}, []),
    "an empty text": ({"content": ""}, []),
    "text in parts": ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, [text("ab")]),
    "a thought and text": ({"reasoning_content": "hm", "content": "so"}, [thought("hm"), text("so")]),
    "a thought by its other name": ({"reasoning": "hm", "content": "so"}, [thought("hm"), text("so")]),
    "a thought under both names": ({"reasoning": "hm", "reasoning_content": "hm", "content": None}, [thought("hm")]),
    "a refusal": (
        {"content": None, "refusal": "no"},
        [{**text(""), "content": [{"type": "refusal", "refusal": "no"}]}],
    ),
    "parallel calls": (
        {"content": None, "tool_calls": [called("1", "a", '{"x":1}', index=0), called("2", "b", "{}", index=1)]},
        [run("1", "a", '{"x":1}'), run("2", "b", "{}")],
    ),
    "parallel calls without an index": (
        {"content": "wait", "tool_calls": [called("1", "a", "{}"), called("2", "a", "{}")]},
        [text("wait"), run("1", "a", "{}"), run("2", "a", "{}")],
    ),
    "parallel calls under one index": (
        {"tool_calls": [called("1", "a", "{}", index=0), called("2", "b", "{}", index=0)]},
        [run("1", "a", "{}"), run("2", "b", "{}")],
    ),
    "arguments that are no string": ({"tool_calls": [called("1", "a", {"x": 1})]}, [run("1", "a", '{"x":1}')]),
    "a custom tool": (
        {"tool_calls": [called("1", "free--apply_patch", '{"input": "*** Begin\\n\\u4f60"}')]},
        [custom("1", "apply_patch", "*** Begin\n你")],
    ),
    "a custom tool that was not given its JSON": (
        {"tool_calls": [called("1", "free--apply_patch", "*** Begin")]},
        [custom("1", "apply_patch", "*** Begin")],
    ),
    "a custom tool that was given other JSON": (
        {"tool_calls": [called("1", "free--apply_patch", '{"patch":"x"}')]},
        [custom("1", "apply_patch", '{"patch":"x"}')],
    ),
    "a tool in a namespace": (
        {"tool_calls": [called("1", "ns11--mcp__github__search", "{}")]},
        [run("1", "search", "{}", namespace="mcp__github")],
    ),
    "a custom tool in a namespace": (
        {"tool_calls": [called("1", "free--ns3--db1__query", '{"input":"select 1"}')]},
        [custom("1", "query", "select 1", namespace="db1")],
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_becomes_items(name):
    message, items = ANSWERS[name]

    response = answered(message)

    assert told(response) == items
    assert (response["status"], response["incomplete_details"], response["error"]) == ("completed", None, None)


def test_ids_say_what_they_are_of():
    calls = [called("1", "a", "{}"), called("2", "free--b", "{}")]
    response = answered({"reasoning": "hm", "content": "so", "tool_calls": calls})

    assert re.fullmatch(r"resp_[0-9a-f]{32}", response["id"])
    assert [item["id"].partition("_")[0] for item in response["output"]] == ["rs", "msg", "fc", "ctc"]


def test_a_call_without_an_id_gets_one():
    (item,) = answered({"tool_calls": [called(None, "a", "{}")]})["output"]

    assert re.fullmatch(r"call_[0-9a-f]{32}", item["call_id"])


def test_the_model_is_the_one_that_was_asked_for():
    response = answered({"content": "hi"})

    assert (response["model"], response["created_at"], response["object"]) == ("asked-for", 7, "response")
    assert believed(response).output_text == "hi"


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_is_incomplete(finish, reason):
    response = answered({"content": "so", "tool_calls": [called("1", "a", '{"x')]}, finish)

    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert told(response) == [text("so"), run("1", "a", '{"x', "incomplete")]


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "function_call", "eos", None, 7])
def test_any_other_reason_is_a_completion(finish):
    assert answered({"content": "so"}, finish)["status"] == "completed"


def test_usage_keeps_its_details():
    assert answered({"content": "hi"}, usage=USAGE)["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 0},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 30},
        "total_tokens": 150,
    }


@pytest.mark.parametrize("count", ["7", True, 7.5, None, [7]])
def test_a_count_that_is_none_counts_as_none(count):
    usage = answered({"content": "hi"}, usage={"prompt_tokens": count, "completion_tokens": 2})["usage"]

    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (0, 2, 2)


def test_no_usage_is_none():
    assert "usage" not in answered({"content": "hi"})


@pytest.mark.parametrize(
    "choices", [None, 7, [], [None], [{}], [{"message": 7}], [{"message": {"tool_calls": [7, {}]}}]]
)
def test_an_answer_of_nothing_is_a_response_of_nothing(choices):
    response = from_completion({"choices": choices, "created": "x", "usage": 7}, model="m")

    assert (response["output"], response["status"]) == ([], "completed")
    believed(response)


def test_only_the_first_choice_is_heard():
    choices = [{"index": index, "message": {"content": str(index)}} for index in (1, 0)]

    assert believed(from_completion({"choices": choices}, model="m")).output_text == "0"


def test_a_refusal_is_openais():
    body = refusal(429, "Not now.", type="rate_limit_error", code="slow", param=None, request_id="r")

    assert body == {"error": {"message": "Not now.", "type": "rate_limit_error", "param": None, "code": "slow"}}


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("messages", "input"),
        ("messages[3].content", "input"),
        ("max_completion_tokens", "max_output_tokens"),
        ("response_format.json_schema", "text.format"),
        ("model", "model"),
        ("input[0].role", "input[0].role"),
    ],
)
def test_a_refusal_names_the_field_the_client_sent(param, told):
    error = refusal(400, "no", type="invalid_request_error", code=None, param=param, request_id="r")["error"]

    assert error["param"] == told
