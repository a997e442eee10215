"""What accounts have left, what sharing earns, what is consumed; with the holes the original has."""

from __future__ import annotations

import re

import pytest

MODEL = "gemini-2.5-flash"
CLAUDE = {"claude-sonnet-4-5", "claude-sonnet-4-5-thinking", "claude-opus-4-5-thinking"}


@pytest.fixture
def ada(plugin_server):
    return plugin_server.create_user("ada")["api_key"]


@pytest.fixture
def bob(plugin_server):
    return plugin_server.create_user("bob")["api_key"]


@pytest.fixture
def ask(plugin_server):
    """Ask a model something, whole."""

    def send(key, model=MODEL, text="Hello"):
        body = {"model": model, "stream": False, "messages": [{"role": "user", "content": text}]}
        return plugin_server.call("POST", "/v1/chat/completions", key=key, json=body)

    return send


@pytest.fixture
def told(plugin_server):
    """The data of an answer."""

    def get(key, path, **query):
        answer = plugin_server.call("GET", path, key=key, params=query)
        assert answer.ok, answer.text
        return answer.json()["data"]

    return get


def pools(told, key):
    return {row["model_name"]: (row["quota"], row["max_quota"]) for row in told(key, "/api/quotas/user")}


def test_an_accounts_quotas_are_strings_least_first_with_reset_times_of_no_zone(plugin_server, ada, ask, told):
    cookie = plugin_server.add_account(ada)["cookie_id"]
    ask(ada)

    rows = told(ada, f"/api/accounts/{cookie}/quotas")

    assert [rows[0]["model_name"], rows[0]["quota"]] == [MODEL, "0.9900"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", rows[0]["reset_time"])
    assert rows[1]["reset_time"] is None
    assert {row["quota"] for row in rows[1:]} == {"1.0000"}
    assert list(rows[0]) == [
        "quota_id",
        "cookie_id",
        "model_name",
        "reset_time",
        "quota",
        "status",
        "last_fetched_at",
        "created_at",
    ]


def test_one_model_can_be_switched_off(plugin_server, ada, ask):
    cookie = plugin_server.add_account(ada)["cookie_id"]
    path = f"/api/accounts/{cookie}/quotas/{MODEL}/status"

    off = plugin_server.call("PUT", path, key=ada, json={"status": 0}).json()
    missing = plugin_server.call("PUT", path.replace(MODEL, "org%2Fother"), key=ada, json={"status": 0})

    assert off["data"] == {"cookie_id": cookie, "model_name": MODEL, "status": 0}
    assert ask(ada).status_code == 500
    assert ask(ada, "gemini-2.5-pro").ok
    assert missing.status_code == 500
    assert missing.json()["error"].startswith("配额记录不存在")


def test_what_was_ever_exhausted_stays_off_until_it_is_switched_on(plugin_server, ada, ask, told):
    cookie = plugin_server.add_account(ada)["cookie_id"]

    plugin_server.control(fractions={MODEL: 0})
    plugin_server.control(fractions={MODEL: 1})

    row = next(row for row in told(ada, f"/api/accounts/{cookie}/quotas") if row["model_name"] == MODEL)
    assert (row["quota"], row["status"]) == ("1.0000", 0)
    assert ask(ada).status_code == 500
    plugin_server.call("PUT", f"/api/accounts/{cookie}/quotas/{MODEL}/status", key=ada, json={"status": 1})
    assert ask(ada).ok


def test_sharing_earns_twice_what_is_left_and_two_of_room(plugin_server, ada, told):
    plugin_server.control(fractions={MODEL: "0.75"})

    plugin_server.add_account(ada, is_shared=1)

    mine = pools(told, ada)
    assert mine[MODEL] == ("1.5000", "2.0000")
    assert mine["gpt-oss-120b-medium"] == ("2.0000", "2.0000")
    assert list(told(ada, "/api/quotas/user")[0]) == [
        "pool_id",
        "user_id",
        "model_name",
        "quota",
        "max_quota",
        "last_recovered_at",
        "last_updated_at",
    ]
    assert [row["quota"] for row in told(ada, "/api/quotas/user")][-1] == "1.5000"


@pytest.mark.parametrize(
    ("method", "part", "there", "back"),
    [("PUT", "/status", {"status": 0}, {"status": 1}), ("PUT", "/type", {"is_shared": 0}, {"is_shared": 1})],
)
def test_toggling_fills_the_pool_again(plugin_server, ada, bob, ask, told, method, part, there, back):
    plugin_server.add_account(bob, is_shared=1)
    cookie = plugin_server.add_account(ada, is_shared=1)["cookie_id"]
    for _ in range(3):
        ask(ada)
    spent = pools(told, ada)[MODEL]

    plugin_server.call(method, f"/api/accounts/{cookie}{part}", key=ada, json=there)
    between = pools(told, ada)[MODEL]
    plugin_server.call(method, f"/api/accounts/{cookie}{part}", key=ada, json=back)

    assert spent == ("1.9700", "2.0000")
    assert between == ("0.0000", "0.0000")
    assert pools(told, ada)[MODEL] == ("2.0000", "2.0000")


def test_withdrawing_never_goes_below_zero(plugin_server, ada, told):
    cookie = plugin_server.add_account(ada, is_shared=1)["cookie_id"]
    plugin_server.call("PUT", f"/api/accounts/{cookie}/status", key=ada, json={"status": 0})

    plugin_server.call("DELETE", f"/api/accounts/{cookie}", key=ada)

    assert set(pools(told, ada).values()) == {("0.0000", "0.0000")}


def test_a_claude_request_debits_its_group_and_gpt_oss_one_more(plugin_server, ada, ask, told):
    plugin_server.add_account(ada, is_shared=1)

    ask(ada, "claude-sonnet-4-5")
    after_claude = {model for model, (quota, _) in pools(told, ada).items() if quota != "2.0000"}
    ask(ada, "gpt-oss-120b-medium")
    after_oss = {model for model, (quota, _) in pools(told, ada).items() if quota != "2.0000"}

    assert after_claude == CLAUDE
    assert after_oss == CLAUDE | {"gpt-oss-120b-medium"}


def test_dedicated_accounts_come_first_unless_shared_ones_are_preferred(plugin_server, ada, ask, told):
    shared = plugin_server.add_account(ada, is_shared=1)["cookie_id"]
    dedicated = plugin_server.add_account(ada)["cookie_id"]
    me = told(ada, "/api/user/me")["user_id"]

    ask(ada)
    plugin_server.call("PUT", f"/api/users/{me}/preference", key=ada, json={"prefer_shared": 1})
    ask(ada)

    assert [one["cookie_id"] for one in told(ada, "/api/quotas/consumption")] == [shared, dedicated]
    assert pools(told, ada)[MODEL] == ("1.9900", "2.0000")


def test_a_pool_may_fall_below_zero(plugin_server, ada, ask, told):
    plugin_server.control(fractions={MODEL: "0.0025"})
    plugin_server.add_account(ada, is_shared=1)
    plugin_server.control(fractions={MODEL: "0.5"})

    ask(ada)

    assert pools(told, ada)[MODEL] == ("-0.0050", "2.0000")
    assert ask(ada).json() == {"error": f"所有账号对模型 {MODEL} 的配额已耗尽或用户共享配额不足"}


def test_the_shared_pool_is_an_object_of_strings_and_numbers(plugin_server, ada, bob, ask, told):
    for key in (ada, bob):
        plugin_server.add_account(key, is_shared=1)
    plugin_server.add_account(ada)
    ask(ada)
    ask(bob)

    pool = told(bob, "/api/quotas/shared-pool")

    row = next(row for row in pool["quotas"] if row["model_name"] == MODEL)
    assert row["total_quota"] == "1.9900"
    assert row["available_cookies"] == "2"
    assert row["status"] == 1
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}", row["earliest_reset_time"])
    assert pool["user_consumption"] == {
        "total_requests": 1,
        "total_quota_consumed": 0.01,
        "shared_quota_consumed": 0.01,
        "private_quota_consumed": 0.0,
    }


