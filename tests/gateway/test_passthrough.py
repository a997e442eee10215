"""OpenAI's endpoints beside the chats, byte by byte: bad bodies, odd upstreams, aliases in forms."""

from __future__ import annotations

import json
import os

import pytest

from shared_accounts.extensions import db
from shared_accounts.quotas import proof, rule_changes
from tests.gateway.scene import Scene, read, rows, wait_until
from tests.upstream import DONE, answers, event, plays, refuses, says

EMBEDDINGS, TRANSCRIPTIONS, SPEECH = "/v1/embeddings", "/v1/audio/transcriptions", "/v1/audio/speech"
VECTORS = b'{"object": "list", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}'
PAGE = [("content-type", "text/html; charset=utf-8")]


def ask(scene, path=EMBEDDINGS, **fields):
    body = {"model": scene.model, "input": "Hello", **fields}
    return scene.ask(
        path=path, raw=json.dumps({name: value for name, value in body.items() if value is not None}).encode()
    )


def part(name, value, extra=b""):
    return (
        b'--b\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + extra + b"\r\n\r\n" + value + b"\r\n"
    )


def form(*parts, end=b"--b--\r\n"):
    return b"".join(parts) + end


def send(scene, raw, path=TRANSCRIPTIONS, said="multipart/form-data; boundary=b"):
    return scene.ask(path=path, raw=raw, headers=scene.headers(content_type=said))


def recording(size=3000):
    return part("file", os.urandom(size), b'; filename="a.wav"')


def test_a_ranking_passes_and_its_total_is_the_charge(scene, upstream):
    ranked = {"results": [{"index": 1, "relevance_score": 0.9}], "usage": {"total_tokens": 26}}
    server = upstream(says(json.dumps(ranked).encode()))
    scene.account(server)

    reply = ask(scene, "/v1/rerank", input=None, query="Which?", documents=["One.", {"text": "Two."}], top_n=1)

    assert reply.json == ranked
    assert server.requests[0].json == {
        "model": scene.model,
        "query": "Which?",
        "documents": ["One.", {"text": "Two."}],
        "top_n": 1,
    }
    line = scene.line()
    assert (line["endpoint"], line["basis"], line["charged"]) == ("/v1/rerank", "measured", 26)


def test_a_ranking_may_be_a_list(scene, upstream):
    scene.account(upstream(says(b'[{"index": 0, "score": 0.5}]')))

    assert (
        ask(scene, "/v1/rerank", input=None, query="Which?", documents=["One."]).body == b'[{"index": 0, "score": 0.5}]'
    )


def test_the_body_passes_to_the_byte_with_our_account_of_it(scene, upstream):
    server = upstream(says(VECTORS))
    scene.account(server)
    raw = f'{{ "seed": 123456789012345678901234567890,\n "input": "Gr\\u00fc\\u00dfe", "model":"{scene.model}" }}'.encode()
    odd = scene.headers(cookie="a=b", x_secret="1", content_type="text/plain")

    assert scene.ask(path=EMBEDDINGS, raw=raw, headers=odd).body == VECTORS

    request = server.requests[0]
    assert request.body == raw
    assert request.names == {"host", "user-agent", "authorization", "content-type", "accept", "content-length"}
    assert request.header("content-type") == "application/json"
    assert scene.key not in request.header("authorization")


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("audio/mpeg", "audio/mpeg"),
        ("audio/L16; rate=24000; channels=1", "audio/L16; rate=24000; channels=1"),
        ("application/octet-stream", "application/octet-stream"),
        ("image/png", "image/png"),
        ("image/svg+xml", "application/octet-stream"),
        ("text/javascript", "application/octet-stream"),
        ("application/x-msdownload", "application/octet-stream"),
        ("audio/mpeg; x=<b>", "application/octet-stream"),
    ],
)
def test_an_answer_calls_itself_only_what_no_browser_runs(scene, upstream, said, passed):
    scene.account(
        upstream(says(b"\x00\x01", headers=[("content-type", said), ("set-cookie", "a=b"), ("x-secret", "1")]))
    )

    reply = ask(scene, SPEECH)

    assert (reply.body, reply.headers["content-type"]) == (b"\x00\x01", passed)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not {"set-cookie", "x-secret"} & {name.lower() for name in reply.headers}


LACKING = {
    "404 without JSON": says(b"404 page not found", status=404, headers=[("content-type", "text/plain")]),
    "404 that knows the model": says(b'{"detail": "Not Found"}', status=404),
    "404 of a URL": refuses(404, "Invalid URL (POST /v1/embeddings)", code="unknown_url"),
    "405": refuses(405, "Method Not Allowed"),
    "501": refuses(501, "Not implemented"),
    "a page": says(b"<html>Welcome</html>", headers=PAGE),
    "a list of nothing known": says(b"[[1, 2]]"),
}


