"""The official Python client reads what the Responses dialect writes, over a real connection."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from shared_accounts.gateway.dialects.responses import Stream, from_completion, refusal, to_chat
from tests.gateway.dialects.reading_responses import call, chat
from tests.gateway.dialects.test_responses_answer import USAGE
from tests.later import Later
from tests.upstream import Upstream, chunk, event, plays, says

openai = Later("openai")


@pytest.fixture
def server():
    made = Upstream()
    yield made
    made.stop()


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url, api_key="sk-x", timeout=30, max_retries=0) as made:
        yield made


def streaming(stream):
    translator = Stream(model="m")
    return plays([b": ping\n\n", translator.feed(stream), translator.end()])


def failing(stream):
    translator = Stream(model="m")
    last = [translator.feed(stream), translator.fail("It broke.", type="server_error", code="upstream_error")]
    return plays(last)


def test_it_reads_a_whole_response(client, server):
    choice = {"message": {"content": "Hello"}, "finish_reason": "stop"}
    server.plays(says(json.dumps(from_completion({"choices": [choice], "usage": USAGE}, model="m")).encode()))

    response = client.responses.create(model="m", input="hi")

    assert (response.output_text, response.status) == ("Hello", "completed")
    assert response.usage.input_tokens_details.cached_tokens == 80


def test_it_iterates_a_stream(client, server):
    server.plays(streaming(chat({"reasoning": "hm"}, {"content": "Hel"}, {"content": "lo"}, usage=USAGE)))

    events = list(client.responses.create(model="m", input="hi", stream=True))

    assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == "Hello"
    assert events[-1].response.usage.output_tokens_details.reasoning_tokens == 30


def test_its_helper_accumulates_text_and_calls(client, server):
    pieces = [call(0, "read", '{"pa', id="1"), call(0, arguments='th":1}'), call(1, "free--apply_patch", '{"input":"x"}', id="2")]  # fmt: skip
    server.plays(streaming(chat({"content": "Hello"}, *[{"tool_calls": [piece]} for piece in pieces])))

    with client.responses.stream(model="m", input="hi") as stream:
        final = stream.get_final_response()

    assert final.output_text == "Hello"
    assert (final.output[1].name, final.output[1].arguments) == ("read", '{"path":1}')
    assert (final.output[2].name, final.output[2].input) == ("apply_patch", "x")


class City(BaseModel):
    name: str
    people: int


def test_its_structured_output_is_asked_for_and_parsed(client, server):
    server.plays(streaming(chat({"content": '{"name": "Lima", '}, {"content": '"people": 10}'})))

    with client.responses.stream(model="m", input="hi", text_format=City) as stream:
        final = stream.get_final_response()

    assert final.output_parsed == City(name="Lima", people=10)
    asked = to_chat(server.requests[0].json)["response_format"]
    assert (asked["type"], asked["json_schema"]["name"], asked["json_schema"]["strict"]) == (
        "json_schema",
        "City",
        True,
    )


@pytest.mark.parametrize("with_helper", [True, False])
def test_it_raises_when_a_stream_fails(client, server, with_helper):
    server.plays(failing(event(chunk({"content": "Hel"}))))

    with pytest.raises(openai.APIError) as error:
        if with_helper:
            with client.responses.stream(model="m", input="hi") as stream:
                stream.get_final_response()
        else:
            list(client.responses.create(model="m", input="hi", stream=True))

    assert (error.value.code, error.value.type, error.value.message) == ("upstream_error", "server_error", "It broke.")


def test_it_sees_an_incomplete_response(client, server):
    server.plays(streaming(chat({"content": "Hel"}, finish="length")))

    last = list(client.responses.create(model="m", input="hi", stream=True))[-1]

    assert (last.type, last.response.incomplete_details.reason) == ("response.incomplete", "max_output_tokens")


def test_it_reads_a_refusal(client, server):
    body = refusal(400, "No.", type="invalid_request_error", code=None, param="messages", request_id="r")
    server.plays(says(json.dumps(body).encode(), status=400))

    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="m", input="hi")

    assert (error.value.param, error.value.body["message"]) == ("input", "No.")


def test_what_it_answers_with_can_be_sent_back(client, server):
    message = {"reasoning_content": "hm", "content": "wait", "tool_calls": [call(0, "free--apply_patch", '{"input":"x"}', id="2")]}  # fmt: skip
    server.plays(says(json.dumps(from_completion({"choices": [{"message": message}]}, model="m")).encode()))

    first = client.responses.create(model="m", input="hi")
    result = {"type": "custom_tool_call_output", "call_id": "2", "output": "done"}
    client.responses.create(model="m", input=[{"role": "user", "content": "hi"}, *first.output, result])

    _, assistant, tool = to_chat(server.requests[1].json)["messages"]
    assert (assistant["content"], assistant["reasoning_content"]) == ("wait", "hm")
    assert assistant["tool_calls"][0]["function"] == {"name": "free--apply_patch", "arguments": '{"input":"x"}'}
    assert tool == {"role": "tool", "tool_call_id": "2", "content": "done"}
