"""Anthropic's official Python client against us: over upstreams that speak only OpenAI's chat, and over native ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.gateway.test_room_for_some import leave
from tests.later import Later
from tests.upstream import USAGE, answers, breaks, calls_a_tool, plays, refuses, says, streams

anthropic = Later("anthropic")

ASKED = [{"role": "user", "content": "Say hello."}]
TOOLS = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
WHOLE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "Natively."}],
    "usage": {"input_tokens": 100, "output_tokens": 50},
}  # fmt: skip


@pytest.fixture
def client(scene) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=scene.server.url, api_key=scene.key, timeout=30, max_retries=0) as made:
        yield made


def ask(client, scene, **fields):
    return client.messages.create(**{"model": scene.model, "max_tokens": 100, "messages": ASKED, **fields})


def native(kind, **fields):
    return b"event: " + kind.encode() + b"\ndata: " + json.dumps({"type": kind, **fields}).encode() + b"\n\n"


NATIVE = [
    native("message_start", message={**WHOLE, "content": [], "usage": {"input_tokens": 100, "output_tokens": 1}}),
    native("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    native("content_block_delta", index=0, delta={"type": "text_delta", "text": "Natively."}),
    native("content_block_stop", index=0),
    native("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 50}),
    native("message_stop"),
]


def test_it_is_answered_over_an_upstream_of_openais_kind(client, scene, upstream):
    server = upstream(answers("Hello there"))
    scene.account(server)

    said = ask(client, scene, system="Be brief.")

    assert [block.text for block in said.content] == ["Hello there"]
    assert (said.stop_reason, said.model, said.role) == ("end_turn", scene.model, "assistant")
    assert (said.usage.input_tokens, said.usage.output_tokens) == (100, 50)
    assert server.requests[0].path == "/v1/chat/completions"
    assert [one["role"] for one in server.requests[0].json["messages"]] == ["system", "user"]
    line = scene.line()
    assert (line["endpoint"], line["basis"], line["charged"]) == ("/v1/messages", "measured", 100 + 4 * 50)


def test_it_streams(client, scene, upstream):
    scene.account(upstream(streams("Hello", "there")))

    with client.messages.stream(model=scene.model, max_tokens=100, messages=ASKED) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()

    assert text == "Hello there "
    assert (last.stop_reason, last.usage.output_tokens) == ("end_turn", USAGE["completion_tokens"])
    assert (scene.line()["outcome"], scene.line()["basis"]) == ("served", "measured")


def test_a_tool_is_called_and_its_result_is_sent_back(client, scene, upstream):
    server = upstream(calls_a_tool("get_weather", '{"city": "Ulm"}'), answers("Sunny"))
    scene.account(server)

    with client.messages.stream(model=scene.model, max_tokens=100, messages=ASKED, tools=TOOLS) as stream:
        called = stream.get_final_message()
    use = called.content[-1]
    assert (use.type, use.name, use.input, called.stop_reason) == (
        "tool_use",
        "get_weather",
        {"city": "Ulm"},
        "tool_use",
    )

    turns = [
        *ASKED,
        {"role": "assistant", "content": [block.model_dump() for block in called.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "22 degrees"}]},
    ]
    said = ask(client, scene, messages=turns, tools=TOOLS)

    assert said.content[0].text == "Sunny"
    told = server.requests[1].json["messages"]
    assert [one["role"] for one in told] == ["user", "assistant", "tool"]
    assert told[1]["tool_calls"][0]["id"] == told[2]["tool_call_id"]


def test_a_tool_can_be_forced(client, scene, upstream):
    server = upstream(answers())
    scene.account(server)
    choice = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}

    ask(client, scene, tools=TOOLS, tool_choice=choice)

    sent = server.requests[0].json
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert sent["parallel_tool_calls"] is False


def test_structured_output_is_asked_for_in_openais_words(client, scene, upstream):
    server = upstream(answers('{"city": "Ulm"}'))
    scene.account(server)
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

    said = ask(client, scene, output_config={"format": {"type": "json_schema", "schema": schema}})

    assert json.loads(said.content[0].text) == {"city": "Ulm"}
    form = server.requests[0].json["response_format"]
    assert (form["type"], form["json_schema"]["schema"]) == ("json_schema", schema)


@pytest.mark.parametrize("refusal", [refuses(503), refuses(429, retry_after=1)], ids=["broken", "busy"])
def test_it_tries_again_by_itself_what_may_go_better(client, scene, upstream, refusal):
    server = upstream(refusal, answers("Hello"))
    scene.account(server)

    assert ask(client.with_options(max_retries=5), scene).content[0].text == "Hello"

    assert len(server.requests) == 2


def test_it_may_be_asynchronous(scene, upstream):
    scene.account(upstream(streams("Hello", "there")))

    async def asks():
        async with (
            anthropic.AsyncAnthropic(base_url=scene.server.url, api_key=scene.key, timeout=30) as client,
            client.messages.stream(model=scene.model, max_tokens=100, messages=ASKED) as stream,
        ):
            return [piece async for piece in stream.text_stream]

    assert "".join(asyncio.run(asks())) == "Hello there "


def test_an_image_reaches_the_upstream_in_its_way(client, scene, upstream):
    server = upstream(answers())
    scene.account(server)
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}

    ask(client, scene, messages=[{"role": "user", "content": [image, {"type": "text", "text": "What is it?"}]}])

    [picture, _] = server.requests[0].json["messages"][0]["content"]
    assert picture["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


def test_an_upstream_that_speaks_messages_gets_them_as_they_are(client, scene, upstream):
    server = upstream(says(json.dumps(WHOLE).encode()))
    scene.account(server, preset="anthropic", secret="sk-ant-of-the-contributor-0123456789")

    said = ask(client, scene, metadata={"user_id": "somebody"}, extra_headers={"anthropic-beta": "a-beta"})

    assert said.content[0].text == "Natively."
    sent, headers = server.requests[0], dict(server.requests[0].headers)
    assert sent.path == "/v1/messages"
    assert headers["x-api-key"] == "sk-ant-of-the-contributor-0123456789"
    assert (headers["anthropic-beta"], headers["anthropic-version"]) == ("a-beta", "2026-10-21")
    assert "authorization" not in headers
    assert scene.key not in str(headers)
    assert sent.json["metadata"] == {}
    assert (scene.line()["basis"], scene.line()["charged"]) == ("measured", 100 + 4 * 50)


def test_a_native_stream_passes_and_is_metered(client, scene, upstream):
    scene.account(upstream(plays(NATIVE)), preset="anthropic")

    with client.messages.stream(model=scene.model, max_tokens=100, messages=ASKED) as stream:
        assert "".join(stream.text_stream) == "Natively."

    line = scene.line()
    assert (line["outcome"], line["basis"], line["charged"]) == ("served", "measured", 100 + 4 * 50)


@pytest.mark.parametrize("preset", [None, "anthropic"])
def test_a_stream_that_breaks_off_raises(client, scene, upstream, preset):
    scene.account(upstream(breaks(3) if preset is None else plays(NATIVE[:3], ending="reset")), preset=preset)

    with (
        pytest.raises(anthropic.APIStatusError, match="broke off"),
        client.messages.stream(model=scene.model, max_tokens=100, messages=ASKED) as stream,
    ):
        list(stream.text_stream)

    assert scene.line()["outcome"] == "broken"


def test_what_an_upstream_finds_wrong_is_told_in_anthropics_words(client, scene, upstream):
    scene.account(upstream(refuses(400, "temperature is too high")))

    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(client, scene)

    assert refused.value.body["type"] == "error"
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    assert "temperature is too high" in refused.value.body["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages"),
        ({"tools": "none"}, "tools"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(client, scene, upstream, fields, field):
    scene.account(upstream())

    with pytest.raises(anthropic.BadRequestError, match=field):
        ask(client, scene, **fields)


def test_refusals_are_the_types_it_documents(client, scene, upstream):
    with pytest.raises(anthropic.NotFoundError):
        ask(client, scene)
    scene.account(upstream())
    with pytest.raises(anthropic.AuthenticationError):
        ask(client.with_options(api_key="sk-" + "x" * 64), scene)
    leave(scene, 0)
    with pytest.raises(anthropic.RateLimitError) as refused:
        ask(client, scene)

    assert refused.value.body["error"]["type"] == "rate_limit_error"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert refused.value.request_id


def test_a_bearer_will_do_and_so_will_a_query(client, scene, upstream):
    """Claude Code sends a bearer, and `?beta=true`."""
    scene.account(upstream(answers("Hi")))

    with anthropic.Anthropic(base_url=scene.server.url, auth_token=scene.key, max_retries=0) as other:
        assert other.beta.messages.create(model=scene.model, max_tokens=10, messages=ASKED).content[0].text == "Hi"


def test_tokens_are_counted_without_being_spent(client, scene, upstream):
    scene.account(upstream())

    counted = client.messages.count_tokens(model=scene.model, messages=ASKED)

    assert 1 <= counted.input_tokens <= 20
    assert scene.lines() == []


def test_models_are_listed_in_its_shape(client, scene, upstream):
    scene.account(upstream())

    listed = [one.id for one in client.models.list()]

    assert scene.model in listed
    assert client.models.retrieve(scene.model).type == "model"