def test_the_shared_pool_was_once_a_bare_list(plugin_server, ada, told):
    plugin_server.add_account(ada, is_shared=1)
    plugin_server.control(old_shared_pool=True)

    rows = told(ada, "/api/quotas/shared-pool")

    assert isinstance(rows, list)
    assert rows[0]["available_cookies"] == 1
    assert rows[0]["earliest_reset_time"] is None


def test_consumption_is_told_newest_first_and_whole_unless_limited(plugin_server, ada, ask, told):
    plugin_server.add_account(ada)
    for _ in range(4):
        ask(ada)

    rows = told(ada, "/api/quotas/consumption")

    assert [row["quota_before"] for row in rows] == ["0.9700", "0.9800", "0.9900", "1.0000"]
    assert {row["quota_consumed"] for row in rows} == {"0.0100"}
    assert {row["is_shared"] for row in rows} == {0}
    for limit, count in (("2", 2), ("2 pages", 2), ("many", 4), ("0", 4)):
        assert len(told(ada, "/api/quotas/consumption", limit=limit)) == count


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"start_date": "2000-01-01"}, 1),
        ({"start_date": "2999-01-01"}, 0),
        ({"end_date": "2999-01-01T00:00:00Z"}, 1),
        ({"end_date": "2000-01-01"}, 0),
    ],
)
def test_consumption_has_a_beginning_and_an_end(plugin_server, ada, ask, told, query, count):
    plugin_server.add_account(ada)
    ask(ada)

    assert len(told(ada, "/api/quotas/consumption", **query)) == count