@pytest.mark.parametrize("how", LACKING.values(), ids=list(LACKING))
def test_an_upstream_without_the_endpoint_is_not_to_blame_and_another_serves(scene, upstream, how):
    first, second = upstream(how), upstream(how)
    lacking = [scene.account(one, owner=scene.user, sharing="dedicated") for one in (first, second)]  # asked first
    has_it = upstream(says(VECTORS))
    scene.account(has_it)

    replies = [ask(scene) for _ in range(4)]

    assert {reply.body for reply in replies} == {VECTORS}
    assert first.requests or second.requests
    assert [scene.account_now(one)["strikes"] for one in lacking] == [0, 0]
    assert [scene.account_now(one)["state"] for one in lacking] == ["active", "active"]
    assert scene.charged() == 4 * 8


@pytest.mark.parametrize("how", LACKING.values(), ids=list(LACKING))
def test_an_endpoint_nobody_offers_is_not_found_and_chats_go_on(scene, upstream, how):
    server = upstream(how)
    account = scene.account(server)

    replies = [ask(scene) for _ in range(4)]

    assert {(reply.status, reply.error["code"], reply.error["param"]) for reply in replies} == {
        (404, "endpoint_not_offered", "model")
    }
    server.plays(answers("Hello"))
    assert scene.ask().status == 200
    assert scene.account_now(account)["strikes"] == 0
    assert {line["basis"] for line in scene.lines()[:4]} == {"released"}


def test_an_unknown_model_is_the_upstreams_own_word_and_final(scene, upstream):
    scene.account(upstream(refuses(404, "The model `x` does not exist", code="model_not_found")))

    reply = ask(scene)

    assert (reply.status, reply.error["message"]) == (404, "The model `x` does not exist")


def test_a_chat_is_judged_as_before(scene, upstream):
    account = scene.account(upstream(says(b"404 page not found", status=404, headers=[("content-type", "text/plain")])))

    assert scene.ask().status == 502
    assert scene.account_now(account)["strikes"] == 1


def test_while_who_could_offer_it_is_cooling_the_answer_is_to_come_again(scene, upstream):
    resting = scene.account(upstream(says(VECTORS)))
    scene.account(upstream(LACKING["405"]))
    db.session.execute(
        db.text("update accounts set cooling_until = now() + interval '40 seconds' where id = :id"), {"id": resting.id}
    )
    db.session.commit()

    reply = ask(scene)

    assert (reply.status, reply.error["code"]) == (503, "no_account_available")
    assert 30 <= int(reply.headers["retry-after"]) <= 41


def test_an_error_in_a_good_answer_is_a_refusal(scene, upstream):
    scene.account(upstream(says(b'{"error": {"message": "You exceeded your quota"}}')))

    assert (ask(scene).status, scene.line()["basis"]) == (429, "released")


def test_a_stream_that_begins_with_an_error_goes_to_another_account_as_a_stream(scene, upstream):
    usage = {"input_tokens": 5, "output_tokens": 6}
    done = event(json.dumps({"type": "image_generation.completed", "b64_json": "AA==", "usage": usage}).encode())
    scene.account(upstream(says(b'{"error": {"message": "overloaded"}}')), max_concurrency=1000)
    scene.account(upstream(plays([done])), max_concurrency=1000)

    for _ in range(4):
        reply = ask(scene, "/v1/images/generations", input=None, prompt="A cat", stream=True)
        assert reply.frames[-1]["type"] == "image_generation.completed"
        assert reply.headers["content-type"].startswith("text/event-stream")


def test_a_stream_without_its_last_event_did_not_end_well(scene, upstream):
    scene.account(upstream(plays([event(b'{"type": "image_generation.partial_image", "b64_json": "AA=="}')])))

    reply = ask(scene, "/v1/images/generations", input=None, prompt="A cat", stream=True)

    assert reply.frames[-1]["error"]["code"] == "upstream_error"
    assert (scene.line()["outcome"], scene.line()["basis"]) == ("broken", "partial")


def test_nothing_follows_the_last_event_and_an_end_said_passes(scene, upstream):
    done = event(b'{"type": "image_generation.completed", "b64_json": "AA=="}')
    scene.account(upstream(plays([done]), plays([done, DONE])))

    bodies = [ask(scene, "/v1/images/generations", input=None, prompt="A cat", stream=True).body for _ in range(2)]

    assert bodies == [done, done + DONE]


