"""The official Python client, as its users have it: everything it can meet here comes out as the type it documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from tests.gateway.scene import COST, MESSAGES, PLUGIN_CHAT
from tests.later import Later
from tests.upstream import USAGE, answers, breaks, calls_a_tool, refuses, says, streams

openai = Later("openai")

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


@pytest.fixture
def client(scene) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{scene.server.url}/v1", api_key=scene.key, timeout=30) as made:
        yield made


def ask(client, scene, **fields):
    return client.chat.completions.create(model=scene.model, messages=MESSAGES, max_tokens=100, **fields)


def test_it_lists_models_and_retrieves_one(client, scene, upstream):
    scene.account(upstream())
    scene.account(upstream(), models=[f"{scene.model}/with:odd.name"])

    assert [model.id for model in client.models.list() if model.id.startswith(scene.model)] == [
        scene.model,
        f"{scene.model}/with:odd.name",
    ]
    found = client.models.retrieve(f"{scene.model}/with:odd.name")
    assert (found.object, found.owned_by) == ("model", "shared_accounts")
    assert found.created > 1_700_000_000
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_it_completes(client, scene, upstream):
    scene.account(upstream(answers("Hello there")))

    done = ask(client, scene)

    assert done.choices[0].message.content == "Hello there"
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens == 150
    assert done._request_id  # noqa: SLF001 - its documented name


def test_it_streams_and_sees_no_usage_it_did_not_ask_for(client, scene, upstream):
    scene.account(upstream(streams("Hello", "there")))

    chunks = list(ask(client, scene, stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello there "
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert scene.line()["basis"] == "measured"


def test_it_sees_the_usage_it_asked_for_in_a_last_chunk_without_choices(client, scene, upstream):
    scene.account(upstream(streams("Hello", "there")))

    chunks = list(ask(client, scene, stream=True, stream_options={"include_usage": True}))

    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 50
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_it_streams_a_tool_call(client, scene, upstream):
    server = upstream(calls_a_tool("get_weather", '{"city": "Lima", "unit": "c"}'))
    scene.account(server)

    chunks = list(ask(client, scene, stream=True, tools=TOOLS))

    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert (calls[0].id, calls[0].function.name) == ("call_1", "get_weather")
    assert "".join(call.function.arguments or "" for call in calls) == '{"city": "Lima", "unit": "c"}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert server.requests[0].json["tools"] == TOOLS


def test_a_tool_is_called_and_its_result_is_sent_back(client, scene, upstream):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Lima"}'}}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}}
    called = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE}
    whole = json.dumps({**called, "choices": [{**choice, "finish_reason": "tool_calls"}]}).encode()
    server = upstream(says(whole), answers("Sunny"))
    scene.account(server)

    first = ask(client, scene, tools=TOOLS, tool_choice="required", parallel_tool_calls=False).choices[0]
    result = {"role": "tool", "tool_call_id": first.message.tool_calls[0].id, "content": "22 degrees"}
    turns = [*MESSAGES, first.message, result]
    last = client.chat.completions.create(model=scene.model, messages=turns, tools=TOOLS, max_tokens=100)

    assert (first.finish_reason, last.choices[0].message.content) == ("tool_calls", "Sunny")
    sent = [request.json for request in server.requests]
    assert (sent[0]["tool_choice"], sent[0]["parallel_tool_calls"]) == ("required", False)
    assert sent[1]["messages"][1]["tool_calls"] == [call]
    assert sent[1]["messages"][2] == result


class City(BaseModel):
    name: str
    people: int


def test_structured_output_is_parsed(client, scene, upstream):
    server = upstream(answers('{"name": "Ulm", "people": 7}'))
    scene.account(server)

    said = client.chat.completions.parse(model=scene.model, messages=MESSAGES, response_format=City, max_tokens=100)

    assert said.choices[0].message.parsed == City(name="Ulm", people=7)
    assert server.requests[0].json["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
def test_what_is_shown_arrives_as_it_was_sent(client, scene, upstream, kind):
    server = upstream(answers())
    scene.account(server)
    parts = {
        "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
        "input_audio": {"data": "UklGRg==", "format": "wav"},
        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
    }
    content = [{"type": "text", "text": "What is it?"}, {"type": kind, kind: parts[kind]}]

    client.chat.completions.create(model=scene.model, messages=[{"role": "user", "content": content}], max_tokens=9)

    assert server.requests[0].json["messages"][0]["content"] == content


def test_several_choices_are_all_there(client, scene, upstream):
    choices = [
        {"index": n, "message": {"role": "assistant", "content": str(n)}, "finish_reason": "stop"} for n in range(3)
    ]
    server = upstream(answers(choices=choices))
    scene.account(server)

    done = ask(client, scene, n=3, stop=["END"], seed=7, logprobs=True)

    assert [choice.message.content for choice in done.choices] == ["0", "1", "2"]
    assert [server.requests[0].json[name] for name in ("n", "stop", "seed", "logprobs")] == [3, ["END"], 7, True]


@pytest.mark.parametrize("refusal", [refuses(503), refuses(429, retry_after=1)], ids=["broken", "busy"])
def test_it_tries_again_by_itself_what_may_go_better(client, scene, upstream, refusal):
    server = upstream(refusal, answers("Hello"))
    scene.account(server)

    done = ask(client.with_options(max_retries=5), scene)

    assert done.choices[0].message.content == "Hello"
    assert len(server.requests) == 2
    assert scene.charged() == COST


def test_it_may_be_asynchronous(scene, upstream):
    scene.account(upstream(streams("Hello", "there")))

    async def asks():
        async with openai.AsyncOpenAI(base_url=f"{scene.server.url}/v1", api_key=scene.key, timeout=30) as client:
            stream = await ask(client, scene, stream=True)
            return [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(asyncio.run(asks())) == "Hello there "


def test_its_own_stream_helper_accumulates(client, scene, upstream):
    scene.account(upstream(streams("Hello", "there")))

    with client.chat.completions.stream(
        model=scene.model, messages=MESSAGES, max_tokens=100, stream_options={"include_usage": True}
    ) as events:
        final = events.get_final_completion()

    assert final.choices[0].message.content == "Hello there "
    assert final.usage is not None
    assert final.usage.total_tokens == 150


def test_a_wrong_key_is_an_authentication_error(scene):
    for key in ("sk-wrong", scene.key[:-1] + ("a" if scene.key[-1] != "a" else "b"), "eyJhbGciOiJIUzI1NiJ9.e30.x"):
        with openai.OpenAI(base_url=f"{scene.server.url}/v1", api_key=key) as client:
            with pytest.raises(openai.AuthenticationError) as error:
                client.models.list()
            assert error.value.code == "invalid_api_key"
            with pytest.raises(openai.AuthenticationError):
                ask(client, scene)


def test_a_silenced_user_is_denied_permission_and_may_still_read(client, scene, upstream):
    scene.account(upstream())
    assert ask(client, scene)
    scene.change("users", scene.user.id, state="silenced")

    for stream in (False, True):
        with pytest.raises(openai.PermissionDeniedError) as error:
            ask(client, scene, stream=stream)
        assert error.value.type == "permission_error"
    assert scene.model in {model.id for model in client.models.list()}


def test_an_unknown_model_is_not_found(client, scene):
    with pytest.raises(openai.NotFoundError) as error:
        ask(client, scene)

    assert (error.value.code, error.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("stream", [False, True])
def test_an_empty_quota_is_a_rate_limit_error_and_not_tried_again(client, scene, upstream, stream):
    server = upstream()
    scene.account(server)
    tries = []
    client._client.event_hooks["request"].append(tries.append)  # noqa: SLF001 - the client's own httpx

    with pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(model=scene.model, messages=MESSAGES, max_tokens=10_000_000, stream=stream)

    assert (error.value.code, error.value.type) == ("insufficient_quota", "insufficient_quota")
    assert error.value.request_id
    assert len(tries) == 1
    assert server.requests == []


def test_a_bad_request_is_the_upstreams_own_word(client, scene, upstream):
    scene.account(upstream(refuses(400, "messages[0].role is odd", param="messages")))

    with pytest.raises(openai.BadRequestError) as error:
        ask(client, scene)

    assert (error.value.param, error.value.body["message"]) == ("messages", "messages[0].role is odd")


def test_a_broken_upstream_is_an_internal_server_error(client, scene, upstream):
    scene.account(upstream(refuses(500)))

    with pytest.raises(openai.InternalServerError) as error:
        ask(client.with_options(max_retries=0), scene)

    assert error.value.status_code == 502


@pytest.mark.parametrize("how", ["reset", "close", "end"])
def test_a_stream_that_breaks_off_raises(client, scene, upstream, how):
    scene.account(upstream(breaks(3, how=how)))
    seen = []

    with pytest.raises(openai.APIError) as error:
        seen.extend(ask(client, scene, stream=True))
    assert "".join(chunk.choices[0].delta.content for chunk in seen) == "word0 word1 word2 "
    assert error.value.code == "upstream_error"


def test_the_plugins_path_streams_unless_told_otherwise(scene, upstream):
    scene.account(upstream(answers("Hello there")))

    streamed = scene.ask(path=PLUGIN_CHAT)
    whole = scene.ask(path=PLUGIN_CHAT, stream=False)

    assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert streamed.frames[-1] == "[DONE]"
    assert whole.json["choices"][0]["message"]["content"] == "Hello there"
    assert scene.ask().headers["content-type"] == "application/json"
    assert {line["endpoint"] for line in scene.lines()} == {PLUGIN_CHAT, "/v1/chat/completions"}
