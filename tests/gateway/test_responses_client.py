"""OpenAI's Responses API by the official client: over upstreams that speak only chat, and over native ones."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from tests.gateway.test_room_for_some import leave
from tests.later import Later
from tests.upstream import answers, breaks, calls_a_tool, plays, refuses, says, streams

openai = Later("openai")

TOOLS = [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}]
WHOLE = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "error": None,
    "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0,
    "tool_choice": "auto", "tools": [], "top_p": 1.0,
    "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Natively.", "annotations": []}]}],
    "usage": {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 50,
              "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 150},
}  # fmt: skip


@pytest.fixture
def client(scene) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{scene.server.url}/v1", api_key=scene.key, timeout=30, max_retries=0) as made:
        yield made


def ask(client, scene, **fields):
    return client.responses.create(**{"model": scene.model, "input": "Say hello.", "max_output_tokens": 100, **fields})


def native(kind, number, **fields):
    body = {"type": kind, "sequence_number": number, **fields}
    return b"event: " + kind.encode() + b"\ndata: " + json.dumps(body).encode() + b"\n\n"


def test_it_is_answered_over_an_upstream_of_chats(client, scene, upstream):
    server = upstream(answers("Hello there"))
    scene.account(server)

    said = ask(client, scene, instructions="Be brief.")

    assert (said.output_text, said.status, said.model) == ("Hello there", "completed", scene.model)
    assert (said.usage.input_tokens, said.usage.output_tokens) == (100, 50)
    assert [one["role"] for one in server.requests[0].json["messages"]] == ["system", "user"]
    line = scene.line()
    assert (line["endpoint"], line["basis"], line["charged"]) == ("/v1/responses", "measured", 100 + 4 * 50)


def test_it_streams(client, scene, upstream):
    scene.account(upstream(streams("Hello", "there")))

    events = list(ask(client, scene, stream=True))

    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello there "
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.usage.output_tokens == 50
    assert scene.line()["outcome"] == "served"


def test_a_tool_is_called_and_its_result_is_sent_back(client, scene, upstream):
    server = upstream(calls_a_tool("get_weather", '{"city": "Ulm"}'), answers("Sunny"))
    scene.account(server)

    called = list(ask(client, scene, stream=True, tools=TOOLS))[-1].response.output[-1]
    assert (called.type, called.name, json.loads(called.arguments)) == ("function_call", "get_weather", {"city": "Ulm"})

    result = {"type": "function_call_output", "call_id": called.call_id, "output": "22 degrees"}
    said = ask(client, scene, input=[{"role": "user", "content": "?"}, called.model_dump(), result], tools=TOOLS)

    assert said.output_text == "Sunny"
    assert [one["role"] for one in server.requests[1].json["messages"]] == ["user", "assistant", "tool"]


class City(BaseModel):
    name: str
    people: int


@pytest.mark.parametrize("preset", [None, "openai"])
def test_structured_output_is_parsed(client, scene, upstream, preset):
    text = '{"name": "Ulm", "people": 7}'
    message = {**WHOLE["output"][0], "content": [{"type": "output_text", "text": text, "annotations": []}]}
    whole = answers(text) if preset is None else says(json.dumps({**WHOLE, "output": [message]}).encode())
    scene.account(upstream(whole), preset=preset)

    said = client.responses.parse(model=scene.model, input="Ulm?", text_format=City, max_output_tokens=100)

    assert said.output_parsed == City(name="Ulm", people=7)


def test_a_picture_reaches_the_upstream_in_its_way(client, scene, upstream):
    server = upstream(answers())
    scene.account(server)
    url = "data:image/png;base64,iVBORw0KGgo="
    content = [{"type": "input_image", "image_url": url, "detail": "low"}, {"type": "input_text", "text": "What?"}]

    ask(client, scene, input=[{"role": "user", "content": content}])

    [picture, words] = server.requests[0].json["messages"][0]["content"]
    assert (picture["image_url"]["url"], words["text"]) == (url, "What?")


def test_it_tries_again_by_itself_what_may_go_better(client, scene, upstream):
    server = upstream(refuses(503), answers("Hello"))
    scene.account(server)

    assert ask(client.with_options(max_retries=5), scene).output_text == "Hello"

    assert len(server.requests) == 2


def test_an_upstream_that_speaks_responses_gets_them_as_they_are(client, scene, upstream):
    server = upstream(says(json.dumps(WHOLE).encode()))
    scene.account(server, preset="openai")

    said = ask(client, scene, store=False, include=["reasoning.encrypted_content"])

    assert said.output_text == "Natively."
    assert server.requests[0].path == "/v1/responses"
    assert server.requests[0].json["include"] == ["reasoning.encrypted_content"]
    assert (scene.line()["basis"], scene.line()["charged"]) == ("measured", 100 + 4 * 50)


def test_a_native_stream_passes_and_is_metered(client, scene, upstream):
    delta = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "Natively.", "logprobs": []}
    scene.account(
        upstream(
            plays(
                [
                    native("response.created", 0, response={**WHOLE, "status": "in_progress", "usage": None}),
                    native("response.output_text.delta", 1, **delta),
                    native("response.completed", 2, response=WHOLE),
                ]
            )
        ),
        preset="openai",
    )

    events = list(ask(client, scene, stream=True))

    assert [event.type for event in events][-2:] == ["response.output_text.delta", "response.completed"]
    line = scene.line()
    assert (line["outcome"], line["basis"], line["charged"]) == ("served", "measured", 100 + 4 * 50)


def test_a_stream_that_breaks_off_raises(client, scene, upstream):
    scene.account(upstream(breaks(3)))

    with pytest.raises(openai.APIError, match="broke off"):
        list(ask(client, scene, stream=True))

    assert scene.line()["outcome"] == "broken"


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"previous_response_id": "resp_0"}, "previous_response_id"), ({"input": 5}, "input"), ({"tools": "x"}, "tools")],
)
def test_a_field_that_cannot_be_used_is_named(client, scene, upstream, fields, field):
    scene.account(upstream())

    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, scene, **fields)

    assert refused.value.param == field


def test_an_empty_pool_is_told_and_not_asked_again(client, scene, upstream):
    scene.account(upstream())
    leave(scene, 0)

    with pytest.raises(openai.RateLimitError) as refused:
        ask(client, scene)

    assert refused.value.code == "insufficient_quota"
