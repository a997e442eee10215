"""A Plug-in API server behind the routes: what is sent there, by whose key, and what its failures become."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from shared_accounts.extensions import db
from tests import factories
from tests.conftest import ROOT
from tests.gateway.scene import wait_until
from tests.plugin.contract import API, refusal, remote_world
from tests.plugin.provisioned import change, plugin, queued
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["plugin", "plugin_process", "plugin_server", "remote_world"]

WHICH = """
from shared_accounts import create_app
print(type(create_app().extensions["plugin_pool"]).__name__)
"""
PROVISION, LOOK_AFTER = "shared_accounts.provision_plugin_user", "shared_accounts.look_after_plugin_user"
PICTURE = {
    "contents": [{"role": "user", "parts": [{"text": "a cat"}]}],
    "generationConfig": {"imageConfig": {"aspectRatio": "1:1"}},
}
READS = [
    ("/accounts", "/api/accounts", ""),
    ("/accounts/{id}", "/api/accounts/{id}", ""),
    ("/accounts/{id}/quotas", "/api/accounts/{id}/quotas", ""),
    ("/preference", "/api/user/me", ""),
    ("/quotas/user", "/api/quotas/user", ""),
    ("/quotas/consumption", "/api/quotas/consumption", "limit=1000"),
    (
        "/quotas/consumption?limit=7&start_date=2025-11-01&end_date=2025-11-30",
        "/api/quotas/consumption",
        "limit=7&start_date=2025-11-01T00%3A00%3A00.000%2B00%3A00&end_date=2025-12-01T00%3A00%3A00.000%2B00%3A00",
    ),
    ("/quotas/consumption/stats/org/o", "/api/quotas/consumption/stats/org/o", ""),
]
CHANGES = [
    ("PUT", "/accounts/{id}/status", {"status": 0}, "/api/accounts/{id}/status"),
    ("PUT", "/accounts/{id}/name", {"name": "Mine"}, "/api/accounts/{id}/name"),
    ("PUT", "/accounts/{id}/type", {"is_shared": 1}, "/api/accounts/{id}/type"),
    (
        "PUT",
        "/accounts/{id}/quotas/gemini-2.5-pro/status",
        {"status": 0},
        "/api/accounts/{id}/quotas/gemini-2.5-pro/status",
    ),
    ("DELETE", "/accounts/{id}", None, "/api/accounts/{id}"),
]


@pytest.fixture
def ada(remote_world):
    """A member with one account there, of whom nothing was asked yet."""
    found = remote_world.member()
    found.account = remote_world.add(found)
    return found


@pytest.fixture
def asked(plugin_server, ada):
    """What has been asked of the Plug-in API since the test began."""
    before = len(plugin_server.seen())
    return lambda: plugin_server.seen()[before:]


@pytest.fixture
def waiting(redis_server):
    """The tasks that wait, with whom they are about."""
    return lambda: queued(redis_server.url())


@pytest.mark.parametrize(("ours", "theirs", "query"), READS)
def test_a_question_goes_on_by_her_own_key(ada, asked, remote_world, ours, theirs, query):
    assert ada.get(API + ours.format(id=ada.account)).status_code == 200

    [seen] = asked()
    assert (seen["method"], seen["path"], seen["query"]) == ("GET", theirs.format(id=ada.account), query)
    assert seen["credential"] == remote_world.known(ada).user_id


@pytest.mark.parametrize(("method", "ours", "body", "theirs"), CHANGES)
def test_a_change_goes_on_by_her_own_key_and_her_models_are_read_anew(
    ada, asked, waiting, remote_world, method, ours, body, theirs
):
    known = waiting()

    assert ada.open(API + ours.format(id=ada.account), method=method, json=body).status_code == 200

    [seen] = asked()
    assert (seen["method"], seen["path"]) == (method, theirs.format(id=ada.account))
    assert seen["credential"] == remote_world.known(ada).user_id
    assert body is None or seen["body"] == body
    assert waiting() == [*known, (LOOK_AFTER, [ada.user_id])]


def test_a_preference_goes_to_her_user_there(ada, asked, remote_world):
    ada.put(f"{API}/preference", json={"prefer_shared": 1})

    [seen] = asked()
    known = remote_world.known(ada)
    assert (seen["method"], seen["path"]) == ("PUT", f"/api/users/{known.user_id}/preference")
    assert (seen["credential"], seen["body"]) == (known.user_id, {"prefer_shared": 1})


def test_the_plugins_own_state_never_leaves_us(ada, asked, waiting, remote_world):
    begun = ada.post(f"{API}/oauth/authorize", json={"is_shared": 1}).json["data"]
    landed = remote_world.land(begun["auth_url"])
    added = ada.post(f"{API}/oauth/callback", json={"callback_url": landed})

    assert added.json["data"]["is_shared"] == 1
    began, finished = asked()
    assert (began["path"], began["body"]) == ("/api/oauth/authorize", {"is_shared": 1})
    assert finished["path"] == "/api/oauth/callback/manual"
    theirs = parse_qs(urlsplit(finished["body"]["callback_url"]).query)
    ours = parse_qs(urlsplit(landed).query)
    assert ours["state"] == [begun["state"]] != theirs["state"]
    assert theirs["code"] == ours["code"]
    assert {began["credential"], finished["credential"]} == {remote_world.known(ada).user_id}
    assert waiting()[-1] == (LOOK_AFTER, [ada.user_id])


def test_the_plugins_unguarded_callback_can_finish_nothing_of_ours(ada, plugin_server, remote_world):
    begun = ada.post(f"{API}/oauth/authorize", json={}).json["data"]

    page = plugin_server.call("GET", f"/api/oauth/callback?{urlsplit(remote_world.land(begun['auth_url'])).query}")

    assert page.status_code == 500
    assert len(ada.get(f"{API}/accounts").json["data"]) == 1


@pytest.mark.parametrize(
    "data",
    [
        {"auth_url": "javascript:alert(1)//?state=s", "state": "s"},
        {"auth_url": "https://google.test/?state=other", "state": "s"},
        {"auth_url": "https://google.test/", "state": "s"},
        {"auth_url": "https://[", "state": "s"},
        {"auth_url": None, "state": None},
        None,
    ],
)
def test_a_page_nobody_could_come_back_from_is_not_shown(ada, plugin_server, data):
    plugin_server.misbehave("/api/oauth/authorize", status=200, body={"success": True, "data": data})

    assert refusal(ada.post(f"{API}/oauth/authorize", json={})) == (502, "PLUGIN_UNREACHABLE")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("invalid-grant", (422, "ACCOUNT_NEEDS_SIGN_IN")),
        ("ineligible", (422, "ACCOUNT_INELIGIBLE")),
        ("ada", (409, "ALREADY_EXISTS")),
    ],
)
def test_what_a_consent_can_end_in(ada, remote_world, plugin_server, code, expected):
    plugin_server.add_account(remote_world.known(ada).api_key, code="ada")
    begun = ada.post(f"{API}/oauth/authorize", json={}).json["data"]
    landed = re.sub(r"code=[^&]+", f"code={code}", remote_world.land(begun["auth_url"]))

    answer = ada.post(f"{API}/oauth/callback", json={"callback_url": landed})

    assert refusal(answer) == expected
    assert "@google.test" not in answer.text


def test_the_admins_key_manages_users_and_nothing_else(ada, plugin_server, remote_world):
    account = f"{API}/accounts/{ada.account}"
    for path in ("/accounts", "/quotas/user", "/quotas/shared-pool", "/quotas/consumption", "/preference"):
        assert ada.get(API + path).status_code == 200
    ada.put(f"{account}/type", json={"is_shared": 1})
    ada.put(f"{API}/preference", json={"prefer_shared": 1})
    ada.delete(account)

    by_admin = [seen["path"] for seen in plugin_server.seen() if seen["credential"] == "admin"]
    assert set(by_admin) == {"/api/users"}
    assert {seen["credential"] for seen in plugin_server.seen()} == {"admin", remote_world.known(ada).user_id}


def test_whoever_is_not_there_yet_is_told_to_come_back_and_provided_for(plugin, remote_world, sign_in, waiting):
    user = factories.user(trust_level=1)
    user_id, newcomer = user.id, sign_in(user)

    for path in ("/accounts", "/preference", "/quotas/user", "/quotas/shared-pool", "/quotas/consumption"):
        answer = newcomer.get(API + path)
        assert refusal(answer) == (503, "PLUGIN_NOT_READY"), path
        assert int(answer.headers["Retry-After"]) > 0
    assert refusal(newcomer.get(f"{API}/key")) == (404, "NOT_FOUND")
    assert refusal(newcomer.put(f"{API}/preference", json={"prefer_shared": 1})) == (503, "PLUGIN_NOT_READY")
    assert refusal(newcomer.get("/api/usage/summary")) == (503, "PLUGIN_NOT_READY")
    assert waiting() == [(PROVISION, [user_id])]


def test_a_key_that_dies_there_signs_nobody_out_here_and_is_looked_after(ada, plugin_server, remote_world, waiting):
    plugin_server.call("POST", f"/api/users/{remote_world.known(ada).user_id}/regenerate-key")
    before = len(waiting())

    answer = ada.get(f"{API}/accounts")

    assert refusal(answer) == (502, "PLUGIN_AUTH_FAILED")
    assert waiting()[before:] == [(LOOK_AFTER, [ada.user_id])]
    assert ada.get("/api/auth/me").status_code == 200


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"status": 429, "body": {"error": "slower"}, "headers": {"Retry-After": "7"}}, (429, "PLUGIN_LIMITED")),
        ({"status": 500, "body": {"error": "没有可用的账号"}}, (503, "NO_ACCOUNT_AVAILABLE")),
        ({"status": 500, "body": {"error": "secret inner words"}}, (502, "PLUGIN_FAILED")),
        ({"status": 404, "html": True}, (502, "PLUGIN_FAILED")),
        ({"status": 409, "body": {"error": "taken"}}, (409, "ALREADY_EXISTS")),
        ({"status": 422, "body": {"error": "odd"}}, (422, "VALIDATION_ERROR")),
        ({"status": 200, "body": {"success": True, "data": "no list"}}, (502, "PLUGIN_UNREACHABLE")),
        ({"status": 200, "body": [1]}, (502, "PLUGIN_UNREACHABLE")),
        ({"refuse": True, "times": 2}, (502, "PLUGIN_UNREACHABLE")),
    ],
)
def test_a_failure_there_is_told_in_our_words(ada, plugin_server, rule, expected):
    plugin_server.misbehave("/api/accounts", **rule)

    answer = ada.get(f"{API}/accounts")

    assert refusal(answer) == expected
    assert "inner" not in answer.text
    assert rule.get("headers") is None or answer.headers["Retry-After"] == "7"


def test_a_page_instead_of_an_account_is_a_wrong_address_and_no_missing_account(ada, plugin_server):
    plugin_server.misbehave(f"/api/accounts/{ada.account}", status=404, html=True)

    assert refusal(ada.get(f"{API}/accounts/{ada.account}")) == (502, "PLUGIN_FAILED")


def test_a_change_that_fails_there_changes_nothing_here(ada, plugin_server, waiting):
    before = waiting()
    plugin_server.misbehave("/api/users/.*", status=500, body={"error": "no"})

    assert refusal(ada.put(f"{API}/preference", json={"prefer_shared": 1})) == (502, "PLUGIN_FAILED")

    assert ada.get("/api/auth/me").json["prefer_shared"] is False
    assert waiting() == before


def test_no_connection_is_held_while_the_plugin_takes_its_time(ada, plugin_server):
    plugin_server.misbehave("/api/accounts", stall=4)
    before = len(plugin_server.seen("/api/accounts"))
    db.session.rollback()
    answers = []

    asking = threading.Thread(target=lambda: answers.append(ada.get(f"{API}/accounts").status_code))
    asking.start()
    wait_until(lambda: len(plugin_server.seen("/api/accounts")) > before, "nothing was asked", 30)
    held = db.engine.pool.checkedout()
    asking.join()

    assert answers == [200]
    assert held == 0


def test_images_are_made_by_her_own_key_and_her_words_go_on_untouched(ada, asked, remote_world):
    answer = ada.post(f"{API}/v1beta/models/gemini-3-pro-image:generateContent", json=PICTURE)

    assert answer.status_code == 200
    assert answer.json["candidates"][0]["content"]["parts"][1]["inlineData"]["mimeType"] == "image/png"
    [seen] = asked()
    assert seen["path"] == "/v1beta/models/gemini-3-pro-image:generateContent"
    assert (seen["credential"], seen["body"]) == (remote_world.known(ada).user_id, PICTURE)


def test_a_refused_image_is_told_in_geminis_shape_and_in_ours(ada, plugin_server):
    plugin_server.control(exhausted=["gemini-3-pro-image"])

    exhausted = ada.post(f"{API}/v1beta/models/gemini-3-pro-image:generateContent", json=PICTURE)
    empty = ada.post(f"{API}/v1beta/models/gemini-3-pro-image:generateContent", json={"contents": []})

    assert refusal(exhausted) == (429, "PLUGIN_LIMITED")
    assert exhausted.json["error"]["code"] == 429
    assert exhausted.json["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert exhausted.json["error"]["message"] == exhausted.json["detail"]
    assert (empty.status_code, list(empty.json["errors"]["json"])) == (400, ["contents"])


def test_images_count_against_what_a_trust_level_allows(ada):
    change("update trust_levels set requests_per_minute = 1 where level = 1")
    path = f"{API}/v1beta/models/gemini-3-pro-image:generateContent"

    assert [ada.post(path, json=PICTURE).status_code for _ in range(2)] == [200, 429]


def test_an_account_whose_rest_cannot_be_told_is_listed_all_the_same(ada, plugin_server):
    plugin_server.misbehave(f"/api/accounts/{ada.account}/quotas", status=500, body={"error": "无法获取配额信息"})

    answer = ada.get("/api/usage/accounts")

    assert answer.status_code == 200
    assert [row["quotas"] for row in answer.json["data"]] == [[]]


def test_a_plugin_that_has_gone_is_not_asked_about_every_account(ada, asked, plugin_server, remote_world):
    second = remote_world.add(ada)
    begun = len(asked())
    plugin_server.misbehave("/api/accounts/.*/quotas", refuse=True, times=4)

    answer = ada.get("/api/usage/accounts")

    assert [row["quotas"] for row in answer.json["data"]] == [[], []]
    assert {one["path"] for one in asked()[begun:]} == {"/api/accounts", f"/api/accounts/{second}/quotas"}


def test_a_key_is_known_by_her_user_there(ada, remote_world):
    assert ada.get(f"{API}/key").json["plugin_user_id"] == remote_world.known(ada).user_id


def test_whoever_is_to_be_made_anew_is_not_asked_for(ada, asked):
    change("update plugin_users set state = 'pending' where user_id = :id", id=ada.user_id)

    assert refusal(ada.get(f"{API}/accounts")) == (503, "PLUGIN_NOT_READY")
    assert ada.get(f"{API}/key").json["is_active"] is False
    assert asked() == []


@pytest.mark.parametrize(("url", "kind"), [("", "Local"), ("http://127.0.0.1:9", "Remote")])
def test_which_pool_answers_is_chosen_at_the_start(environment, url, kind):
    key = "an-admin-key-of-the-plugin-0123456789"
    known = {**environment, "PLUGIN_API_BASE_URL": url, "PLUGIN_API_ADMIN_KEY": key}

    told = subprocess.run(
        [sys.executable, "-c", WHICH], env=known, cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert told.stdout.split() == [kind]