BAD = {
    "no model": (EMBEDDINGS, {"model": None}, "model"),
    "a number for a model": (EMBEDDINGS, {"model": 5}, "model"),
    "no input": (EMBEDDINGS, {"input": None}, "input"),
    "an empty input": (EMBEDDINGS, {"input": []}, "input"),
    "an odd input": (EMBEDDINGS, {"input": [None]}, "input"),
    "no text to judge": ("/v1/moderations", {"input": ""}, "input"),
    "no prompt": ("/v1/completions", {}, "prompt"),
    "a stream that is a word": ("/v1/completions", {"prompt": "Hi", "stream": "yes"}, "stream"),
    "a stream that is a list": ("/v1/images/generations", {"prompt": "Hi", "stream": []}, "stream"),
    "options that are a list": (
        "/v1/completions",
        {"prompt": "Hi", "stream_options": [1]},
        "stream_options",
    ),
    "too many answers": ("/v1/completions", {"prompt": "Hi", "n": 129}, "n"),
    "half a token": ("/v1/completions", {"prompt": "Hi", "max_tokens": 0.5}, "max_tokens"),
    "no picture's prompt": ("/v1/images/generations", {}, "prompt"),
    "no pictures": ("/v1/images/generations", {"prompt": "Hi", "n": 0}, "n"),
    "no picture to change": ("/v1/images/edits", {"prompt": "Hi"}, "images"),
    "a picture that is a number": ("/v1/images/edits", {"prompt": "Hi", "image": 5}, "image"),
    "a variation by JSON": ("/v1/images/variations", {}, "Content-Type"),
    "speech of numbers": (SPEECH, {"input": [1, 2]}, "input"),
    "a recording by JSON": (TRANSCRIPTIONS, {}, "Content-Type"),
    "no query": ("/v1/rerank", {"documents": ["a"]}, "query"),
    "no documents": ("/v1/rerank", {"query": "a"}, "documents"),
}


@pytest.mark.parametrize(("path", "fields", "field"), BAD.values(), ids=list(BAD))
def test_a_field_that_cannot_be_used_is_named_and_nothing_is_sent(scene, upstream, path, fields, field):
    server = upstream()
    scene.account(server)

    reply = ask(scene, path, **fields)

    assert (reply.status, reply.error["type"], reply.error["param"]) == (400, "invalid_request_error", field)
    assert (server.requests, scene.lines()) == ([], [])


