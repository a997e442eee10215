from __future__ import annotations

import json
import math
import subprocess
import sys
import time

import pytest
import requests

from shared_accounts.local.servers import free_port
from tests.conftest import ROOT
from tests.later import Later

openai = Later("openai")

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def url():
    """The demo as `./run.sh` starts it."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "shared_accounts.local.demo", str(port)], cwd=ROOT)
    url = f"http://127.0.0.1:{port}/v1"
    for _ in range(500):
        try:
            requests.get(url, timeout=5)
            break
        except requests.ConnectionError:
            time.sleep(0.02)
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=url, api_key="demo", max_retries=0) as made:
        yield made


def asked(text="Hello!"):
    return [{"role": "user", "content": text}]


def test_it_says_that_it_is_a_demo_and_no_model(client):
    answer = client.chat.completions.create(model="demo", messages=asked("How are you?"))

    text = answer.choices[0].message.content
    assert "demo" in text
    assert "no real model" in text
    assert text.endswith("You wrote: How are you?")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 3
    assert answer.usage.total_tokens == 3 + answer.usage.completion_tokens


def test_it_streams_word_by_word(client):
    began, times, words = time.monotonic(), [], []
    stream = client.chat.completions.create(
        model="demo", messages=asked(), stream=True, stream_options={"include_usage": True}
    )
    chunks = []
    for chunk in stream:
        chunks.append(chunk)
        times.append(time.monotonic() - began)
        words += [choice.delta.content for choice in chunk.choices if choice.delta.content]

    assert chunks[0].choices[0].delta.role == "assistant"
    assert len(words) > 10
    assert times[-1] - times[0] > 0.02 * len(words)
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == len(words)
    assert len({chunk.id for chunk in chunks}) == 1


def test_usage_in_a_stream_only_on_request_and_done_at_the_end(url):
    body = {"model": "demo", "messages": asked(), "stream": True}
    answer = requests.post(f"{url}/chat/completions", json=body, headers={"Authorization": "Bearer demo"}, timeout=10)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"usage"' not in answer.text


def test_it_calls_the_first_tool_when_the_user_names_it(client):
    answer = client.chat.completions.create(model="demo", messages=asked("Use weather"), tools=[WEATHER]).choices[0]

    assert answer.finish_reason == "tool_calls"
    assert answer.message.content is None
    assert answer.message.tool_calls[0].function.name == "weather"
    assert answer.message.tool_calls[0].function.arguments == "{}"


def test_it_calls_tools_in_streams_too_and_not_again_after_the_result(client):
    call = client.chat.completions.create(model="demo", messages=asked("Use weather"), tools=[WEATHER], stream=True)
    deltas = [chunk.choices[0] for chunk in call]
    result = [*asked("Use weather"), {"role": "tool", "tool_call_id": "call_demo_1", "content": "rain"}]
    after = client.chat.completions.create(model="demo", messages=result, tools=[WEATHER])

    pieces = [call.function for choice in deltas for call in choice.delta.tool_calls or ()]
    assert (pieces[0].name, "".join(piece.arguments for piece in pieces)) == ("weather", "{}")
    assert deltas[-1].finish_reason == "tool_calls"
    assert after.choices[0].finish_reason == "stop"
    assert "The tool said: rain" in after.choices[0].message.content


def tool(name, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def called(client, text, tools, **fields):
    answer = client.chat.completions.create(model="demo", messages=asked(text), tools=tools, **fields).choices[0]
    calls = answer.message.tool_calls or ()
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


ADD = tool("add", a={"type": "integer"}, b={"type": "integer"})
LOOK = tool("get_weather", city={"type": "string"}, unit={"enum": ["c", "f"]})


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("What do you add to 3, 4?", {}, [("add", {"a": 3, "b": 4})]),
        ("The weather in 'Ulm', please", {}, [("get_weather", {"city": "Ulm", "unit": "c"})]),
        ("add 1, 2, then the weather in `Ulm`", {}, [("add", {"a": 1, "b": 2}), ("get_weather", {"city": "Ulm", "unit": "c"})]),
        ("add 1, 2, then the weather", {"parallel_tool_calls": False}, [("add", {"a": 1, "b": 2})]),
        ("Hello", {}, []),
        ("Hello", {"tool_choice": "required"}, [("add", {"a": 0, "b": 0})]),
        ("What's it like?", {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
         [("get_weather", {"city": "What's it like?", "unit": "c"})]),
        ("add 1, 2", {"tool_choice": "none"}, []),
    ],
)  # fmt: skip
def test_it_calls_what_is_asked_for_with_what_was_written(client, text, fields, expected):
    assert called(client, text, [ADD, LOOK], **fields) == expected


CITY = {
    "type": "object",
    "properties": {"name": {"$ref": "#/$defs/name"}, "people": {"anyOf": [{"type": "number", "maximum": 9}]},
                   "sights": {"type": "array", "items": {"type": ["null", "string"]}}, "not_asked": {"type": "string"}},
    "required": ["name", "people", "sights"],
    "$defs": {"name": {"type": "string", "maxLength": 3}},
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
def test_it_answers_in_the_json_that_is_asked_for(client, stream):
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}

    def said(text, form):
        answer = client.chat.completions.create(model="demo", messages=asked(text), response_format=form, stream=stream)
        if not stream:
            return json.loads(answer.choices[0].message.content)
        return json.loads("".join(chunk.choices[0].delta.content or "" for chunk in answer))

    assert said("'Ulmer' has 12.5, and \"a tower\"", form) == {"name": "Ulm", "people": 9, "sights": ["a tower"]}
    assert said("JSON with 'setup' and 'line'", {"type": "json_object"}) == {"setup": "demo", "line": "demo"}


def test_it_makes_as_many_choices_as_are_wanted_and_stops_where_told(client):
    answer = client.chat.completions.create(model="demo", messages=asked(), n=3, stop=["demo of"])

    assert [choice.message.content for choice in answer.choices] == ["This is the"] * 3
    assert answer.usage.completion_tokens == 3 * 3


def test_what_agents_say_around_the_users_words_does_not_count(client):
    content = [{"type": "text", "text": "Remember `this`, and to add 1, 2."}, {"type": "text", "text": "add 3, 4"}]
    messages = [{"role": "user", "content": content}, {"role": "system", "content": "Today is Monday."}]

    answer = client.chat.completions.create(model="demo", messages=messages, tools=[ADD, LOOK])

    assert [call.function.arguments for call in answer.choices[0].message.tool_calls] == ['{"a": 3, "b": 4}']


def test_it_counts_pictures(client):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [picture, {"type": "text", "text": "What is it?"}]

    answer = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": content}])

    assert answer.choices[0].message.content.endswith("You showed 1 picture. You wrote: What is it?")


def test_its_vectors_are_alike_where_texts_are(client):
    texts = ["a red cat", "the red cat", "no idea"]
    packed = client.embeddings.create(model="demo", input=texts, dimensions=64)
    plain = client.embeddings.create(model="demo", input=texts[0], dimensions=64, encoding_format="float")

    one, two, three = (found.embedding for found in packed.data)
    assert plain.data[0].embedding == pytest.approx(one)
    assert math.dist(one, two) < math.dist(one, three)
    assert packed.usage.total_tokens == 8


def test_it_stops_at_max_tokens(client):
    answer = client.chat.completions.create(model="demo", messages=asked(), max_tokens=3)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_it_lists_its_model_to_those_with_its_key(client, url):
    assert [model.id for model in client.models.list()] == ["demo"]
    with (
        openai.OpenAI(base_url=url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{not json", 400, None),
        (b"[]", 400, None),
        (b"{}", 400, "model"),
        (b'{"model": "gpt-5", "messages": []}', 404, "model"),
        (b'{"model": "demo"}', 400, "messages"),
        (b'{"model": "demo", "messages": []}', 400, "messages"),
        (b'{"model": "demo", "messages": ["hello"]}', 400, "messages"),
        (b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}', 400, "stream"),
        (b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "tools": [1]}', 400, "tools"),
        (b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "n": 0.5}', 400, "n"),
        (b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "n": 500}', 400, "n"),
        (
            b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "tool_choice": "required"}',
            400,
            "tool_choice",
        ),
        (b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "tool_choice": {}}', 400, "tool_choice"),
    ],
)
def test_a_bad_request_is_refused_in_the_openai_shape(url, body, status, param):
    headers = {"Authorization": "Bearer demo", "Content-Type": "application/json"}
    answer = requests.post(f"{url}/chat/completions", data=body, headers=headers, timeout=10)

    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.json()["error"]["param"] == param
