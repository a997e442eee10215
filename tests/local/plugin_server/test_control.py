"""How the server misbehaves when it is told to, and what it remembers of those who asked."""

from __future__ import annotations

import json
import time

import pytest
import requests

CHAT = "/v1/chat/completions"


@pytest.fixture
def ada(plugin_server):
    user = plugin_server.create_user("ada")
    plugin_server.add_account(user["api_key"])
    return user


def words(count, **more):
    messages = [{"role": "user", "content": f"!words {count}"}]
    return {"model": "gemini-2.5-flash", "messages": messages, **more}


def test_an_answer_can_be_lost_after_the_work_was_done(plugin_server):
    plugin_server.misbehave("/api/users", method="POST", lose_answer=True)

    with pytest.raises(requests.ConnectionError):
        plugin_server.create_user("ada")

    assert plugin_server.users_named("ada") == 1


def test_a_connection_can_be_refused_before_anything_was_done(plugin_server):
    plugin_server.misbehave("/api/users", refuse=True, times=2)

    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            plugin_server.create_user("ada")

    assert plugin_server.users_named("ada") == 0
    assert plugin_server.create_user("ada")
    assert plugin_server.users_named("ada") == 1


@pytest.mark.parametrize("status", [429, 500, 502])
def test_any_status_can_be_had_so_many_times(plugin_server, status):
    plugin_server.misbehave("/api/us.*", status=status, times=2, body={"error": "no"}, headers={"Retry-After": "7"})

    answers = [plugin_server.call("GET", "/api/users") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].json() == {"error": "no"}
    assert answers[0].headers["retry-after"] == "7"


def test_an_error_can_be_a_page(plugin_server):
    plugin_server.misbehave(status=500, html=True)

    answer = plugin_server.call("GET", "/api/user/me")

    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")


def test_an_answer_can_be_late_while_others_are_not(plugin_server):
    plugin_server.misbehave("/api/users", stall=3)

    with pytest.raises(requests.Timeout):
        requests.get(
            f"{plugin_server.url}/api/users",
            headers={"Authorization": f"Bearer {plugin_server.admin_key}"},
            timeout=0.3,
        )

    began = time.monotonic()
    assert plugin_server.call("GET", "/api/user/me").ok
    assert time.monotonic() - began < 2.5


def test_a_stream_can_break_off_after_so_many_frames(plugin_server, ada):
    plugin_server.misbehave(CHAT, frames=3)
    got = []

    with pytest.raises(requests.RequestException):
        got.extend(plugin_server.call("POST", CHAT, key=ada["api_key"], json=words(9), stream=True).iter_lines())

    said = [json.loads(line[6:])["choices"][0]["delta"]["content"] for line in got if line]
    assert said == ["word0 ", "word1 ", "word2 "]


def test_a_stream_can_pause_and_go_on(plugin_server, ada):
    plugin_server.misbehave(CHAT, frames=1, pause=0.5)
    began, times = time.monotonic(), []

    with plugin_server.call("POST", CHAT, key=ada["api_key"], json=words(2), stream=True) as answer:
        times = [time.monotonic() - began for line in answer.iter_lines(chunk_size=1) if line]

    assert len(times) == 4
    assert times[1] - times[0] > 0.4


def test_who_leaves_a_stream_pays_for_it(plugin_server, ada):
    with plugin_server.call("POST", CHAT, key=ada["api_key"], json=words(5000), stream=True) as answer:
        next(answer.iter_lines(chunk_size=1))

    deadline = time.monotonic() + 20
    while not plugin_server.call("GET", "/api/quotas/consumption", key=ada["api_key"]).json()["data"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_was_asked_is_remembered_by_whom_but_without_keys(plugin_server, ada):
    plugin_server.call("POST", "/api/oauth/authorize", key=ada["api_key"], json={"is_shared": 1})
    plugin_server.call("GET", "/api/quotas/consumption", key="sk-wrong", params={"limit": 3})

    created, *_, authorized, consumption = plugin_server.seen()

    assert (created["method"], created["path"], created["credential"]) == ("POST", "/api/users", "admin")
    assert created["body"] == {"name": "ada"}
    assert created["status"] == 200
    assert created["headers"]["content-type"] == "application/json"
    assert authorized["credential"] == ada["user_id"]
    assert authorized["body"] == {"is_shared": 1}
    assert (consumption["credential"], consumption["query"], consumption["status"]) == ("unknown", "limit=3", 401)
    assert plugin_server.admin_key not in json.dumps(plugin_server.seen())
    assert ada["api_key"] not in json.dumps(plugin_server.seen())
    assert len(plugin_server.seen("/api/users")) == 1


def test_a_reset_forgets_everything(plugin_server, ada):
    plugin_server.control(exhausted=["m"], next=[{"status": 500}])

    plugin_server.reset()

    assert plugin_server.seen() == []
    assert plugin_server.call("GET", "/api/users").json()["data"] == []
    assert plugin_server.call("GET", "/api/user/me", key=ada["api_key"]).status_code == 401


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"weather": "bad"}, "weather"),
        ({"next": [{"when": "now"}]}, "when"),
        ({"next": [{"path": "("}]}, "next"),
        ({"next": [{"times": "twice"}]}, "times"),
        ({"next": [{}], "image_bytes": "big"}, "image_bytes"),
        ({"fractions": {"m": "half"}}, "fractions"),
    ],
)
def test_a_wish_that_cannot_be_understood_is_named_and_changes_nothing(plugin_server, wanted, named):
    with pytest.raises(AssertionError, match=f"`{named}`"):
        plugin_server.control(**wanted)

    assert plugin_server.call("GET", "/api/users").ok


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("GET", "/seen"), ("POST", "/reset")])
@pytest.mark.parametrize("token", [None, "wrong", "€"])
def test_nobody_else_controls_it(plugin_server, ada, method, path, token):
    headers = {"X-Control-Token": token.encode()} if token else {}

    answer = plugin_server.call(method, f"/_control{path}", json={}, headers=headers)

    assert answer.status_code == 403
    assert plugin_server.users_named("ada") == 1
