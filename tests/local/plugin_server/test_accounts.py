"""Adding accounts by way of Google, and what can be done with them."""

from __future__ import annotations

import re

import pytest
import requests

STRANGER = "f" * 32


@pytest.fixture
def ada(plugin_server):
    return plugin_server.create_user("ada")["api_key"]


@pytest.fixture
def bob(plugin_server):
    return plugin_server.create_user("bob")["api_key"]


def begin(server, key, **body):
    return server.call("POST", "/api/oauth/authorize", key=key, json=body).json()["data"]


def paste(server, key, url):
    return server.call("POST", "/api/oauth/callback/manual", key=key, json={"callback_url": url})


def address(state, code="someone"):
    return f"http://localhost:42532/oauth-callback?code={code}&state={state}"


def test_consent_is_asked_for_with_a_state_that_lasts_five_minutes(plugin_server, ada):
    begun = begin(plugin_server, ada)

    page = requests.get(begun["auth_url"], allow_redirects=False, timeout=30)

    assert begun["expires_in"] == 300
    assert page.status_code == 302
    assert page.headers["location"].startswith("http://localhost:42532/oauth-callback?")
    assert f"state={begun['state']}" in page.headers["location"]


def test_the_pasted_address_makes_an_account(plugin_server, ada):
    begun = begin(plugin_server, ada, is_shared=1)

    answer = paste(plugin_server, ada, address(begun["state"])).json()

    assert answer["message"] == "账号添加成功"
    assert list(answer["data"]) == [
        "cookie_id",
        "user_id",
        "is_shared",
        "project_id_0",
        "is_restricted",
        "ineligible",
        "created_at",
    ]
    assert re.fullmatch("[0-9a-f]{32}", answer["data"]["cookie_id"])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "缺少callback_url参数"),
        ("no address", "无效的URL格式"),
        ("http://x/?error=access_denied", "OAuth授权失败: access_denied"),
        ("http://x/?code=c", "回调URL中缺少code或state参数"),
        ("http://x/?state=s", "回调URL中缺少code或state参数"),
    ],
)
def test_an_address_that_is_none_is_a_bad_request(plugin_server, ada, url, message):
    answer = paste(plugin_server, ada, url)

    assert answer.status_code == 400
    assert answer.json() == {"error": message}


@pytest.mark.parametrize(
    ("code", "message", "spent"),
    [
        ("ineligible", "此账号没有资格使用Antigravity: INELIGIBLE_ACCOUNT", True),
        ("no-project", "此账号没有资格使用Antigravity: NO_PROJECT_AND_FREE_TIER", True),
        ("unknown-error", "此账号没有资格使用Antigravity: UNKNOWN_ERROR", True),
        ("reason-DASHER_USER", "此账号没有资格使用Antigravity: DASHER_USER", True),
        ("taken", "此邮箱已被添加过: taken@google.test", True),
        ("invalid-grant", 'HTTP 400: {"error":"invalid_grant","error_description":"Malformed auth code."}', False),
    ],
)
def test_what_google_or_the_state_refuses_is_a_500(plugin_server, ada, bob, code, message, spent):
    plugin_server.add_account(bob, code="taken")
    state = begin(plugin_server, ada)["state"]

    answer = paste(plugin_server, ada, address(state, code))
    again = paste(plugin_server, ada, address(state))

    assert answer.status_code == 500
    assert answer.json() == {"error": message}
    assert again.ok is not spent


def test_a_state_is_good_for_one_account(plugin_server, ada):
    state = begin(plugin_server, ada)["state"]
    paste(plugin_server, ada, address(state))

    again = paste(plugin_server, ada, address(state, "another"))
    unknown = paste(plugin_server, ada, address("made-up"))

    assert again.status_code == unknown.status_code == 500
    assert again.json() == unknown.json() == {"error": "Invalid or expired state parameter"}


def test_the_account_belongs_to_who_began_whoever_pastes(plugin_server, ada, bob):
    state = begin(plugin_server, ada)["state"]

    added = paste(plugin_server, bob, address(state)).json()["data"]

    assert plugin_server.call("GET", "/api/accounts", key=bob).json()["data"] == []
    (mine,) = plugin_server.call("GET", "/api/accounts", key=ada).json()["data"]
    assert mine["cookie_id"] == added["cookie_id"]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("code=c&state={state}", 200, "账号添加成功"),
        ("error=<b>denied</b>", 400, "OAuth授权失败: &lt;b&gt;denied&lt;/b&gt;"),
        ("code=c", 400, "缺少code或state参数"),
        ("code=c&state=made-up", 500, "Invalid or expired state parameter"),
    ],
)
def test_the_browsers_way_back_needs_no_key_and_answers_in_pages(plugin_server, ada, query, status, text):
    state = begin(plugin_server, ada)["state"]

    answer = requests.get(f"{plugin_server.url}/api/oauth/callback?{query.format(state=state)}", timeout=30)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert text in answer.text