MODEL = part("model", b"MODEL")
BAD_FORMS = {
    "no boundary": (form(MODEL, recording()), "multipart/form-data", "Content-Type"),
    "an odd boundary": (form(MODEL, recording()), 'multipart/form-data; boundary="a\tb"', "Content-Type"),
    "another boundary": (form(MODEL, recording()), "multipart/form-data; boundary=c", None),
    "no end": (form(MODEL, recording(), end=b""), "multipart/form-data; boundary=b", None),
    "half a part": (form(MODEL, recording())[:90], "multipart/form-data; boundary=b", None),
    "no name": (
        form(MODEL, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n"),
        "multipart/form-data; boundary=b",
        None,
    ),
    "no disposition": (
        form(MODEL, b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"),
        "multipart/form-data; boundary=b",
        None,
    ),
    "two dispositions": (
        form(part("model", b"MODEL", b'\r\nContent-Disposition: form-data; name="x"'), recording()),
        "multipart/form-data; boundary=b",
        None,
    ),
    "a folded head": (
        form(part("model", b"MODEL", b";\r\n x=1"), recording()),
        "multipart/form-data; boundary=b",
        None,
    ),
    "a name in two spellings": (
        form(part("model", b"MODEL", b"; name*=utf-8''other"), recording()),
        "multipart/form-data; boundary=b",
        None,
    ),
    "a head without end": (form(b"--b\r\n" + b"x" * 9000 + b"\r\n"), "multipart/form-data; boundary=b", None),
    "a part hidden in a file": (
        form(MODEL, part("file", b'x\n--b\nContent-Disposition: form-data; name="model"\n\ny', b'; filename="a"')),
        "multipart/form-data; boundary=b",
        None,
    ),
    "something after the end": (form(MODEL, recording()) + MODEL, "multipart/form-data; boundary=b", None),
    "too many parts": (form(MODEL, recording(), *[part("x", b"1")] * 300), "multipart/form-data; boundary=b", None),
    "two models": (form(MODEL, MODEL, recording()), "multipart/form-data; boundary=b", "model"),
    "a model twice by another name": (
        form(MODEL, part("model[]", b"MODEL"), recording()),
        "multipart/form-data; boundary=b",
        "model",
    ),
    "a file for a model": (
        form(part("model", b"MODEL", b'; filename="m"'), recording()),
        "multipart/form-data; boundary=b",
        "model",
    ),
    "no model": (form(recording()), "multipart/form-data; boundary=b", "model"),
    "a model that is no text": (form(part("model", b"\xff"), recording()), "multipart/form-data; boundary=b", "model"),
    "no file": (form(MODEL), "multipart/form-data; boundary=b", "file"),
    "a text for a file": (form(MODEL, part("file", b"x")), "multipart/form-data; boundary=b", "file"),
    "an odd stream": (
        form(MODEL, recording(), part("stream", b"perhaps")),
        "multipart/form-data; boundary=b",
        "stream",
    ),
    "nothing": (b"", "multipart/form-data; boundary=b", None),
}


@pytest.mark.parametrize(("raw", "said", "field"), BAD_FORMS.values(), ids=list(BAD_FORMS))
def test_a_form_that_cannot_be_read_for_certain_is_refused_and_nothing_is_sent(scene, upstream, raw, said, field):
    server = upstream()
    scene.account(server)

    reply = send(scene, raw.replace(b"MODEL", scene.model.encode()), said=said)

    assert (reply.status, reply.error["type"], reply.error["param"]) == (400, "invalid_request_error", field)
    assert (server.requests, scene.lines()) == ([], [])


def test_a_form_passes_to_the_byte_whatever_is_in_its_files(scene, upstream):
    server = upstream(says(b'{"text": "Hello"}'))
    scene.account(server)
    file = part(
        "file", b'\r\n\r\n--\r\n"model"\r\n--c--\r\n\x00\xff\r\n', b'; filename="a; name=b"\r\nContent-Type: audio/wav'
    )
    raw = (
        b"preamble\r\n"
        + form(file, part("model", scene.model.encode()), part("timestamp_granularities[]", b"word"))
        + b"epilogue"
    )

    reply = send(scene, raw, said='multipart/form-data; charset=x; boundary="b"')

    assert reply.json == {"text": "Hello"}
    assert server.requests[0].body == raw
    assert server.requests[0].header("content-type") == "multipart/form-data; boundary=b"


def test_a_form_cut_off_on_its_way_is_refused(scene, upstream):
    server = upstream()
    scene.account(server)
    raw = form(part("model", scene.model.encode()), recording())
    head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {scene.key}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(raw)}\r\n\r\n"

    with scene.server.raw() as line:
        line.sendall(head.encode() + raw[:-500])
        line.shutdown(1)
        said = line.makefile("rb").read()

    assert said.startswith(b"HTTP/1.1 400 ")
    assert (server.requests, scene.lines()) == ([], [])


def test_a_form_in_chunks_is_as_good(scene, upstream):
    server = upstream(says(b'{"text": "Hello"}'))
    scene.account(server)
    raw = form(part("model", scene.model.encode()), recording(100_000))
    connection = scene.server.connect()
    try:
        pieces = (raw[start : start + 777] for start in range(0, len(raw), 777))
        headers = scene.headers(content_type="multipart/form-data; boundary=b")
        connection.request("POST", TRANSCRIPTIONS, pieces, headers, encode_chunked=True)
        assert read(connection.getresponse()).json == {"text": "Hello"}
    finally:
        connection.close()

    assert server.requests[0].body == raw


def test_a_form_over_the_limit_is_too_large(scene, upstream):
    scene.account(upstream())

    assert send(scene, form(part("model", scene.model.encode()), recording(400_000))).status == 413


def test_a_client_that_leaves_before_the_answer_pays_the_estimate(scene, upstream):
    server = upstream(says(b"", headers=[("content-type", "audio/mpeg")]))
    server.plays(plays([b"\x00" * 1000, 10.0], headers=[("content-type", "audio/mpeg")]))
    scene.account(server)
    connection = scene.server.connect()
    connection.request("POST", SPEECH, json.dumps({"model": scene.model, "input": "Hello"}).encode(), scene.headers())
    server.wait_for(1)

    connection.close()

    line = scene.line()
    assert (line["outcome"], line["charged"]) == ("client_left", line["estimate"])


def test_by_alias_the_part_named_model_is_renamed_and_nothing_else(database, forgetful, upstream):
    scene = Scene(forgetful, "written-down")
    alias = f"{scene.model}-fast"
    rule_changes.make_alias(alias, scene.model)
    db.session.commit()
    server = upstream(says(b'{"text": "Hello"}'))
    scene.account(server)
    lookalike = b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + alias.encode() + b"\r\n"
    file = part("file", os.urandom(1000) + lookalike + os.urandom(1000), b'; filename="model"')
    hint = part("prompt", b'name="model"\r\n\r\n' + alias.encode())

    reply = send(scene, form(file, hint, part("model", alias.encode()), part("language", b"en")))

    assert reply.json == {"text": "Hello"}
    assert server.requests[0].body == form(file, hint, part("model", scene.model.encode()), part("language", b"en"))
    assert scene.line()["model"] == scene.model
    wait_until(lambda: rows("select from usage_log where state = 'open'") == [], "an exchange stays open")
    assert proof.verify() == []
