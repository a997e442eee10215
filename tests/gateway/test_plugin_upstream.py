"""The Plug-in API as an upstream, quirk by quirk (its contract: A.8, G.5 to G.7), over real sockets."""

from __future__ import annotations

import http.client
import json
import time

import pytest

from tests.later import Later
from tests.plugin_api import plugin_process, plugin_server
from tests.upstream import answers, plays, says

openai = Later("openai")

__all__ = ["plugin_process", "plugin_server"]

USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
DONE = b"data: [DONE]\n\n"
CALL = {
    "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"},
    "extra_content": {"google": {"thought_signature": "sig"}},
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


STOP = frame({}, "stop", usage=USAGE)


def account(scene, server, **fields):
    return scene.account(server, preset="plugin", sharing="dedicated", owner=scene.user, **fields)


def deltas(reply):
    return [one["choices"][0]["delta"] for one in reply.frames if one != "[DONE]" and one.get("choices")]


@pytest.mark.parametrize("fields", [{}, {"stream": False}, {"stream": None}])
def test_a_whole_answer_is_asked_for_in_so_many_words(scene, upstream, fields):
    server = upstream(answers("Hello"))
    account(scene, server)

    assert scene.ask(**fields).json["choices"][0]["message"]["content"] == "Hello"

    assert not server.requests[0].json["stream"]
    assert b'"stream":false' in server.requests[0].body


def test_a_stream_is_told_as_openai_tells_it(scene, upstream):
    pieces = [frame({"reasoning_content": "hm"}), frame({"content": "a"}), frame({"tool_calls": [CALL]}), STOP, DONE]
    account(scene, upstream(plays(pieces)))

    reply = scene.ask(stream=True, stream_options={"include_usage": True})

    first, second, third, *_ = deltas(reply)
    assert first == {"role": "assistant", "reasoning_content": "hm"}
    assert second == {"content": "a"}
    assert third["tool_calls"] == [{**CALL, "index": 0}]
    assert reply.frames[-2]["choices"] == []
    assert reply.frames[-2]["usage"] == USAGE
    assert reply.frames[-1] == "[DONE]"
    assert (scene.line()["basis"], scene.line()["cost"]) == ("measured", 100 + 4 * 50)


def test_usage_nobody_asked_for_is_not_shown_but_counted(scene, upstream):
    account(scene, upstream(plays([frame({"content": "a"}), STOP, DONE])))

    reply = scene.ask(stream=True)

    assert not any("usage" in one for one in reply.frames if one != "[DONE]")
    assert scene.line()["basis"] == "measured"


def test_the_official_client_puts_a_tool_call_together(scene, upstream):
    account(scene, upstream(plays([frame({"tool_calls": [CALL]}), frame({}, "tool_calls", usage=USAGE), DONE])))

    with (
        openai.OpenAI(base_url=f"{scene.server.url}/v1", api_key=scene.key) as client,
        client.chat.completions.stream(model=scene.model, messages=[{"role": "user", "content": "?"}]) as stream,
    ):
        said = stream.get_final_completion()

    assert said.choices[0].message.tool_calls[0].function.name == "f"


@pytest.mark.parametrize("words", ["\n\n错误: RESOURCE_EXHAUSTED", "错误: RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"])
def test_a_failure_told_as_text_is_a_refusal_and_the_next_account_serves(scene, upstream, words):
    broken = account(scene, upstream(plays([frame({"content": words}), frame({}, "stop"), DONE])))
    scene.account(upstream(answers("Mended")))

    reply = scene.ask(stream=True)

    assert "".join(delta.get("content") or "" for delta in deltas(reply)).strip() == "Mended"
    assert scene.line()["attempts"][0]["account_id"] == broken.id
    assert scene.account_now(broken)["cooling"] > 0


def test_a_whole_answer_of_one_word_is_a_refusal_too(scene, upstream):
    message = {"role": "assistant", "content": "RESOURCE_EXHAUSTED"}
    body = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}
    account(scene, upstream(says(json.dumps(body).encode())))

    reply = scene.ask()

    assert (reply.status, reply.error["code"]) == (429, "upstream_limited")
    assert scene.line()["charged"] == 0


def test_a_failure_after_the_first_words_ends_the_stream_with_an_error(scene, upstream):
    pieces = [frame({"content": "Half"}), 0.5, frame({"content": "\n\n错误: broke"}), frame({}, "stop")]
    account(scene, upstream(plays(pieces)))

    reply = scene.ask(stream=True)

    assert reply.frames[-1]["error"]["message"] == "broke"
    assert b"[DONE]" not in reply.body
    assert scene.line()["outcome"] == "broken"


@pytest.mark.parametrize(
    ("words", "status"),
    [("没有可用的账号", 429), ("所有账号对模型 m 的配额已耗尽或用户共享配额不足", 429), ("whatever", 502)],
)
def test_what_it_answers_with_500_is_told_apart_by_its_words(scene, upstream, words, status):
    refused = account(scene, upstream(says(json.dumps({"error": words}, ensure_ascii=False).encode(), status=500)))

    assert scene.ask().status == status

    assert bool(scene.account_now(refused)["cooling"]) == (status == 429)


def test_a_page_instead_of_json_is_a_fault(scene, upstream):
    page = b"<!DOCTYPE html><html><body><pre>Internal Server Error</pre></body></html>"
    account(scene, upstream(says(page, status=500, headers=[("content-type", "text/html")])))

    reply = scene.ask()

    assert reply.status == 502
    assert b"html" not in reply.body


def test_an_image_of_megabytes_is_passed_as_it_comes(scene, upstream):
    image = frame({"content": "![](data:image/png;base64," + "A" * 4_000_000 + ")"})
    half = len(image) // 2
    account(scene, upstream(plays([frame({"content": "here"}), image[:half], 1.0, image[half:], STOP, DONE])))
    start, when = time.monotonic(), {}

    with scene.stream() as response:
        seen = 0
        while piece := response.read1(65536):
            seen += len(piece)
            when.setdefault(seen > half / 2, time.monotonic() - start)

    assert seen > len(image)
    assert when[True] < 0.9  # the first half was here before the second was sent
    assert scene.line()["outcome"] == "served"


def test_leaving_hangs_up_on_it(scene, upstream):
    server = upstream(plays([frame({"content": "a"})], ending="hang"))
    account(scene, server)

    with scene.stream() as response:
        assert response.read1(100)

    assert scene.line()["outcome"] == "client_left"


def test_a_real_one_answers_its_own_user(scene, plugin_server):
    user = plugin_server.create_user("ada")
    plugin_server.add_account(user["api_key"])
    model = "gemini-2.5-flash"
    scene.account(
        None, preset="plugin", sharing="dedicated", owner=scene.user, models=[model], base_url=f"{plugin_server.url}/v1",
        secret=user["api_key"],
    )  # fmt: skip

    whole = scene.ask(model=model)
    stream = scene.ask(model=model, stream=True)

    assert whole.status == stream.status == http.client.OK
    assert whole.json["choices"][0]["message"]["content"]
    assert deltas(stream)[0]["role"] == "assistant"
    assert stream.frames[-1] == "[DONE]"
    asked = plugin_server.seen("/v1/chat/completions")
    assert {one["credential"] for one in asked} == {user["user_id"]}
