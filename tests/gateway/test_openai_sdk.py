"""The official client, as its users have it."""

import openai
import pytest

from tests.gateway.scene import COST, Scene
from tests.upstream import USAGE, answers, calls_a_tool, streams

WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
HELLO = [{"role": "user", "content": "Hello?"}]


@pytest.fixture
def client(scene: Scene):
    with openai.OpenAI(base_url=f"{scene.server.url}/v1", api_key=scene.key) as made:
        yield made


def test_it_lists_and_retrieves_models(scene, client, upstream):
    name = f"org/{scene.model}"
    scene.account(upstream(), models=[scene.model, name])

    found = {model.id: model for model in client.models.list()}

    assert {scene.model, name} <= set(found)
    assert found[name].object == "model"
    assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/has/this")


def test_it_completes(scene, client, upstream):
    scene.account(upstream(answers("Hello!")))

    answer = client.chat.completions.create(model=scene.model, messages=HELLO, max_tokens=50)

    assert answer.choices[0].message.content == "Hello!"
    assert answer.usage.prompt_tokens == USAGE["prompt_tokens"]
    assert answer._request_id  # the SDK's own way to our x-request-id
    assert (scene.line()["basis"], scene.charged()) == ("measured", COST)


def test_it_streams(scene, client, upstream):
    scene.account(upstream(streams("one", "two", "three")))

    chunks = list(client.chat.completions.create(model=scene.model, messages=HELLO, max_tokens=50, stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any(chunk.usage for chunk in chunks)
    assert (scene.line()["basis"], scene.charged()) == ("measured", COST)


def test_it_gets_the_usage_frame_when_it_asks_for_it(scene, client, upstream):
    scene.account(upstream(streams("one")))

    chunks = list(
        client.chat.completions.create(
            model=scene.model, messages=HELLO, max_tokens=50, stream=True, stream_options={"include_usage": True}
        )
    )

    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == USAGE["completion_tokens"]


def test_it_streams_tool_calls(scene, client, upstream):
    server = upstream(calls_a_tool("weather", '{"city": "Rome"}'))
    scene.account(server)

    stream = client.chat.completions.create(
        model=scene.model,
        messages=HELLO,
        tools=WEATHER,
        max_tokens=50,
        stream=True,
        stream_options={"include_usage": True},
    )
    name, arguments, finish = "", "", None
    for chunk in stream:
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or ():
                name += call.function.name or ""
                arguments += call.function.arguments or ""

    assert (name, arguments, finish) == ("weather", '{"city": "Rome"}', "tool_calls")
    assert server.requests[0].json["tools"] == WEATHER


def test_it_understands_every_refusal(scene, client, upstream):
    server = upstream(answers())
    scene.account(server)
    ask = {"model": scene.model, "messages": HELLO}

    with pytest.raises(openai.AuthenticationError) as unknown:
        client.with_options(api_key="sk-" + "x" * 64).chat.completions.create(**ask)
    with pytest.raises(openai.NotFoundError) as nowhere:
        client.chat.completions.create(**{**ask, "model": "no-such-model"})
    with pytest.raises(openai.PermissionDeniedError):
        _, silent = scene.somebody(state="silenced")
        client.with_options(api_key=silent).chat.completions.create(**ask)
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(**ask, max_tokens=-1)
    with pytest.raises(openai.RateLimitError) as poor:
        client.chat.completions.create(**ask, max_tokens=10_000_000)

    assert unknown.value.code == "invalid_api_key"
    assert nowhere.value.code == "model_not_found"
    assert bad.value.param == "max_tokens"
    assert (poor.value.code, poor.value.type) == ("insufficient_quota", "insufficient_quota")
    assert poor.value.response.headers["x-should-retry"] == "false"
    assert server.requests == []