@pytest.mark.parametrize(
    ("is_shared", "stored", "credited"), [(1, 1, True), (0, 0, False), ("1", 1, False), (2, 2, False)]
)
def test_only_the_number_one_earns_credit(plugin_server, ada, is_shared, stored, credited):
    state = begin(plugin_server, ada, is_shared=is_shared)["state"]

    added = paste(plugin_server, ada, address(state)).json()["data"]

    assert added["is_shared"] == stored
    assert bool(plugin_server.call("GET", "/api/quotas/user", key=ada).json()["data"]) is credited


@pytest.mark.parametrize(
    ("code", "differs"),
    [
        ("someone", {"is_restricted": False, "paid_tier": False, "project_id_0": "project-of-google"}),
        ("restricted-1", {"is_restricted": True, "project_id_0": ""}),
        ("paid-1", {"paid_tier": True}),
        ("tier-unknown-1", {"paid_tier": None}),
    ],
)
def test_an_account_is_told_without_its_mail_and_tokens(plugin_server, ada, code, differs):
    cookie = plugin_server.add_account(ada, code=code)["cookie_id"]

    listed = plugin_server.call("GET", "/api/accounts", key=ada).json()["data"][0]
    shown = plugin_server.call("GET", f"/api/accounts/{cookie}", key=ada).json()["data"]

    assert listed | differs == listed
    assert listed.keys() - shown.keys() == {"last_used_at"}
    assert {name for name in listed if "mail" in name or "token" in name} == set()
    assert re.fullmatch(r"\d{13}", listed["expires_at"])
    assert (listed["name"], listed["last_used_at"]) == (f"{code}@google.test", None)


def test_accounts_are_listed_newest_first(plugin_server, ada):
    old, new = (plugin_server.add_account(ada)["cookie_id"] for _ in range(2))

    listed = plugin_server.call("GET", "/api/accounts", key=ada).json()["data"]

    assert [account["cookie_id"] for account in listed] == [new, old]


BAD_BODIES = [
    ("PUT", "/status", {"status": "1"}, "status必须是0或1"),
    ("PUT", "/type", {"is_shared": None}, "is_shared必须是0或1"),
    ("PUT", "/name", {}, "name是必需的"),
    ("PUT", "/name", {"name": 1}, "name必须是字符串且长度不超过100"),
    ("PUT", "/name", {"name": "n" * 101}, "name必须是字符串且长度不超过100"),
    ("PUT", "/quotas/gemini-2.5-flash/status", {"status": 2}, "status必须是0或1"),
]
GOOD_BODIES = [
    ("GET", "", None, "无权访问此账号"),
    ("PUT", "/status", {"status": 0}, "无权修改此账号"),
    ("PUT", "/type", {"is_shared": 1}, "无权修改此账号"),
    ("PUT", "/name", {"name": ""}, "无权修改此账号"),
    ("DELETE", "", None, "无权删除此账号"),
    ("GET", "/quotas", None, "无权访问此账号的配额信息"),
    ("PUT", "/quotas/gemini-2.5-flash/status", {"status": 0}, "无权修改此账号的配额"),
]


@pytest.mark.parametrize(("method", "path", "body", "message"), BAD_BODIES)
def test_a_bad_body_is_refused_before_anybody_looks_for_the_account(plugin_server, bob, method, path, body, message):
    answer = plugin_server.call(method, f"/api/accounts/{STRANGER}{path}", key=bob, json=body)

    assert answer.status_code == 400
    assert answer.json() == {"error": message}


@pytest.mark.parametrize(("method", "path", "body", "message"), GOOD_BODIES)
def test_an_account_that_is_not_there_differs_from_a_strangers(plugin_server, ada, bob, method, path, body, message):
    cookie = plugin_server.add_account(ada)["cookie_id"]

    unknown = plugin_server.call(method, f"/api/accounts/{STRANGER}{path}", key=bob, json=body)
    strangers = plugin_server.call(method, f"/api/accounts/{cookie}{path}", key=bob, json=body)
    owners = plugin_server.call(method, f"/api/accounts/{cookie}{path}", key=ada, json=body)

    assert (unknown.status_code, unknown.json()) == (404, {"error": "账号不存在"})
    assert (strangers.status_code, strangers.json()) == (403, {"error": message})
    assert owners.ok


@pytest.mark.parametrize(("method", "path", "body", "_message"), GOOD_BODIES)
def test_the_admin_may_do_it_all(plugin_server, ada, method, path, body, _message):
    cookie = plugin_server.add_account(ada)["cookie_id"]

    assert plugin_server.call(method, f"/api/accounts/{cookie}{path}", json=body).ok


def test_a_change_says_whether_anything_changed(plugin_server, ada):
    path = f"/api/accounts/{plugin_server.add_account(ada)['cookie_id']}"

    def said(part, **body):
        return plugin_server.call("PUT", f"{path}/{part}", key=ada, json=body).json()["message"]

    assert said("status", status=1) == "账号状态未变化"
    assert said("status", status=0) != "账号状态未变化"
    assert said("type", is_shared=0) == "账号类型未变化"
    assert said("type", is_shared=1) != "账号类型未变化"
    assert said("name", name="") == "账号名称已更新"
    assert plugin_server.call("DELETE", path, key=ada).json() == {"success": True, "message": "账号已删除"}
