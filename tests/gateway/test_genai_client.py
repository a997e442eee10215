"""Google's official Python client against us, over accounts whose upstreams speak Gemini's API."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from tests.gateway.test_generate import COST, HELLO, billed, frame, google, streamed, told
from tests.gateway.test_room_for_some import leave
from tests.later import Later

genai = Later("google.genai")

PNG = b"\x89PNG\r\n\x1a\n"


class City(BaseModel):
    name: str
    people: int


def get_weather(city: str) -> str:
    """Say what the weather is in a city."""
    return f"sunny in {city}"


@pytest.fixture(params=["v1", "v1beta"])
def client(scene, request) -> Iterator[genai.Client]:
    """What it says by itself has changed from one version of it to another."""
    options = genai.types.HttpOptions(base_url=scene.server.url, api_version=request.param, timeout=30_000)
    with genai.Client(api_key=scene.key, http_options=options) as made:
        yield made


def ask(client, scene, contents="Say hello.", **config):
    return client.models.generate_content(model=scene.model, contents=contents, config=config or None)


def test_it_is_answered(client, scene, upstream):
    server = upstream(told(HELLO))
    google(scene, server)

    said = ask(client, scene, system_instruction="Be brief.", temperature=0.5)

    assert (said.text, said.usage_metadata.total_token_count) == ("Hello", 17)
    assert server.requests[0].json["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert scene.key not in str(server.requests[0].headers)
    assert billed(scene) == ("served", "measured", COST)


def test_it_streams(client, scene, upstream):
    google(scene, upstream(streamed(frame({"text": "Hel"}), frame({"text": "lo"}, finish="STOP"))))

    pieces = list(client.models.generate_content_stream(model=scene.model, contents="Say hello."))

    assert "".join(piece.text or "" for piece in pieces) == "Hello"
    assert pieces[-1].candidates[0].finish_reason == genai.types.FinishReason.STOP
    assert billed(scene) == ("served", "measured", COST)


def test_its_tools_are_called_by_itself(client, scene, upstream):
    call = {"functionCall": {"name": "get_weather", "args": {"city": "Ulm"}}, "thoughtSignature": "c2ln"}
    server = upstream(told(frame(call, finish="STOP")), told(HELLO))
    google(scene, server)

    assert ask(client, scene, "And in Ulm?", tools=[get_weather]).text == "Hello"

    question, called, result = server.requests[1].json["contents"]
    assert called["parts"][0]["thoughtSignature"].rstrip("=") == "c2ln"
    assert result["parts"][0]["functionResponse"]["response"] == {"result": "sunny in Ulm"}
    assert len(scene.lines()) == 2


def test_structured_output_is_parsed(client, scene, upstream):
    server = upstream(told(frame({"text": json.dumps({"name": "Ulm", "people": 7})}, finish="STOP")))
    google(scene, server)

    said = ask(client, scene, response_mime_type="application/json", response_schema=City)

    assert said.parsed == City(name="Ulm", people=7)
    assert server.requests[0].json["generationConfig"]["responseMimeType"] == "application/json"


def test_a_picture_arrives(client, scene, upstream):
    server = upstream(told(HELLO))
    google(scene, server)

    ask(client, scene, [genai.types.Part.from_bytes(data=PNG, mime_type="image/png"), "What is it?"])

    [part, _] = server.requests[0].json["contents"][0]["parts"]
    assert base64.b64decode(part["inlineData"]["data"]) == PNG


def test_its_models_are_listed_and_shown(client, scene, upstream):
    google(scene, upstream())

    assert f"models/{scene.model}" in [one.name for one in client.models.list()]
    assert client.models.get(model=scene.model).name == f"models/{scene.model}"
    with pytest.raises(genai.errors.ClientError) as unknown:
        client.models.get(model="nothing/such")
    assert unknown.value.status == "NOT_FOUND"


def test_refusals_are_its_errors(client, scene, upstream):
    with pytest.raises(genai.errors.ClientError) as unknown:
        ask(client, scene)
    google(scene, upstream())
    options = genai.types.HttpOptions(base_url=scene.server.url)
    with (
        genai.Client(api_key="wrong", http_options=options) as stranger,
        pytest.raises(genai.errors.ClientError) as unsigned,
    ):
        ask(stranger, scene)
    leave(scene, 0)
    with pytest.raises(genai.errors.ClientError) as empty:
        ask(client, scene)

    assert [(one.value.code, one.value.status) for one in (unknown, unsigned, empty)] == [
        (404, "NOT_FOUND"),
        (401, "UNAUTHENTICATED"),
        (429, "RESOURCE_EXHAUSTED"),
    ]


def test_an_upstream_that_fails_is_a_servers_error(client, scene, upstream):
    google(scene, upstream(told({"error": {"code": 500, "message": "no", "status": "INTERNAL"}}, status=500)))

    with pytest.raises(genai.errors.ServerError) as error:
        ask(client, scene)

    assert error.value.code == 502
    assert scene.line()["basis"] == "released"
