"""What every route has in common, who may ask, and users."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

JSON = {"Content-Type": "application/json"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "text"),
    [
        ("GET", "/health", {}, 404, "Cannot GET /health"),
        ("PUT", "/api/users", {"json": {}}, 404, "Cannot PUT /api/users"),
        ("POST", "/api/users", {"data": "{", "headers": JSON}, 400, "SyntaxError"),
        ("POST", "/api/users", {"data": '"text"', "headers": JSON}, 400, "SyntaxError"),
        ("POST", "/nowhere", {"data": "{", "headers": JSON}, 400, "SyntaxError"),
        ("POST", "/v1/chat/completions", {}, 500, "TypeError"),
    ],
)
def test_what_the_framework_answers_itself_is_a_page(plugin_server, method, path, options, status, text):
    answer = plugin_server.call(method, path, **options)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!DOCTYPE html>")
    assert text in answer.text


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/api/users", "name"),
        ("POST", "/api/oauth/authorize", "is_shared"),
        ("POST", "/api/oauth/callback/manual", "callback_url"),
        ("PUT", f"/api/users/{NOBODY}/status", "status"),
        ("PUT", "/api/accounts/x/name", "name"),
    ],
)
def test_without_a_body_there_is_nothing_to_destructure(plugin_server, method, path, name):
    answer = plugin_server.call(method, path)

    assert answer.status_code == 500
    assert answer.json() == {"error": f"Cannot destructure property '{name}' of 'req.body' as it is undefined."}


def test_a_body_that_is_not_said_to_be_json_is_none(plugin_server):
    assert plugin_server.call("POST", "/api/users", data='{"name": "ada"}').status_code == 500
    assert plugin_server.call("POST", "/api/users", headers=JSON).status_code == 200


def test_a_body_over_the_limit_is_refused_in_json(plugin_server):
    answer = plugin_server.call("POST", "/api/users", data=b" " * (50 * 1024 * 1024 + 1), headers=JSON)

    assert answer.status_code == 413
    assert answer.json()["error"].startswith("请求体过大")


@pytest.mark.parametrize(
    ("header", "status", "message"),
    [
        (None, 401, "缺少Authorization请求头"),
        ("Basic eA==", 401, "缺少Authorization请求头"),
        ("bearer {key}", 401, "缺少Authorization请求头"),
        ("Bearer sk-wrong", 401, "无效的API Key"),
        ("Bearer {key}", 403, "需要管理员权限"),
    ],
)
def test_who_may_not_ask_is_told_why(plugin_server, header, status, message):
    key = plugin_server.create_user()["api_key"]
    headers = {"Authorization": header.format(key=key)} if header else {}

    answer = requests.get(f"{plugin_server.url}/api/users", headers=headers, timeout=30)

    assert answer.status_code == status
    assert answer.json() == {"error": message}


def test_no_other_header_carries_a_key(plugin_server):
    for header in ("x-api-key", "api-key"):
        answer = requests.get(f"{plugin_server.url}/api/users", headers={header: plugin_server.admin_key}, timeout=30)
        assert answer.status_code == 401


def test_the_admin_is_nobody_in_particular(plugin_server):
    assert plugin_server.call("GET", "/api/user/me").json() == {"success": True, "data": {"user_id": "admin"}}


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/api/accounts", {}),
        ("GET", "/api/quotas/user", {}),
        ("GET", "/api/quotas/shared-pool", {}),
        ("GET", "/api/quotas/consumption", {}),
        ("GET", "/v1/models", {}),
        ("POST", "/v1/chat/completions", {"json": {"messages": [{"role": "user", "content": "x"}], "model": "m"}}),
    ],
)
def test_where_a_user_is_needed_the_admins_id_is_none(plugin_server, method, path, options):
    answer = plugin_server.call(method, path, **options)

    assert answer.status_code == 500
    assert answer.json() == {"error": 'invalid input syntax for type uuid: "admin"'}


def test_a_user_is_made_with_a_key_and_without_her_preference(plugin_server):
    answer = plugin_server.call("POST", "/api/users", json={"name": "ada", "prefer_shared": 1}).json()

    assert answer["message"] == "用户创建成功"
    assert answer["data"].keys() == {"user_id", "api_key", "name", "created_at"}
    assert re.fullmatch(r"sk-[A-Za-z0-9]{40,48}", answer["data"]["api_key"])
    assert TIME.fullmatch(answer["data"]["created_at"])
    me = plugin_server.call("GET", "/api/user/me", key=answer["data"]["api_key"]).json()["data"]
    assert me["prefer_shared"] == 0
    assert list(me) == ["user_id", "name", "prefer_shared", "status", "created_at", "updated_at"]


def test_the_same_name_twice_makes_two_users(plugin_server):
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: plugin_server.create_user("ada"), range(8)))

    assert len({user["user_id"] for user in made}) == len({user["api_key"] for user in made}) == 8
    assert plugin_server.users_named("ada") == 8


def test_everybody_is_listed_newest_first_and_without_keys(plugin_server):
    first, second = plugin_server.create_user("ada"), plugin_server.create_user("bob")

    listed = plugin_server.call("GET", "/api/users").json()["data"]

    assert [user["user_id"] for user in listed] == [second["user_id"], first["user_id"]]
    assert list(listed[0]) == ["user_id", "name", "status", "created_at", "updated_at"]


def test_a_new_key_ends_the_old_one(plugin_server):
    user = plugin_server.create_user()

    answer = plugin_server.call("POST", f"/api/users/{user['user_id']}/regenerate-key").json()

    assert answer["message"] == "API Key已重新生成"
    assert plugin_server.call("GET", "/api/user/me", key=user["api_key"]).status_code == 401
    assert plugin_server.call("GET", "/api/user/me", key=answer["data"]["api_key"]).ok


def test_a_user_switched_off_is_unknown(plugin_server):
    user = plugin_server.create_user()
    path = f"/api/users/{user['user_id']}/status"

    assert plugin_server.call("PUT", path, json={"status": 0}).json()["data"]["status"] == 0
    assert plugin_server.call("GET", "/api/user/me", key=user["api_key"]).json() == {"error": "无效的API Key"}
    assert plugin_server.call("PUT", path, json={"status": 1}).ok
    assert plugin_server.call("GET", "/api/user/me", key=user["api_key"]).ok


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/api/users", {"name": "n" * 101}, 500, "value too long for type character varying(100)"),
        ("POST", f"/api/users/{NOBODY}/regenerate-key", {}, 500, f"用户不存在: user_id={NOBODY}"),
        ("POST", "/api/users/me/regenerate-key", {}, 500, 'invalid input syntax for type uuid: "me"'),
        ("PUT", f"/api/users/{NOBODY}/status", {"status": "1"}, 400, "status必须是0或1"),
        ("PUT", f"/api/users/{NOBODY}/status", {"status": True}, 400, "status必须是0或1"),
        ("PUT", f"/api/users/{NOBODY}/status", {"status": 1}, 500, f"用户不存在: user_id={NOBODY}"),
        ("PUT", f"/api/users/{NOBODY}/preference", {"prefer_shared": 2}, 400, "prefer_shared必须是0或1"),
        ("PUT", f"/api/users/{NOBODY}/preference", {"prefer_shared": 0}, 500, f"用户不存在: user_id={NOBODY}"),
        ("DELETE", f"/api/users/{NOBODY}", {}, 404, "用户不存在"),
    ],
)
def test_what_cannot_be_done_to_a_user_is_refused_in_its_words(plugin_server, method, path, body, status, message):
    answer = plugin_server.call(method, path, json=body)

    assert answer.status_code == status
    assert answer.json() == {"error": message}


def test_whose_preference_it_is_comes_before_what_it_shall_be(plugin_server):
    ada, bob = plugin_server.create_user("ada"), plugin_server.create_user("bob")
    path = f"/api/users/{ada['user_id']}/preference"

    stranger = plugin_server.call("PUT", path, key=bob["api_key"], json={"prefer_shared": "nonsense"})
    own = plugin_server.call("PUT", path, key=ada["api_key"], json={"prefer_shared": 1}).json()
    admin = plugin_server.call("PUT", path, json={"prefer_shared": 0}).json()

    assert stranger.status_code == 403
    assert stranger.json() == {"error": "无权修改此用户的设置"}
    assert own["message"] == "Cookie优先级已更新为共享优先"
    assert own["data"] == {"user_id": ada["user_id"], "prefer_shared": 1}
    assert admin["message"] == "Cookie优先级已更新为专属优先"


def test_a_deleted_user_takes_her_accounts_and_what_others_consumed_on_them_along(plugin_server):
    ada, bob = plugin_server.create_user("ada"), plugin_server.create_user("bob")
    for user in (ada, bob):
        plugin_server.add_account(user["api_key"], is_shared=1)
    question = {"model": "gemini-2.5-flash", "stream": False, "messages": [{"role": "user", "content": "x"}]}
    plugin_server.call("POST", "/v1/chat/completions", key=bob["api_key"], json=question)
    logged = plugin_server.call("GET", "/api/quotas/consumption", key=bob["api_key"]).json()["data"]

    answer = plugin_server.call("DELETE", f"/api/users/{ada['user_id']}")

    assert answer.json() == {"success": True, "message": "用户已删除"}
    assert len(logged) == 1
    assert plugin_server.call("GET", "/api/quotas/consumption", key=bob["api_key"]).json()["data"] == []
    assert plugin_server.users_named("ada") == 0
    assert uuid.UUID(bob["user_id"])
