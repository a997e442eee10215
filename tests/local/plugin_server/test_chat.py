"""Models, chat and images as they come over the wire."""

from __future__ import annotations

import json
import re

import pytest

MODEL = "gemini-2.5-flash"
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
EXHAUSTED = "RESOURCE_EXHAUSTED"


@pytest.fixture
def ada(plugin_server):
    """Somebody with an account of her own."""
    key = plugin_server.create_user("ada")["api_key"]
    plugin_server.add_account(key)
    return key


@pytest.fixture
def ask(plugin_server, ada):
    def send(text="Hello", *, key=None, headers=None, **more):
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}
        body = {name: value for name, value in body.items() if value != "left out"}
        return plugin_server.call("POST", "/v1/chat/completions", key=key or ada, json=body, headers=headers or {})

    return send


def frames(answer):
    assert answer.status_code == 200
    text = answer.content.decode()  # no charset is named, and `requests` would guess wrong
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def deltas(answer):
    return [frame["choices"][0]["delta"] for frame in frames(answer)]


def said(answer):
    return "".join(delta.get("content", "") for delta in deltas(answer))


def test_models_are_those_of_ones_own_account(plugin_server, ada):
    listed = plugin_server.call("GET", "/v1/models", key=ada).json()

    assert listed["object"] == "list"
    assert MODEL in [model["id"] for model in listed["data"]]
    assert listed["data"][0].keys() == {"id", "object", "created", "owned_by"}


def test_who_has_no_account_of_her_own_sees_no_models_although_she_may_chat(plugin_server, ask):
    sharer, bob = (plugin_server.create_user(name)["api_key"] for name in ("sharer", "bob"))
    plugin_server.add_account(sharer, is_shared=1)
    cookie = plugin_server.add_account(bob, is_shared=1)["cookie_id"]
    plugin_server.control(disabled=[cookie])

    answer = plugin_server.call("GET", "/v1/models", key=bob)

    assert answer.status_code == 500
    assert answer.json() == {"error": "没有可用的账号"}
    assert ask(key=bob, stream=False).ok


def test_a_stream_is_the_default_and_its_frames_come_in_order(ask):
    answer = ask("weather please", model="claude-sonnet-4-5-thinking", stream="left out", tools=[WEATHER])

    got = frames(answer)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert [next(iter(delta), "") for delta in deltas(answer)] == ["reasoning_content"] * 2 + ["tool_calls", ""]
    assert not any("role" in delta for delta in deltas(answer))
    assert list(got[0]) == ["id", "object", "created", "model", "choices"]
    assert re.fullmatch(r"chatcmpl-\d{13}", got[0]["id"])
    assert {frame["choices"][0]["finish_reason"] for frame in got[:-1]} == {None}
    assert got[-1]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    assert got[-1]["usage"].keys() == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert not any("usage" in frame for frame in got[:-1])


def test_words_come_one_by_one_and_usage_counts_them(ask):
    answer = ask("!words 7")

    assert said(answer) == "word0 word1 word2 word3 word4 word5 word6 "
    assert frames(answer)[-1]["usage"]["completion_tokens"] == 7


def test_null_is_no_stream_and_neither_is_false(ask):
    for stream in (None, False):
        assert ask(stream=stream).json()["object"] == "chat.completion"


def test_calls_of_tools_come_whole_without_an_index_and_with_what_gemini_wants_back(ask):
    (gemini,) = next(delta for delta in deltas(ask("weather?", tools=[WEATHER])) if delta)["tool_calls"]
    (claude,) = deltas(ask("weather?", model="claude-sonnet-4-5", tools=[WEATHER]))[0]["tool_calls"]

    assert gemini.keys() == {"id", "type", "function", "extra_content"}
    assert gemini["extra_content"]["google"]["thought_signature"]
    assert json.loads(gemini["function"]["arguments"]) == {"asked": "weather?"}
    assert claude.keys() == {"id", "type", "function"}