def test_an_end_date_leaves_that_day_out(plugin_server, ada, ask, told):
    plugin_server.add_account(ada)
    ask(ada)
    (row,) = told(ada, "/api/quotas/consumption")

    assert told(ada, "/api/quotas/consumption", end_date=row["consumed_at"][:10]) == []


@pytest.mark.parametrize("query", [{"limit": "-1"}, {"start_date": "soon"}, {"end_date": "2025-13-01"}])
def test_a_negative_limit_and_a_bad_date_are_a_500(plugin_server, ada, query):
    assert plugin_server.call("GET", "/api/quotas/consumption", key=ada, params=query).status_code == 500


def test_sums_are_strings_and_of_nothing_null(plugin_server, ada, ask, told):
    plugin_server.add_account(ada)
    none = told(ada, f"/api/quotas/consumption/stats/{MODEL}")
    for _ in range(2):
        ask(ada)

    some = told(ada, f"/api/quotas/consumption/stats/{MODEL}")

    assert none == {
        "total_requests": "0",
        "total_quota_consumed": None,
        "avg_quota_consumed": None,
        "last_used_at": None,
    }
    assert (some["total_requests"], some["total_quota_consumed"]) == ("2", "0.0200")
    assert float(some["avg_quota_consumed"]) == 0.01
    assert some["last_used_at"].endswith("Z")


def test_a_deleted_account_takes_its_history_along(plugin_server, ada, ask, told):
    cookie = plugin_server.add_account(ada)["cookie_id"]
    ask(ada)
    assert told(ada, "/api/accounts")[0]["last_used_at"]

    plugin_server.call("DELETE", f"/api/accounts/{cookie}", key=ada)

    assert told(ada, "/api/quotas/consumption") == []


def test_what_is_low_is_never_told(plugin_server, ada):
    answer = plugin_server.call("GET", "/api/quotas/low", params={"threshold": "0.1"})

    assert answer.status_code == 500
    assert answer.json() == {"error": "column a.user_uuid does not exist"}
    assert plugin_server.call("GET", "/api/quotas/low", key=ada).status_code == 403
