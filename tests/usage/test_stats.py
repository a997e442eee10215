"""`GET /api/usage/stats`: whose lines are added up, which of them, and how."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.usage import rollup
from shared_accounts.usage.stats import series
from shared_accounts.usage.wanted import Wanted
from tests import factories
from tests.conftest import rows
from tests.usage.scene import HOUR, NOW, THIS_HOUR, line, log_lines

PATHS = ("/api/usage/stats", "/api/usage/requests/stats")


@pytest.fixture
def alice(session, client):
    return factories.user(username="alice")


@pytest.fixture
def bob(session, client):
    return factories.user(username="bob")


@pytest.fixture
def ask(sign_in, alice):
    browser = sign_in(alice)

    def ask(path=PATHS[0], **query):
        answer = browser.get(path, query_string=query)
        assert answer.status_code == 200, answer.json
        return answer.json["data"]

    return ask


def calls(groups, name):
    return {group[name]: group["total_requests"] for group in groups}


@pytest.mark.parametrize("path", PATHS)
def test_both_paths_show_what_the_original_dashboard_reads(ask, alice, path):
    line(NOW, user=alice, prompt_tokens=100, completion_tokens=20, cached_tokens=30, total_ms=100, cost=1_500_000)
    line(
        NOW,
        user=alice,
        outcome="failed",
        basis="released",
        cost=0,
        charged=0,
        prompt_tokens=None,
        completion_tokens=None,
        total_ms=300,
    )

    found = ask(path)

    assert {name: found[name] for name in ("total_requests", "success_requests", "failed_requests")} == {
        "total_requests": 2,
        "success_requests": 1,
        "failed_requests": 1,
    }
    assert (found["input_tokens"], found["output_tokens"], found["cached_tokens"], found["total_tokens"]) == (
        100,
        20,
        30,
        120,
    )
    assert (found["total_quota_consumed"], found["total_charged"], found["avg_duration_ms"]) == (
        "1.5000",
        "0.0009",
        200.0,
    )
    assert found["basis"] == {"measured": 1, "estimated": 0, "partial": 0, "released": 1}
    assert found["range"] == {"start_date": None, "end_date": None}
    assert calls(found["by_model"], "model_name") == {"m": 2}
    assert calls(found["by_outcome"], "outcome") == {"served": 1, "failed": 1}


def test_nothing_used_is_nothing_and_not_an_error(ask):
    found = ask()

    assert (found["total_requests"], found["total_tokens"], found["avg_duration_ms"], found["by_model"]) == (
        0,
        0,
        None,
        [],
    )


def test_users_see_their_own_alone(ask, alice, bob):
    line(NOW, user=alice)
    line(NOW, user=bob, contributor=alice)

    assert ask()["total_requests"] == 1


def test_contributors_see_what_others_used_and_who_but_not_with_which_key_or_program(ask, alice, bob):
    account = factories.account(alice, name="hers")
    key, _ = factories.api_key(bob, name="bob's secret project")
    line(NOW, user=bob, account=account, contributor=alice, api_key_id=key.id, client_app="secret-app")
    line(NOW, user=alice, account=account, contributor=alice)
    line(NOW, user=bob, account=99, contributor=bob)

    found = ask(scope="contributed")

    assert found["total_requests"] == 1
    assert [(one["user"], one["total_requests"]) for one in found["by_user"]] == [("bob", 1)]
    assert [(one["account"], one["total_requests"]) for one in found["by_account"]] == [("hers", 1)]
    assert "by_api_key" not in found
    assert "secret" not in str(found)


def test_everybodys_is_for_admins(ask, sign_in, alice, bob):
    line(NOW, user=alice)
    line(NOW, user=bob)
    admin = sign_in(factories.admin())

    assert admin.get(PATHS[0], query_string={"scope": "all"}).json["data"]["total_requests"] == 2
    assert admin.get(PATHS[0], query_string={"scope": "all", "user_id": bob.id}).json["data"]["total_requests"] == 1
    refused = sign_in(bob).get(PATHS[0], query_string={"scope": "all"})
    assert (refused.status_code, refused.json["error_code"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("counted", [False, True], ids=["from the log", "from the roll-ups"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, 6),
        ({"model": "rare"}, 1),
        ({"model_name": "rare"}, 1),
        ({"api_key_id": 7}, 1),
        ({"account_id": 8}, 1),
        ({"outcome": "failed"}, 2),
        ({"success": "true"}, 4),
        ({"success": "false"}, 2),
        ({"client_app": "cli"}, 1),
        ({"endpoint": "/v1/messages"}, 1),
        ({"model": "rare", "success": "true"}, 0),
        ({"model": ""}, 6),
    ],
)
def test_filters_choose_the_same_lines_from_the_log_and_from_the_roll_ups(ask, alice, counted, query, expected):
    at = THIS_HOUR - 5 * HOUR
    line(at, user=alice, model="rare", outcome="failed")
    line(at, user=alice, api_key_id=7)
    line(at, user=alice, account=8)
    line(at, user=alice, outcome="failed")
    line(at, user=alice, client_app="cli")
    line(at, user=alice, endpoint="/v1/messages")
    line(at, user=alice, state="open")
    if counted:
        close_what_is_open()
        assert rollup.count_next()

    assert ask(**query)["total_requests"] == expected


def close_what_is_open():
    db.session.execute(text("delete from usage_log where state = 'open'"))
    db.session.commit()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-03-01T10:15:00Z", None, 2),
        ("2026-03-01T10:15:00.000001Z", None, 1),
        ("2026-03-01T12:15:00+02:00", None, 2),
        ("2026-03-01T10:15:00", None, 2),
        ("2026-03-01 10:15:00", None, 2),
        (None, "2026-03-01T10:15:00Z", 1),
        ("2026-03-01", "2026-03-01", 3),
        (None, "2026-02-28", 0),
        ("2026-03-01T10:15:00Z", "2026-03-01T10:15:00Z", 0),
    ],
)
@pytest.mark.parametrize("counted", [False, True], ids=["from the log", "from the roll-ups"])
def test_a_time_without_a_zone_is_utc_and_a_day_as_an_end_is_part_of_it(ask, alice, counted, start, end, expected):
    for hour, minute in ((9, 59), (10, 15), (23, 59)):
        line(datetime(2026, 3, 1, hour, minute, tzinfo=UTC), user=alice)
    while counted and rollup.count_next():
        pass

    span = {name: value for name, value in (("start_date", start), ("end_date", end)) if value}

    assert ask(**span)["total_requests"] == expected


def test_an_offset_whose_plus_was_not_escaped_is_understood(sign_in, alice):
    line(datetime(2026, 3, 1, 10, 15, tzinfo=UTC), user=alice)

    answer = sign_in(alice).get("/api/usage/stats?start_date=2026-03-01T12:15:00+02:00").json["data"]

    assert answer["total_requests"] == 1
    assert answer["range"]["start_date"] == "2026-03-01T10:15:00+00:00"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"start_date": "yesterday"}, "start_date"),
        ({"end_date": "2026-13-01"}, "end_date"),
        ({"start_date": "0001-01-01"}, "start_date"),
        ({"end_date": "9999-12-31"}, "end_date"),
        ({"start_date": "2026-03-02", "end_date": "2026-03-01T00:00:00Z"}, "end_date"),
        ({"scope": "theirs"}, "scope"),
        ({"outcome": "excellent"}, "outcome"),
        ({"success": "perhaps"}, "success"),
        ({"api_key_id": "all"}, "api_key_id"),
        ({"account_id": "9" * 30}, "account_id"),
        ({"user_id": "1"}, "user_id"),
        ({"scope": "contributed", "api_key_id": "1"}, "api_key_id"),
        ({"scope": "contributed", "client_app": "cli"}, "client_app"),
        ({"model": "a\0b"}, "model"),
        ({"model": "m" * 201}, "model"),
    ],
)
@pytest.mark.parametrize("path", [*PATHS, "/api/usage/logs", "/api/usage/export"])
def test_what_cannot_be_used_is_refused_by_name(member, path, query, field):
    answer = member.get(path, query_string=query)

    assert answer.status_code == 422
    assert field in str(answer.json["errors"])


def test_an_interval_is_an_hour_or_a_day(member):
    answer = member.get(PATHS[0], query_string={"interval": "minute"})

    assert (answer.status_code, list(answer.json["errors"]["query"])) == (422, ["interval"])


def test_sums_over_time_are_by_hour_or_by_day_the_latest_last(ask, alice):
    for hour in (1, 1, 5, 30):
        line(datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour), user=alice)
    while rollup.count_next():
        pass

    by_hour, by_day = ask(interval="hour")["over_time"], ask(interval="day")["over_time"]

    assert [(one["at"], one["total_requests"]) for one in by_day] == [
        ("2026-03-01T00:00:00+00:00", 3),
        ("2026-03-02T00:00:00+00:00", 1),
    ]
    assert [one["total_requests"] for one in by_hour] == [2, 1, 1]
    assert ask()["over_time"] == []


def test_groups_say_what_they_have_in_common(ask, alice):
    key, _ = factories.api_key(alice, name="laptop")
    line(NOW, user=alice, api_key_id=key.id, client_app="cli")
    line(NOW, user=alice, contributor=alice)

    found = ask()

    assert {(one["api_key_id"], one["api_key"]) for one in found["by_api_key"]} == {(key.id, "laptop"), (None, None)}
    assert calls(found["by_client_app"], "client_app") == {"cli": 1, None: 1}
    assert calls(found["by_config_type"], "config_type") == {"shared": 1, "own": 1}


@pytest.mark.parametrize("are_counted", [False, True])
def test_it_matters_whose_account_served_to_who_asks_for_one_kind(ask, sign_in, alice, are_counted):
    for contributor, cost in ((alice, 1_000_000), (2, 2_000_000), (2, 2_000_000)):
        line(THIS_HOUR - HOUR, user=alice, contributor=contributor, cost=cost)
    if are_counted:
        rollup.count_next()
        db.session.commit()

    own, shared = ask(config_type="own"), ask(config_type="shared")
    assert (own["config_type"], own["total_quota_consumed"]) == ("own", "1.0000")
    assert (shared["config_type"], shared["total_quota_consumed"]) == ("shared", "4.0000")
    assert [len(ask("/api/usage/requests/logs", config_type=one)["logs"]) for one in ("own", "shared")] == [1, 2]
    everybodys = sign_in(factories.admin()).get(PATHS[0], query_string={"scope": "all", "config_type": "own"}).json
    assert everybodys["data"]["total_quota_consumed"] == "1.0000"
    refused = sign_in(alice).get(PATHS[0], query_string={"config_type": "kiro"})
    assert (refused.status_code, list(refused.json["errors"]["query"])) == (422, ["config_type"])


def test_with_and_without_a_time_the_sums_are_the_same(ask, alice):
    for hour in range(30):
        line(THIS_HOUR - hour * HOUR, user=alice, cost=hour)
    while rollup.count_next():
        pass

    always, in_time = ask(), ask(start_date="2000-01-01", end_date="2100-01-01")

    assert {**always, "range": None} == {**in_time, "range": None}
    assert always["total_requests"] == len(log_lines()) == 30


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
@pytest.mark.parametrize("interval", ["hour", "day", "month"])
def test_sums_by_interval_go_by_the_zones_clock_however_far_back_days_are_counted(session, zone, interval):
    begun = THIS_HOUR.replace(hour=0) - timedelta(days=40)
    for hours in range(0, 40 * 24, 13):
        line(begun + hours * HOUR, cost=hours)
    while rollup.count_next():
        pass
    assert len(rows("usage_days")) > 30

    expected = defaultdict(int)
    for one in log_lines():
        local = one["opened_at"].astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
        least = {"hour": {}, "day": {"hour": 0}, "month": {"hour": 0, "day": 1}}[interval]
        expected[local.replace(**least)] += one["cost"]

    found = series(Wanted(viewer=1, scope="all"), "model", interval, zone)
    assert {row.at: row.cost for row in found} == expected
    assert [row.cost for row in series(Wanted(viewer=1), "model")] == [sum(expected.values())]
