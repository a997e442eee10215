"""The client and a whole Plug-in API server: every endpoint, its errors as it words them, and its accidents."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from shared_accounts.plugin import reading, refusals
from shared_accounts.plugin.client import PluginAdmin, PluginRefused, PluginUnreachable, PluginUser
from shared_accounts.plugin.connection import Limits
from shared_accounts.plugin.failures import Kind

MODEL = "gemini-2.5-flash"


@pytest.fixture
def connection(connect, plugin_server):
    return connect(plugin_server.url, naive_is_utc=True)


@pytest.fixture
def admin(connection, plugin_server):
    return PluginAdmin(connection, plugin_server.admin_key)


@pytest.fixture
def ada(admin):
    return admin.create_user("ada")


@pytest.fixture
def her(connection, ada):
    return PluginUser(connection, ada.api_key)


def _callback(user: PluginUser, *, who: str, is_shared: int = 0) -> str:
    """Begin to add an account; returns the address its owner would paste."""
    begun = user.oauth_authorize(is_shared)["data"]
    state = parse_qs(urlsplit(begun["auth_url"]).query)["state"][0]
    assert state == begun["state"]
    return f"http://localhost:42532/oauth-callback?state={state}&code={who}"


def _add(user: PluginUser, who: str = "ada", *, is_shared: int = 0) -> str:
    """Add an account; returns its id."""
    cookie_id: str = user.oauth_callback(_callback(user, who=who, is_shared=is_shared))["data"]["cookie_id"]
    return cookie_id


def test_a_users_life(admin, connection, plugin_server):
    ada = admin.create_user("ada")
    assert PluginUser(connection, ada.api_key).me()["data"]["user_id"] == ada.user_id
    assert [(user["user_id"], user["name"]) for user in admin.list_users()] == [(ada.user_id, "ada")]

    renewed = admin.regenerate_key(ada.user_id)
    assert renewed.user_id == ada.user_id
    assert renewed.api_key != ada.api_key
    assert _refused(PluginUser(connection, ada.api_key).me).status == 401

    her = PluginUser(connection, renewed.api_key)
    assert her.set_preference(ada.user_id, 1)["data"]["prefer_shared"] == 1
    assert her.me()["data"]["prefer_shared"] == 1

    assert admin.set_status(ada.user_id, 0)["data"]["status"] == 0
    assert _refused(her.me).status == 401

    assert admin.delete_user(ada.user_id)["success"]
    assert plugin_server.users_named("ada") == 0
    assert _refused(admin.delete_user, ada.user_id).status == 404


def test_the_operators_key_goes_nowhere_but_to_users(admin, her, plugin_server):
    admin.list_users()
    _add(her)
    her.list_accounts()

    asked = [one for one in plugin_server.seen() if one["credential"] == "admin"]
    assert {one["path"] for one in asked} == {"/api/users"}


def test_an_accounts_life(her):
    cookie_id = _add(her, is_shared=1)
    (listed,) = her.list_accounts()["data"]
    assert (listed["cookie_id"], listed["is_shared"], listed["status"]) == (cookie_id, 1, 1)
    assert isinstance(listed["expires_at"], str)

    her.set_account_name(cookie_id, "我的 account")
    her.set_account_type(cookie_id, 0)
    her.set_account_status(cookie_id, 0)
    her.set_model_status(cookie_id, MODEL, 0)

    account = her.get_account(cookie_id)["data"]
    assert (account["name"], account["is_shared"], account["status"]) == ("我的 account", 0, 0)
    statuses = {row["model_name"]: row["status"] for row in her.account_quotas(cookie_id)["data"]}
    assert statuses.pop(MODEL) == 0
    assert set(statuses.values()) == {1}

    assert "data" not in her.delete_account(cookie_id)
    assert her.list_accounts()["data"] == []


def test_numbers_stay_strings_and_times_get_their_zone(her, plugin_server):
    cookie_id = _add(her, is_shared=1)
    plugin_server.control(fractions={MODEL: "0.25"})

    rows = {row["model_name"]: row for row in her.account_quotas(cookie_id)["data"]}
    pools = {row["model_name"]: row for row in her.user_quotas()["data"]}
    shared = {row["model_name"]: row for row in her.shared_pool()["data"]["quotas"]}

    assert rows[MODEL]["quota"] == "0.2500"
    assert datetime.fromisoformat(rows[MODEL]["reset_time"]).tzinfo
    assert rows["claude-sonnet-4-5"]["reset_time"] is None
    assert reading.number(pools[MODEL]["max_quota"]) == 2
    assert (shared[MODEL]["total_quota"], shared[MODEL]["available_cookies"]) == ("0.2500", "1")
    assert datetime.fromisoformat(shared[MODEL]["earliest_reset_time"]).tzinfo


def test_both_shapes_of_the_shared_pool_come_out_as_one(her, plugin_server):
    _add(her, is_shared=1)
    newer = her.shared_pool()["data"]
    plugin_server.control(old_shared_pool=True)

    older = her.shared_pool()["data"]

    assert older["user_consumption"] == newer["user_consumption"]
    assert [row["model_name"] for row in older["quotas"]] == [row["model_name"] for row in newer["quotas"]]


def test_images_are_made_and_what_they_cost_is_told(her, plugin_server):
    _add(her)
    plugin_server.control(image_bytes=3_000_000)
    model = "gemini-3-pro-image"

    made = her.generate_content(model, {"contents": [{"role": "user", "parts": [{"text": "a cat"}]}]})

    parts = made["candidates"][0]["content"]["parts"]
    assert any(len(part.get("inlineData", {}).get("data", "")) >= 3_000_000 for part in parts)
    assert her.consumption_stats(model)["data"]["total_requests"] == "1"
    (line,) = her.consumption(limit=5, start_date="2020-01-01T00:00:00Z")["data"]
    assert line["model_name"] == model
    assert her.consumption(end_date="2020-01-01")["data"] == []
    assert MODEL in {row["id"] for row in her.models()["data"]}


REFUSALS = [
    (lambda her: her.get_account("nobody's"), 404, Kind.OTHER, 404),
    (lambda her: her.set_account_status("c", 7), 400, Kind.OTHER, 400),
    (lambda her: her.oauth_callback(""), 400, Kind.OTHER, 400),
    (lambda her: her.oauth_callback("http://l/?state=x&code=y"), 500, Kind.STATE, 400),
    (lambda her: her.oauth_callback(_callback(her, who="invalid-grant")), 500, Kind.GRANT, 422),
    (lambda her: her.oauth_callback(_callback(her, who="ineligible")), 500, Kind.INELIGIBLE, 422),
    (lambda her: her.set_preference("somebody-else", 1), 403, Kind.OTHER, 403),
    (lambda her: her.consumption(limit=-1), 500, Kind.OTHER, 502),
    (lambda her: her.models(), 500, Kind.NO_ACCOUNT, 503),
    (lambda her: her.generate_content("m", {"contents": []}), 400, Kind.OTHER, 400),
    (lambda her: her.generate_content("m", {"contents": [{}]}), 500, Kind.NO_ACCOUNT, 503),
]


@pytest.mark.parametrize(("asks", "status", "kind", "ours"), REFUSALS)
def test_its_refusals_are_recognised(her, asks, status, kind, ours):
    refused = _refused(asks, her)

    assert (refused.status, refused.kind) == (status, kind)
    assert refusals.explain(refused).status == ours


def test_one_login_cannot_be_added_twice_nor_anothers_account_be_touched(admin, connection, her):
    cookie_id = _add(her, "the-same")
    bob = PluginUser(connection, admin.create_user("bob").api_key)

    assert _refused(_add, bob, "the-same").kind is Kind.DUPLICATE
    assert _refused(bob.delete_account, cookie_id).status == 403
    assert _refused(her.set_model_status, cookie_id, "no-such-model", 1).kind is Kind.NO_ROW


def test_what_is_used_up_is_recognised(her, plugin_server):
    _add(her)
    plugin_server.control(fractions=dict.fromkeys(["gemini-3-pro-image"], 0))

    refused = _refused(her.generate_content, "gemini-3-pro-image", {"contents": [{"role": "user", "parts": []}]})

    assert refused.kind is Kind.NO_QUOTA
    assert refusals.explain(refused).status == 429


def test_unknown_users_and_wrong_operators_are_told_apart(admin, connection, her):
    assert _refused(admin.regenerate_key, "00000000-0000-0000-0000-000000000000").kind is Kind.NO_USER
    assert _refused(PluginAdmin(connection, "sk-not-the-operator").list_users).status == 401
    assert refusals.explain(_refused(PluginUser(connection, "sk-nobody").me)).code == "PLUGIN_AUTH_FAILED"


def test_a_lost_answer_leaves_one_user_not_two(admin, plugin_server):
    admin.list_users()  # so that a connection is kept
    plugin_server.misbehave("/api/users", method="POST", lose_answer=True)

    with pytest.raises(PluginUnreachable) as failure:
        admin.create_user("ada")

    assert not failure.value.timed_out
    assert plugin_server.users_named("ada") == 1


@pytest.mark.parametrize(
    ("accident", "status", "code"),
    [
        ({"status": 500, "html": True}, 502, "PLUGIN_FAILED"),
        ({"status": 502, "html": True}, 502, "PLUGIN_FAILED"),
        ({"status": 413, "body": {"error": "请求体过大"}}, 413, "BODY_TOO_LARGE"),
        ({"status": 429, "body": {"error": "slow"}, "headers": {"Retry-After": "9"}}, 429, "PLUGIN_LIMITED"),
        ({"status": 302, "body": {}, "headers": {"Location": "/api/user/me"}}, 502, "PLUGIN_UNREACHABLE"),
        ({"status": 200, "html": True}, 502, "PLUGIN_UNREACHABLE"),
        ({"refuse": True, "times": 3}, 502, "PLUGIN_UNREACHABLE"),
    ],
)
def test_its_accidents_become_refusals_of_ours(her, plugin_server, accident, status, code):
    plugin_server.misbehave("/api/accounts", **accident)

    with pytest.raises((PluginRefused, PluginUnreachable)) as failure:
        her.list_accounts()

    ours = refusals.explain(failure.value)
    assert (ours.status, ours.code) == (status, code)


def test_a_stall_is_a_504_and_the_next_question_is_answered(connect, ada, plugin_server):
    hasty = connect(plugin_server.url, management=Limits(gap=1.0, total=30.0, longest=10_000))
    her = PluginUser(hasty, ada.api_key)
    plugin_server.misbehave("/api/accounts", stall=3)

    with pytest.raises(PluginUnreachable) as failure:
        her.list_accounts()

    assert refusals.explain(failure.value).status == 504
    assert PluginUser(connect(plugin_server.url), ada.api_key).list_accounts()["data"] == []


def _refused(ask, *given) -> PluginRefused:
    with pytest.raises(PluginRefused) as refused:
        ask(*given)
    return refused.value
