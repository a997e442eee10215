"""OpenAI's endpoints beside the chats, by the official client: what it sends arrives, what comes back it understands."""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Iterator

import pytest

from tests.gateway.test_room_for_some import leave
from tests.later import Later
from tests.upstream import DONE, event, plays, refuses, says

openai = Later("openai")

FLOATS = [0.25, -1.5, 3.0]
PACKED = base64.b64encode(struct.pack("<3f", *FLOATS)).decode()
PICTURE = base64.b64encode(os.urandom(90_000)).decode()
SOUND = os.urandom(5 * 1024 * 1024)
RECORDING = b"RIFF" + os.urandom(200_000)
PICTURE_USAGE = {
    "input_tokens": 50,
    "output_tokens": 70,
    "total_tokens": 120,
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
}


@pytest.fixture
def client(scene) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{scene.server.url}/v1", api_key=scene.key, timeout=30, max_retries=0) as made:
        yield made


def told(**body):
    return says(json.dumps(body).encode())


def vector(index, embedding):
    return {"object": "embedding", "index": index, "embedding": embedding}


def billed(scene):
    line = scene.line()
    return line["endpoint"], line["basis"], line["charged"]


def said(kind, **fields):
    return b"event: " + kind.encode() + b"\n" + event(json.dumps({"type": kind, **fields}).encode())


def test_embeddings_come_as_the_client_asks_for_them(client, scene, upstream):
    server = upstream(
        told(object="list", model="m", data=[vector(0, PACKED)], usage={"prompt_tokens": 8, "total_tokens": 8})
    )
    scene.account(server)

    found = client.embeddings.create(model=scene.model, input=["Hello", "there"])

    assert found.data[0].embedding == FLOATS
    assert (server.requests[0].path, server.requests[0].json["encoding_format"]) == ("/v1/embeddings", "base64")
    assert billed(scene) == ("/v1/embeddings", "measured", 8)


