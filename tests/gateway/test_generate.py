"""Gemini's own API, as its clients speak it: to upstreams that speak it, to the Plug-in API, and to nobody else."""

from __future__ import annotations

import base64
import json
import os

import pytest

from shared_accounts.extensions import db
from shared_accounts.quotas import proof, rule_changes
from tests.gateway.scene import Scene, rows, wait_until
from tests.gateway.test_room_for_some import leave
from tests.upstream import answers, plays, says, split

CONTENTS = [{"role": "user", "parts": [{"text": "Say hello."}]}]
USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 17}
COST = 10 + 4 * 7
PICTURE = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(os.urandom(300_000)).decode()}}


def frame(*parts, finish=None, usage=USAGE):
    candidate = {"content": {"role": "model", "parts": list(parts)}, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], **({"usageMetadata": usage} if usage else {})}


HELLO = frame({"text": "Hello"}, finish="STOP")


def told(body, status=200, **more):
    return says(json.dumps(body).encode(), status=status, **more)


def streamed(*frames, eol=b"\r\n\r\n", **how):
    return plays([b"data: " + json.dumps(one).encode() + eol for one in frames], **how)


def google(scene, server, **overrides):
    return scene.account(server, base_url=server.url.replace("/v1", "/v1beta/openai"), preset="gemini", **overrides)


def plugin(scene, server):
    return scene.account(server, owner=scene.user, sharing="dedicated", preset="plugin")


def ask(scene, verb="generateContent", *, model=None, headers=None, **fields):
    body = {"contents": CONTENTS, **fields}
    raw = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
    given = scene.headers(authorization=None, x_goog_api_key=scene.key) if headers is None else headers
    return scene.ask(path=f"/v1beta/models/{model or scene.model}:{verb}", raw=raw, headers=given)


def billed(scene):
    line = scene.line()
    return line["outcome"], line["basis"], line["charged"]


def test_a_request_passes_to_the_byte_under_the_accounts_own_key(scene, upstream):
    server = upstream(told(HELLO))
    google(scene, server, secret="AIza-of-the-account")
    raw = b'{"contents" : [{"parts":[{"text":"Gr\\u00fc\\u00dfe"}]}], "safetySettings": [1e2]}'
    path = f"/v1beta/models/{scene.model}:generateContent"

    reply = scene.ask(path=path, raw=raw, headers=scene.headers(x_goog_user_project="mine"))

    assert reply.json == HELLO
    request = server.requests[0]
    assert (request.path, request.body) == (path, raw)
    assert request.header("x-goog-api-key") == "AIza-of-the-account"
    assert request.names == {"host", "user-agent", "x-goog-api-key", "content-type", "accept", "content-length"}
    assert billed(scene) == ("served", "measured", COST)
    assert scene.line()["endpoint"] == "/v1beta/models/<path:model>:generateContent"


def test_thoughts_are_paid_as_answers_and_cached_tokens_as_cached(scene, upstream):
    usage = {**USAGE, "promptTokenCount": 1000, "cachedContentTokenCount": 600, "toolUsePromptTokenCount": 100}
    google(scene, upstream(told(frame({"text": "Hello"}, finish="STOP", usage=usage))))

    ask(scene)

    assert billed(scene) == ("served", "measured", 500 + 60 + 4 * 7)


def test_without_a_usage_a_picture_counts_flat_however_large(scene, upstream):
    google(scene, upstream(told(frame({"text": "Here"}, PICTURE, finish="STOP", usage=None))))

    assert ask(scene).json["candidates"][0]["content"]["parts"][1] == PICTURE

    assert billed(scene) == ("served", "estimated", 4 + 4 * (2 + 1290))


@pytest.mark.parametrize("eol", [b"\r\n\r\n", b"\n\n"], ids=["CRLF", "LF"])
def test_a_stream_passes_as_it_comes_and_nothing_is_added(scene, upstream, eol):
    pieces = [frame({"text": "Hel"}, usage={**USAGE, "candidatesTokenCount": 1}), HELLO]
    server = upstream(streamed(*pieces, eol=eol))
    google(scene, server)

    reply = ask(scene, "streamGenerateContent?alt=sse")

    assert reply.body == b"".join(b"data: " + json.dumps(one).encode() + eol for one in pieces)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert server.requests[0].path == f"/v1beta/models/{scene.model}:streamGenerateContent?alt=sse"
    assert billed(scene) == ("served", "measured", COST)


def test_a_stream_cut_anywhere_is_the_same(scene, upstream):
    body = b"".join(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in (frame({"text": "Hel"}), HELLO))
    google(scene, upstream(plays(split(body, 7, pause=0.001))))

    assert ask(scene, "streamGenerateContent?alt=sse").body == body
    assert billed(scene) == ("served", "measured", COST)


