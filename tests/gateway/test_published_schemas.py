"""What we answer is what OpenAI and Anthropic publish that such servers answer, to the last field."""

from __future__ import annotations

import json

import pytest
import requests

from tests.gateway.scene import frames
from tests.gateway.test_room_for_some import leave
from tests.published import ANTHROPIC, OPENAI, complaints
from tests.upstream import breaks, chunk, event, plays, refuses, usage_chunk

TOOL = {"name": "add", "parameters": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}}
CHAT_TOOLS = [{"type": "function", "function": TOOL}]
RESPONSE_TOOLS = [{"type": "function", "strict": False, **TOOL}, {"type": "custom", "name": "patch"}]
MESSAGE_TOOLS = [{"name": "add", "input_schema": TOOL["parameters"]}]
FORM = {"name": "city", "schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}}}
CHATS = {
    "words": {},
    "several": {"n": 3},
    "too few words": {"max_tokens": 2},
    "a call": {"tools": CHAT_TOOLS, "tool_choice": "required"},
    "JSON": {"response_format": {"type": "json_schema", "json_schema": FORM}},
}
RESPONSES = {
    "words": {},
    "too few words": {"max_output_tokens": 16, "input": "word " * 30},
    "calls": {"tools": RESPONSE_TOOLS, "tool_choice": "required"},
    "JSON": {"text": {"format": {"type": "json_schema", **FORM}}},
    "all it can be told": {
        "instructions": "Be brief.", "temperature": 0.5, "top_p": 0.5, "metadata": {"a": "b"}, "store": False,
        "parallel_tool_calls": False, "reasoning": {"effort": "low"}, "truncation": "disabled", "user": "me",
        "service_tier": "auto", "safety_identifier": "me", "prompt_cache_key": "k", "top_logprobs": 0,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
    },
}  # fmt: skip
MESSAGES = {
    "words": {},
    "too few words": {"max_tokens": 2},
    "a call": {"tools": MESSAGE_TOOLS, "tool_choice": {"type": "any"}},
}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
THOUGHTS = [
    event(one)
    for one in (
        chunk({"role": "assistant", "reasoning_content": "Hm."}),
        chunk({"content": "Well, "}),
        chunk({"content": "then"}),
        chunk({"tool_calls": [CALL]}),
        chunk({}, "tool_calls"),
        usage_chunk(),
    )
]


def one_of(cases):
    return pytest.mark.parametrize("fields", cases.values(), ids=list(cases))


@pytest.fixture
def post(server, demo_key):
    """Ask the demo through us."""

    def send(path, **body):
        headers = {"Authorization": f"Bearer {demo_key}"}
        return requests.post(f"{server.url}{path}", json={"model": "demo", **body}, headers=headers, timeout=30)

    return send


def events(answer):
    assert answer.status_code == 200, answer.text
    found = frames(answer.content)
    return [one for one in found if one != "[DONE]"]


def all_complaints(publisher, schema, values):
    return {complaint for value in values for complaint in complaints(publisher, schema, value)}


def asked(text="'Ulm', please"):
    return [{"role": "user", "content": text}]


def test_the_judges_find_what_is_wrong():
    whole = {"id": "m", "object": "model", "created": 1, "owned_by": "us"}

    assert complaints(OPENAI, "Model", whole) == []
    assert complaints(OPENAI, "Model", {**whole, "created": "1"}) == ["created: '1' is not of type 'integer'"]
    assert "'more' was unexpected" in complaints(OPENAI, "Model", {**whole, "more": 1})[0]
    assert complaints(OPENAI, "ResponseStreamEvent", {"type": "response.created"}) != []
    assert complaints(ANTHROPIC, "MessageStreamEvent", {"type": "message_start"}) != []


# -- OpenAI's


def test_models(server, demo_key):
    headers = {"Authorization": f"Bearer {demo_key}"}
    listed = requests.get(f"{server.url}/v1/models", headers=headers, timeout=10).json()
    shown = requests.get(f"{server.url}/v1/models/demo", headers=headers, timeout=10).json()

    assert complaints(OPENAI, "ListModelsResponse", listed) == []
    assert complaints(OPENAI, "Model", shown) == []


@one_of(CHATS)
def test_chats(post, fields):
    whole = post("/v1/chat/completions", messages=asked(), **fields)
    streamed = post("/v1/chat/completions", messages=asked(), stream=True, **fields)

    assert complaints(OPENAI, "CreateChatCompletionResponse", whole.json()) == []
    assert all_complaints(OPENAI, "CreateChatCompletionStreamResponse", events(streamed)) == set()


def test_embeddings(post):
    assert complaints(OPENAI, "CreateEmbeddingResponse", post("/v1/embeddings", input=["a", "b"]).json()) == []


@one_of(RESPONSES)
def test_responses(post, fields):
    body = {"input": "'Ulm', please", **fields}
    whole = post("/v1/responses", **body)
    streamed = events(post("/v1/responses", stream=True, **body))

    for said in (whole.json(), streamed[-1]["response"]):
        assert said.pop("store") is False  # OpenAI's servers say it, too; its document does not
        assert complaints(OPENAI, "Response", said) == []
    assert all_complaints(OPENAI, "ResponseStreamEvent", streamed) == set()


def test_responses_with_thoughts_and_calls(scene, upstream):
    scene.account(upstream(plays([*THOUGHTS, b"data: [DONE]\n\n"])))
    body = {"model": scene.model, "input": "Hi", "stream": True, "tools": RESPONSE_TOOLS}

    found = scene.ask(path="/v1/responses", raw=json.dumps(body).encode()).frames

    assert all_complaints(OPENAI, "ResponseStreamEvent", found) == set()
    assert {one["type"] for one in found[-1]["response"]["output"]} == {"reasoning", "message", "function_call"}


def test_a_response_that_breaks_off(scene, upstream):
    scene.account(upstream(breaks(2)))
    body = {"model": scene.model, "input": "Hi", "stream": True}

    found = scene.ask(path="/v1/responses", raw=json.dumps(body).encode()).frames

    *_, error, failed = found
    # Its own SDKs raise only at an `error` within the event; without it they would take the stream for finished.
    assert error.pop("error").keys() == {"type", "code", "message", "param"}
    assert all_complaints(OPENAI, "ResponseStreamEvent", found) == set()
    assert (error["type"], failed["type"], failed["response"]["error"]["code"]) == (
        "error",
        "response.failed",
        "server_error",
    )


def test_a_chat_that_breaks_off(scene, upstream):
    scene.account(upstream(breaks(2)))

    last = scene.ask(stream=True).frames[-1]

    assert complaints(OPENAI, "ErrorResponse", last) == []


REFUSALS = {
    "no key": (401, {"headers": {"content-type": "application/json"}}),
    "no JSON": (400, {"raw": b"{"}),
    "no messages": (400, {"messages": None}),
    "no such model": (404, {"model": "none"}),
    "no such path": (404, {"path": "/v1/nothing"}),
    "not that way": (405, {"method": "PUT"}),
    "too large": (413, {"raw": b"x" * 400_000}),
}


@pytest.mark.parametrize(("status", "how"), REFUSALS.values(), ids=list(REFUSALS))
def test_refusals(scene, status, how):
    refused = scene.ask(**how)

    assert refused.status == status
    assert all_complaints(OPENAI, "Error", [refused.error]) == set()


def test_refusals_on_an_upstreams_account(scene, upstream):
    scene.account(upstream(refuses(503)))
    broken = scene.ask()
    leave(scene, 0)
    empty = scene.ask()

    assert (broken.status, empty.status) == (502, 429)
    assert complaints(OPENAI, "Error", broken.error) == []
    # When the quota is back, and how much is missing: nobody else says so.
    told = empty.error
    assert told.pop("details")
    assert complaints(OPENAI, "Error", told) == []


# -- Anthropic's


@one_of(MESSAGES)
def test_messages(post, fields):
    body = {"messages": asked("'Ulm', please"), "max_tokens": 100, **fields}
    whole = post("/v1/messages", **body)
    streamed = events(post("/v1/messages", stream=True, **body))

    assert complaints(ANTHROPIC, "Message", whole.json()) == []
    assert all_complaints(ANTHROPIC, "MessageStreamEvent", streamed) == set()


def test_messages_with_thoughts_and_calls(scene, upstream):
    scene.account(upstream(plays([*THOUGHTS, b"data: [DONE]\n\n"])))
    body = {"model": scene.model, "messages": asked(), "max_tokens": 100, "stream": True, "tools": MESSAGE_TOOLS}

    found = scene.ask(path="/v1/messages", raw=json.dumps(body).encode()).frames

    assert all_complaints(ANTHROPIC, "MessageStreamEvent", found) == set()


def test_tokens_and_models_in_anthropics_shape(server, demo_key, post):
    headers = {"x-api-key": demo_key, "anthropic-version": "2023-06-01"}
    listed = requests.get(f"{server.url}/v1/models", headers=headers, timeout=10).json()
    shown = requests.get(f"{server.url}/v1/models/demo", headers=headers, timeout=10).json()

    assert (
        complaints(ANTHROPIC, "CountMessageTokensResponse", post("/v1/messages/count_tokens", messages=asked()).json())
        == []
    )
    assert complaints(ANTHROPIC, "ListResponse_ModelInfo_", listed) == []
    assert complaints(ANTHROPIC, "ModelInfo", shown) == []


def test_refusals_in_anthropics_words(scene, upstream, post):
    scene.account(upstream(refuses(400, "no")))
    bodies = [
        {"messages": []},
        {"messages": asked(), "max_tokens": 0},
        {"messages": asked(), "max_tokens": 1, "model": "none"},
    ]

    refused = [post("/v1/messages", **body) for body in bodies]
    body = {"model": scene.model, "messages": asked(), "max_tokens": 100}
    theirs = scene.ask(path="/v1/messages", raw=json.dumps(body).encode())

    assert [one.status_code for one in refused] == [400, 400, 404]
    assert all_complaints(ANTHROPIC, "ErrorResponse", [*(one.json() for one in refused), theirs.json]) == set()