def test_after_a_tools_result_there_is_no_thinking(plugin_server, ada):
    messages = [{"role": "user", "content": "weather?"}, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]
    body = {"model": "gemini-2.5-pro", "messages": messages, "tools": [WEATHER]}

    answer = plugin_server.call("POST", "/v1/chat/completions", key=ada, json=body)

    assert {name for delta in deltas(answer) for name in delta} == {"content"}


@pytest.mark.parametrize("size", [60, 3_000_000])
def test_an_image_is_one_line_of_content_at_the_end(plugin_server, ask, size):
    plugin_server.control(image_bytes=size)

    answer = ask(model="gemini-3-pro-image", stream="left out")

    content = deltas(answer)[-2]["content"]
    assert content.startswith("\n![生成的图像](data:image/png;base64,iVBORw0KGgo")
    assert content.endswith(")\n")
    assert size < len(content) < size + 60
    assert ask(model="gemini-3-pro-image", stream=False).json()["choices"][0]["message"]["content"].endswith(content)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("!error ALL_ENDPOINTS_403", "ALL_ENDPOINTS_403"),
        ("!error RESOURCE_EXHAUSTED", EXHAUSTED),
        ("!error 503 upstream is tired", "upstream is tired"),
        ("!late-error ILLEGAL_PROMPT", "ILLEGAL_PROMPT"),
    ],
)
def test_an_error_in_a_stream_is_text_and_a_stop_without_usage(ask, script, message):
    answer = ask(script)

    got = frames(answer)
    assert deltas(answer)[-2] == {"content": f"\n\n错误: {message}"}
    assert got[-1]["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in frame for frame in got)
    assert (len(got) > 2) is script.startswith("!late")


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        ("!error ALL_ENDPOINTS_403", 403, "ALL_ENDPOINTS_403"),
        ("!error IMAGE_INPUT_EXCEEDED_MAXIMUM_5_MB", 400, "IMAGE_INPUT_EXCEEDED_MAXIMUM_5_MB"),
        ("!error RESOURCE_PROJECT_INVALID", 400, "RESOURCE_PROJECT_INVALID"),
        ("!error ILLEGAL_PROMPT", 500, "ILLEGAL_PROMPT"),
        ("!error 503 upstream is tired", 503, "upstream is tired"),
    ],
)
def test_an_error_of_a_whole_answer_has_a_status(ask, script, status, message):
    answer = ask(script, stream=False)

    assert answer.status_code == status
    assert answer.json() == {"error": message}