def test_a_stream_without_events_is_a_list_and_the_last_word_counts(scene, upstream):
    parts = [frame({"text": "Hel"}, usage={**USAGE, "candidatesTokenCount": 1}), HELLO]
    server = upstream(told(parts))
    google(scene, server)

    reply = ask(scene, "streamGenerateContent")

    assert (reply.json, reply.headers["content-type"]) == (parts, "application/json")
    assert server.requests[0].path.endswith(":streamGenerateContent")
    assert billed(scene) == ("served", "measured", COST)


def test_a_picture_of_a_megabyte_in_a_stream_does_not_outgrow_what_was_set_aside(scene, upstream):
    google(scene, upstream(streamed(frame(PICTURE, usage=None), frame({"text": "Done"}, finish="STOP", usage=None))))

    reply = ask(scene, "streamGenerateContent?alt=sse", generationConfig={"maxOutputTokens": 2000})

    assert reply.frames[0]["candidates"][0]["content"]["parts"] == [PICTURE]
    assert billed(scene) == ("served", "estimated", 4 + 4 * (1290 + 2))


def test_a_prompt_that_was_blocked_is_an_answer_like_any_other(scene, upstream):
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10},
    }
    google(scene, upstream(streamed(blocked)))

    assert ask(scene, "streamGenerateContent?alt=sse").frames == [blocked]
    assert billed(scene) == ("served", "measured", 10)


def test_a_stream_that_breaks_off_ends_with_an_error_in_googles_shape(scene, upstream):
    google(scene, upstream(streamed(frame({"text": "Hel"}), ending="reset")))

    reply = ask(scene, "streamGenerateContent?alt=sse")

    assert reply.frames[-1] == {"error": {"code": 500, "message": "The upstream broke off.", "status": "INTERNAL"}}
    assert billed(scene) == ("broken", "partial", COST)


def test_a_stream_that_begins_with_an_error_is_refused_and_tried_elsewhere(scene, upstream):
    google(scene, upstream(streamed({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})))

    reply = ask(scene, "streamGenerateContent?alt=sse")

    assert (reply.status, reply.error["status"]) == (502, "UNAVAILABLE")
    google(scene, upstream(streamed(HELLO)))
    wait_until(lambda: ask(scene, "streamGenerateContent?alt=sse").status == 200, "nobody serves")


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent"])
def test_a_plugin_account_makes_pictures_whichever_verb_asks(scene, upstream, verb):
    made = frame({"text": "Here"}, PICTURE, finish="STOP", usage=None)
    server = upstream(told(made))
    plugin(scene, server)

    reply = ask(scene, verb)

    assert reply.json == made
    assert server.requests[0].path == f"/v1beta/models/{scene.model}:generateContent"
    assert server.requests[0].header("authorization").startswith("Bearer sk-upstream-")
    assert "x-goog-api-key" not in server.requests[0].names
    assert billed(scene) == ("served", "estimated", 0)


def test_what_a_plugin_answers_whole_a_streaming_client_gets_as_one_event(scene, upstream):
    made = frame({"text": "Two\nlines"}, PICTURE, finish="STOP", usage=None)
    plugin(scene, upstream(told(made)))

    reply = ask(scene, "streamGenerateContent?alt=sse")

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.frames == [made]
    assert reply.body.endswith(b"\r\n\r\n")
    assert scene.line()["outcome"] == "served"


def test_only_who_speaks_it_is_asked_and_the_line_says_why(scene, upstream):
    others, server = [upstream(), upstream()], upstream(told(HELLO))
    for one in others:
        scene.account(one, owner=scene.user, sharing="dedicated")  # looked at first
    google(scene, server)

    assert ask(scene).json == HELLO

    assert [one.requests for one in others] == [[], []]
    scene.last_line()  # what was passed over is written when a line is closed
    whys = [one["why"] for line in scene.lines() for one in line["passed_over"] or ()]
    assert set(whys) == {"its upstream does not speak this"}


def test_where_nobody_speaks_it_that_is_said_and_nobody_is_asked(scene, upstream):
    server = upstream()
    scene.account(server)

    reply = ask(scene)

    assert (reply.status, reply.error["status"]) == (404, "NOT_FOUND")
    assert reply.error["message"] == "No account here offers this endpoint for this model."
    assert (server.requests, scene.lines()) == ([], [])
    assert scene.ask().status == 200


def test_while_who_speaks_it_is_cooling_the_answer_is_to_come_again(scene, upstream):
    scene.account(upstream())
    resting = google(scene, upstream(told(HELLO)))
    db.session.execute(
        db.text("update accounts set cooling_until = now() + interval '40 seconds' where id = :id"), {"id": resting.id}
    )
    db.session.commit()

    reply = ask(scene)

    assert (reply.status, reply.error["status"]) == (503, "UNAVAILABLE")
    assert 30 <= int(reply.headers["retry-after"]) <= 41
    assert reply.error["details"][-1]["@type"] == "type.googleapis.com/google.rpc.RetryInfo"