def test_a_completion_comes_whole(client, scene, upstream):
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choices = [{"text": "world", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    server = upstream(told(id="cmpl-1", object="text_completion", created=1, model="m", choices=choices, usage=usage))
    scene.account(server)

    done = client.completions.create(model=scene.model, prompt="Hello ", max_tokens=20)

    assert (done.choices[0].text, done.usage.total_tokens) == ("world", 15)
    assert server.requests[0].path == "/v1/completions"
    assert billed(scene) == ("/v1/completions", "measured", 10 + 4 * 5)


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_a_completion_streams_and_its_usage_is_measured_also_unasked(client, scene, upstream, is_asked_for):
    frame = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    choice = {"index": 0, "logprobs": None}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    frames = [
        {**frame, "choices": [{**choice, "text": "wor", "finish_reason": None}]},
        {**frame, "choices": [{**choice, "text": "ld", "finish_reason": "stop"}]},
        {**frame, "choices": [], "usage": usage},
    ]
    server = upstream(plays([*(event(json.dumps(one).encode()) for one in frames), DONE]))
    scene.account(server)
    options = {"stream_options": {"include_usage": True}} if is_asked_for else {}

    chunks = list(client.completions.create(model=scene.model, prompt="Hello ", stream=True, **options))

    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "world"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([15] if is_asked_for else [])
    assert server.requests[0].json["stream_options"] == {"include_usage": True}
    assert billed(scene) == ("/v1/completions", "measured", 10 + 4 * 5)


def test_pictures_are_made(client, scene, upstream):
    scene.account(upstream(told(created=1, data=[{"b64_json": PICTURE}], usage=PICTURE_USAGE)))

    made = client.images.generate(model=scene.model, prompt="A cat", n=1)

    assert made.data[0].b64_json == PICTURE
    assert billed(scene) == ("/v1/images/generations", "measured", 50 + 4 * 70)


def test_pictures_without_a_usage_are_charged_flat_for_each(client, scene, upstream):
    scene.account(upstream(told(created=1, data=[{"url": "https://pictures.test/1"}] * 2)))

    client.images.generate(model=scene.model, prompt="A cat", n=2)

    assert billed(scene) == ("/v1/images/generations", "estimated", 2 + 4 * 2 * 4000)


def test_a_picture_streams_however_long_its_event_is(client, scene, upstream):
    long = base64.b64encode(os.urandom(1_500_000)).decode()
    partial = said("image_generation.partial_image", b64_json=PICTURE, partial_image_index=0)
    done = said("image_generation.completed", b64_json=long, usage=PICTURE_USAGE)
    scene.account(upstream(plays([partial, done])))

    events = list(client.images.generate(model=scene.model, prompt="A cat", stream=True, partial_images=1))

    assert [one.type for one in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert events[-1].b64_json == long
    assert (scene.line()["outcome"], billed(scene)) == ("served", ("/v1/images/generations", "measured", 50 + 4 * 70))


def test_a_picture_is_changed_and_every_byte_of_it_arrives(client, scene, upstream):
    server = upstream(told(created=1, data=[{"b64_json": PICTURE}], usage=PICTURE_USAGE))
    scene.account(server)
    original = b"\x89PNG\r\n\r\n" + os.urandom(100_000)

    client.images.edit(model=scene.model, image=[("a.png", original), ("b.png", b"two")], prompt="Bluer", n=1)

    assert original in server.requests[0].body
    assert server.requests[0].body.count(b'name="image[]"') == 2
    assert billed(scene) == ("/v1/images/edits", "measured", 50 + 4 * 70)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by OpenAI; other upstreams have it
def test_a_picture_is_varied(client, scene, upstream):
    server = upstream(told(created=1, data=[{"b64_json": PICTURE}]))
    scene.account(server)

    client.images.create_variation(model=scene.model, image=("a.png", b"\x89PNG"), n=2)

    assert server.requests[0].path == "/v1/images/variations"
    assert billed(scene) == ("/v1/images/variations", "estimated", 1000 + 4 * 2 * 4000)


def test_speech_arrives_byte_for_byte_whatever_it_weighs(client, scene, upstream):
    server = upstream(says(SOUND, headers=[("content-type", "audio/mpeg")]))
    scene.account(server)

    spoken = client.audio.speech.create(model=scene.model, voice="alloy", input="Hello there")

    assert spoken.content == SOUND
    assert spoken.response.headers["content-type"] == "audio/mpeg"
    assert server.requests[0].json == {"model": scene.model, "voice": "alloy", "input": "Hello there"}
    assert billed(scene) == ("/v1/audio/speech", "estimated", 4 + 4 * 11)


def test_speech_in_events_ends_well_and_is_measured(scene, upstream):
    usage = {"input_tokens": 4, "output_tokens": 60, "total_tokens": 64}
    scene.account(upstream(plays([said("speech.audio.delta", audio="AAAA"), said("speech.audio.done", usage=usage)])))
    body = json.dumps({"model": scene.model, "input": "Hello", "voice": "alloy", "stream_format": "sse"}).encode()

    reply = scene.ask(path="/v1/audio/speech", raw=body)

    assert [frame["type"] for frame in reply.frames] == ["speech.audio.delta", "speech.audio.done"]
    assert (scene.line()["outcome"], billed(scene)) == ("served", ("/v1/audio/speech", "measured", 4 + 4 * 60))


def test_a_recording_arrives_byte_for_byte_and_its_transcript_is_measured(client, scene, upstream):
    usage = {
        "type": "tokens",
        "input_tokens": 14,
        "output_tokens": 45,
        "total_tokens": 59,
        "input_token_details": {"audio_tokens": 14},
    }
    server = upstream(told(text="Hello there", usage=usage))
    scene.account(server)

    written = client.audio.transcriptions.create(model=scene.model, file=("a.wav", RECORDING), language="en")

    assert written.text == "Hello there"
    assert RECORDING in server.requests[0].body
    assert server.requests[0].header("content-type").startswith("multipart/form-data; boundary=")
    assert billed(scene) == ("/v1/audio/transcriptions", "measured", 14 + 4 * 45)


def test_a_recording_billed_by_the_second_is_charged_by_its_size(client, scene, upstream):
    scene.account(upstream(told(text="Hello there", usage={"type": "duration", "seconds": 9})))

    client.audio.transcriptions.create(model=scene.model, file=("a.wav", RECORDING))

    assert billed(scene) == ("/v1/audio/transcriptions", "estimated", 200 + 4 * 51)
    assert scene.line()["flag"] is None


@pytest.mark.parametrize("media", ["text/plain; charset=utf-8", "text/vtt"])
def test_a_transcript_may_be_plain_text(client, scene, upstream, media):
    scene.account(upstream(says("Grüße\n".encode(), headers=[("content-type", media)])))

    written = client.audio.transcriptions.with_raw_response.create(
        model=scene.model, file=("a.wav", RECORDING), response_format="text"
    )

    assert (written.text, written.headers["content-type"]) == ("Grüße\n", media)
    assert scene.line()["outcome"] == "served"


def test_a_transcript_streams(client, scene, upstream):
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}
    deltas = [said("transcript.text.delta", delta=word) for word in ("Hello ", "there")]
    scene.account(upstream(plays([*deltas, said("transcript.text.done", text="Hello there", usage=usage)])))

    events = list(client.audio.transcriptions.create(model=scene.model, file=("a.wav", RECORDING), stream=True))

    assert [one.type for one in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert (scene.line()["outcome"], billed(scene)) == ("served", ("/v1/audio/transcriptions", "measured", 14 + 4 * 45))


def test_a_model_that_does_not_stream_answers_whole(client, scene, upstream):
    account = scene.account(upstream(told(text="Hello there")))

    answer = client.audio.transcriptions.with_raw_response.create(
        model=scene.model, file=("a.wav", RECORDING), stream=True
    )

    assert json.loads(answer.http_response.read()) == {"text": "Hello there"}
    assert (scene.line()["outcome"], scene.account_now(account)["strikes"]) == ("served", 0)


def test_a_stream_that_breaks_off_raises(client, scene, upstream):
    scene.account(upstream(plays([said("transcript.text.delta", delta="Hello ")], ending="reset")))

    with pytest.raises(openai.APIError, match="broke off"):
        list(client.audio.transcriptions.create(model=scene.model, file=("a.wav", RECORDING), stream=True))

    assert (scene.line()["outcome"], scene.line()["basis"]) == ("broken", "partial")


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_a_recording_is_translated(client, scene, upstream):
    server = upstream(told(text="Hello there"))
    scene.account(server)

    assert client.audio.translations.create(model=scene.model, file=("a.wav", RECORDING)).text == "Hello there"

    assert server.requests[0].path == "/v1/audio/translations"
    assert billed(scene) == ("/v1/audio/translations", "estimated", 200 + 4 * 51)


def test_a_text_is_judged(client, scene, upstream):
    scene.account(
        upstream(
            told(
                id="modr-1",
                model="m",
                results=[
                    {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
                ],
            )
        )
    )

    judged = client.moderations.create(model=scene.model, input=["Hello", "there"])

    assert judged.results[0].flagged is False
    assert billed(scene) == ("/v1/moderations", "estimated", 4)


CALLS = {
    "embeddings": lambda client, model: client.embeddings.create(model=model, input="Hello"),
    "completions": lambda client, model: client.completions.create(model=model, prompt="Hello"),
    "images": lambda client, model: client.images.generate(model=model, prompt="A cat"),
    "speech": lambda client, model: client.audio.speech.create(model=model, voice="alloy", input="Hello"),
    "transcriptions": lambda client, model: client.audio.transcriptions.create(model=model, file=("a.wav", RECORDING)),
    "moderations": lambda client, model: client.moderations.create(model=model, input="Hello"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))


@every_call
def test_an_empty_pool_is_told_before_anything_is_sent(client, scene, upstream, call):
    server = upstream()
    scene.account(server)
    leave(scene, 0)

    with pytest.raises(openai.RateLimitError) as refused:
        call(client, scene.model)

    assert refused.value.code == "insufficient_quota"
    assert (server.requests, scene.lines()) == ([], [])


@every_call
def test_a_model_nobody_serves_is_not_found(client, scene, call):
    with pytest.raises(openai.NotFoundError) as refused:
        call(client, scene.model)

    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


@every_call
def test_what_an_upstream_finds_wrong_comes_in_its_own_words(client, scene, upstream, call):
    account = scene.account(upstream(refuses(400, "odd input", param="input")))

    with pytest.raises(openai.BadRequestError) as refused:
        call(client, scene.model)

    assert (refused.value.param, refused.value.body["message"]) == ("input", "odd input")
    assert scene.account_now(account)["strikes"] == 0
    assert (scene.line()["basis"], scene.charged()) == ("released", 0)


@every_call
def test_an_upstream_that_fails_is_struck_and_costs_nothing(client, scene, upstream, call):
    account = scene.account(upstream(refuses(500)))

    with pytest.raises(openai.InternalServerError) as refused:
        call(client, scene.model)

    assert refused.value.status_code == 502
    assert scene.account_now(account)["strikes"] == 1
    assert (scene.line()["basis"], scene.charged()) == ("released", 0)