def test_exhaustion_of_a_whole_answer_is_a_200_and_a_word(plugin_server, ask, ada):
    plugin_server.control(exhausted=[MODEL])

    whole = ask(stream=False)

    assert whole.status_code == 200
    assert whole.json()["choices"][0]["message"] == {"role": "assistant", "content": EXHAUSTED}
    assert whole.json()["usage"]
    assert said(ask()) == f"\n\n错误: {EXHAUSTED}"
    assert plugin_server.call("GET", "/api/quotas/consumption", key=ada).json()["data"] == []


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"messages": "left out"}, 400, "messages是必需的"),
        ({"model": "left out"}, 500, "Cannot read properties of undefined (reading 'startsWith')"),
        ({"model": "chat_20706"}, 500, "不支持的模型: chat_20706"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_wrong_before_the_first_byte_is_json(ask, changes, status, message, stream):
    answer = ask(stream=stream, **changes)

    assert answer.status_code == status
    assert answer.json() == {"error": message}


@pytest.mark.parametrize("stream", [True, False])
def test_no_account_and_no_quota_are_told_apart_by_their_words_alone(plugin_server, ask, stream):
    bob = plugin_server.create_user("bob")["api_key"]
    none = ask(key=bob, stream=stream)
    plugin_server.control(fractions={MODEL: 0})

    exhausted = ask(stream=stream)

    assert none.status_code == exhausted.status_code == 500
    assert none.json()["error"].startswith("没有可用的账号")
    assert none.json()["error"].endswith("请添加账号")
    assert exhausted.json() == {"error": f"所有账号对模型 {MODEL} 的配额已耗尽或用户共享配额不足"}


def test_parts_of_white_space_get_lost(ask):
    assert said(ask('!say ["a", "\\n", "b"]')) == "ab"


def test_without_a_finish_reason_calls_of_tools_get_lost_and_the_end_looks_fine(ask):
    answer = ask("!unfinished weather", tools=[WEATHER])

    assert not any("tool_calls" in delta for delta in deltas(answer))
    assert frames(answer)[-1]["choices"][0]["finish_reason"] == "stop"
    assert frames(answer)[-1]["usage"]


def test_kiro_wants_a_model_and_tells_no_usage(plugin_server, ask, ada):
    kiro = {"X-Account-Type": "kiro"}

    assert ask(model="left out", headers=kiro).json() == {"error": "model是必需的"}
    assert not any("usage" in frame for frame in frames(ask(headers=kiro)))
    listed = plugin_server.call("GET", "/v1/models", key=ada, headers=kiro).json()["data"]
    assert MODEL not in [model["id"] for model in listed]


def test_an_unknown_account_type_is_taken_for_the_usual_one(plugin_server, ada):
    listed = plugin_server.call("GET", "/v1/models", key=ada, headers={"X-Account-Type": "what"}).json()["data"]

    assert MODEL in [model["id"] for model in listed]


def draw(server, key, body, verb="generateContent", model="gemini-3-pro-image"):
    return server.call("POST", f"/v1beta/models/{model}:{verb}", key=key, json=body)


def wishes(**config):
    contents = [
        {"role": "user", "parts": [{"text": "a cat"}, {"inlineData": {"mimeType": "image/png", "data": "eA=="}}]},
        {"role": "model", "parts": [{"text": "never read"}]},
    ]
    return {"contents": contents, "generationConfig": {"imageConfig": config}}


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent"])
def test_images_are_plain_json_whatever_the_verb(plugin_server, ada, verb):
    answer = draw(plugin_server, ada, wishes(aspectRatio="16:9", imageSize="2K"), verb)

    (candidate,) = answer.json()["candidates"]
    assert answer.headers["content-type"].startswith("application/json")
    assert candidate["finishReason"] == "STOP"
    assert candidate["content"]["role"] == "model"
    assert candidate["content"]["parts"][0] == {"text": "You asked for: a cat"}
    assert candidate["content"]["parts"][1]["inlineData"]["mimeType"] == "image/png"
    assert answer.json().keys() == {"candidates"}


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ({"contents": []}, 400, "INVALID_ARGUMENT"),
        ({}, 400, "INVALID_ARGUMENT"),
        (wishes(aspectRatio="5:4"), 400, "INTERNAL"),
        (wishes(imageSize="8K"), 400, "INTERNAL"),
        ({"contents": [{"role": "user", "parts": [{"text": "!error ALL_ENDPOINTS_403"}]}]}, 403, "INTERNAL"),
        ({"contents": [{"role": "user", "parts": [{"text": "!error RESOURCE_EXHAUSTED"}]}]}, 429, "INTERNAL"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_googles_shape(plugin_server, ada, body, code, status):
    answer = draw(plugin_server, ada, body)

    assert answer.status_code == code
    assert answer.json()["error"].keys() == {"code", "message", "status"}
    assert (answer.json()["error"]["code"], answer.json()["error"]["status"]) == (code, status)


def test_no_account_comes_before_a_bad_wish(plugin_server):
    bob = plugin_server.create_user("bob")["api_key"]

    answer = draw(plugin_server, bob, wishes(aspectRatio="5:4"))

    assert answer.status_code == 500
    assert answer.json()["error"]["status"] == "INTERNAL"
    assert answer.json()["error"]["message"].startswith("没有可用的账号")


def test_one_image_model_takes_no_size(plugin_server, ada):
    answer = draw(plugin_server, ada, wishes(imageSize="1K"), model="gemini-2.5-flash-image")

    assert answer.json()["error"]["code"] == 400


def test_an_unknown_verb_is_an_unknown_route(plugin_server, ada):
    answer = draw(plugin_server, ada, wishes(), "countTokens")

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