INVALID = {
    "code": 400,
    "message": "API key not valid.",
    "status": "INVALID_ARGUMENT",
    "details": [{"reason": "API_KEY_INVALID"}],
}


def test_a_key_that_google_refuses_with_400_takes_its_account_out_and_another_serves(scene, upstream):
    dead = google(scene, upstream(told({"error": INVALID}, status=400)))

    assert ask(scene).status == 502

    assert scene.account_now(dead)["state"] == "needs_sign_in"
    google(scene, upstream(told(HELLO)))
    assert ask(scene).json == HELLO


def test_a_request_that_only_says_so_takes_nobody_out(scene, upstream):
    odd = {"error": {"code": 400, "message": "Unknown name API_KEY_INVALID", "status": "INVALID_ARGUMENT"}}
    account = google(scene, upstream(told(odd, status=400)))

    reply = ask(scene)

    assert (reply.status, reply.json) == (400, odd)
    assert scene.account_now(account)["state"] == "active"


def test_an_unknown_model_is_googles_own_word(scene, upstream):
    said = {"error": {"code": 404, "message": "models/x is not found for API version v1beta", "status": "NOT_FOUND"}}
    google(scene, upstream(told(said, status=404)))

    assert (ask(scene).status, ask(scene).json) == (404, said)


def test_a_limit_of_the_upstreams_rests_its_account(scene, upstream):
    said = {
        "error": {
            "code": 429,
            "message": "Quota exceeded",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"retryDelay": "34s"}],
        }
    }
    account = google(scene, upstream(told(said, status=429)))

    reply = ask(scene)

    assert (reply.status, reply.error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert 30 < scene.account_now(account)["cooling"] <= 34


def test_an_empty_pool_is_told_before_anything_is_sent(scene, upstream):
    server = upstream()
    google(scene, server)
    leave(scene, 0)

    reply = ask(scene)

    assert (reply.status, reply.error["code"], reply.error["status"]) == (429, 429, "RESOURCE_EXHAUSTED")
    assert reply.headers["x-should-retry"] == "false"
    assert (server.requests, scene.lines()) == ([], [])


BAD = {
    "no contents": ({"contents": None}, "contents"),
    "contents that are text": ({"contents": "Hello"}, "contents"),
    "no content": ({"contents": []}, "contents"),
    "a configuration that is a list": ({"generationConfig": [1]}, "generationConfig"),
    "half a token": ({"generationConfig": {"maxOutputTokens": 0.5}}, "maxOutputTokens"),
    "half a token in another spelling": ({"generation_config": {"max_output_tokens": "9"}}, "maxOutputTokens"),
    "too many candidates": ({"generationConfig": {"candidateCount": 1000}}, "candidateCount"),
}


@pytest.mark.parametrize(("fields", "field"), BAD.values(), ids=list(BAD))
def test_a_field_that_cannot_be_used_is_named_as_google_names_it(scene, upstream, fields, field):
    server = upstream()
    google(scene, server)

    reply = ask(scene, **fields)

    assert (reply.status, reply.error["code"], reply.error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert reply.error["details"][0]["fieldViolations"][0]["field"] == field
    assert (server.requests, scene.lines()) == ([], [])


def test_a_body_nested_too_deeply_is_refused(scene, upstream):
    google(scene, upstream())
    deep = b'{"contents": [{"parts": [{"functionCall": ' + b"[" * 400 + b"]" * 400 + b"}]}]}"

    reply = scene.ask(path=f"/v1beta/models/{scene.model}:generateContent", raw=deep)

    assert (reply.status, reply.error["status"]) == (400, "INVALID_ARGUMENT")


def test_what_is_longest_is_set_aside_in_either_spelling(scene, upstream):
    google(scene, upstream(told(HELLO)))

    for config in (
        {"generationConfig": {"maxOutputTokens": 1000, "candidateCount": 2}},
        {"generation_config": {"max_output_tokens": 1000, "candidate_count": 2}},
    ):
        assert ask(scene, **config).status == 200

    assert {line["estimate"] for line in scene.lines()} == {4 + 4 * 2000}


def test_the_key_comes_in_googles_header_and_never_in_the_address(scene, upstream):
    google(scene, upstream(told(HELLO)))

    assert ask(scene).status == 200
    assert ask(scene, headers=scene.headers()).status == 200
    in_the_address = ask(scene, f"generateContent?key={scene.key}", headers={"content-type": "application/json"})
    besides = ask(scene, f"generateContent?key={scene.key}")
    none = ask(scene, headers={"content-type": "application/json"})
    two = ask(scene, headers=scene.headers(x_goog_api_key=scene.somebody()[1]))
    elsewhere = scene.ask(headers=scene.headers(authorization=None, x_goog_api_key=scene.key))

    assert [reply.status for reply in (in_the_address, besides, none, two, elsewhere)] == [401] * 5
    assert "x-goog-api-key" in in_the_address.error["message"]
    assert in_the_address.error["status"] == none.error["status"] == "UNAUTHENTICATED"
    assert scene.key.encode() not in in_the_address.body + besides.body
    assert len(scene.lines()) == 2


def test_what_does_not_exist_is_said_in_googles_shape(scene):
    unknown = scene.ask(path=f"/v1beta/models/{scene.model}:embedContent", raw=b"{}")
    wrong = scene.ask(path=f"/v1beta/models/{scene.model}:generateContent", method="GET", raw=b"")

    assert (unknown.status, unknown.error["code"], unknown.error["status"]) == (405, 405, "UNIMPLEMENTED")
    assert (wrong.status, wrong.error["code"], wrong.error["status"]) == (404, 404, "NOT_FOUND")


def test_under_v1_its_verbs_are_its_own_and_models_are_told_as_whoever_asks_knows_them(scene, upstream):
    google(scene, upstream(told(HELLO)))
    raw, path = json.dumps({"contents": CONTENTS}).encode(), f"/v1/models/{scene.model}"

    answered = scene.ask(path=f"{path}:generateContent", raw=raw)
    refused = scene.ask(path="/v1/models/none:generateContent", raw=raw)
    googles = scene.ask(path=path, method="GET", raw=b"", headers={"x-goog-api-key": scene.key})
    openais = scene.ask(path=path, method="GET", raw=b"")

    assert answered.json == HELLO
    assert scene.line()["endpoint"] == "/v1/models/<path:model>:generateContent"
    assert (refused.status, refused.error["status"]) == (404, "NOT_FOUND")
    assert googles.json["name"] == f"models/{scene.model}"
    assert openais.json["id"] == scene.model


ODD_NAMES = {"tuned/model": "tuned%2Fmodel", "a b?c#d": "a%20b%3Fc%23d", "../x": "..%2Fx", "gemini:2": "gemini%3A2"}


@pytest.mark.parametrize(("name", "quoted"), ODD_NAMES.items())
def test_a_models_name_stays_one_segment_of_the_path(scene, upstream, name, quoted):
    server = upstream(told(HELLO))
    google(scene, server, owner=scene.user, sharing="dedicated", models=[scene.model + name])

    reply = ask(scene, model=scene.model + name.replace(" ", "%20").replace("?", "%3F").replace("#", "%23"))

    assert reply.json == HELLO
    assert server.requests[0].path == f"/v1beta/models/{scene.model}{quoted}:generateContent"


def test_the_models_listed_are_those_that_can_be_asked_for(scene, upstream):
    scene.account(upstream(), models=[f"{scene.model}-chat"])
    google(scene, upstream(), models=[scene.model])
    plugin_account = scene.account(
        upstream(), owner=scene.user, sharing="dedicated", preset="plugin", models=[f"{scene.model}-mine"]
    )
    _, stranger = scene.somebody()

    def names(key):
        reply = scene.ask(path="/v1beta/models", method="GET", raw=b"", headers={"x-goog-api-key": key})
        return {one["name"] for one in reply.json["models"] if scene.model in one["name"]}

    assert names(scene.key) == {f"models/{scene.model}", f"models/{scene.model}-mine"}
    assert names(stranger) == {f"models/{scene.model}"}
    scene.change("accounts", plugin_account.id, state="paused")
    assert names(scene.key) == {f"models/{scene.model}"}


def test_a_chat_goes_to_the_same_account_by_its_compatible_address(scene, upstream):
    server = upstream(answers("Hello"))
    google(scene, server)

    assert scene.ask().status == 200

    assert server.requests[0].path == "/v1beta/openai/chat/completions"


def test_by_alias_the_path_is_another_and_the_body_the_same(database, forgetful, upstream):
    scene = Scene(forgetful, "a-picture-maker")
    alias = f"{scene.model}-fast"
    rule_changes.make_alias(alias, scene.model)
    db.session.commit()
    server = upstream(told(HELLO))
    google(scene, server)

    assert ask(scene, model=alias).json == HELLO

    assert server.requests[0].path == f"/v1beta/models/{scene.model}:generateContent"
    assert server.requests[0].json == {"contents": CONTENTS}
    listed = scene.ask(path="/v1beta/models", method="GET", raw=b"").json["models"]
    assert {f"models/{alias}", f"models/{scene.model}"} <= {one["name"] for one in listed}
    wait_until(lambda: rows("select from usage_log where state = 'open'") == [], "an exchange stays open")
    assert proof.verify() == []
