"""Quota by the Plug-in API's contract, and what the original dashboard shows: one suite for either pool."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.plugin.contract import (
    ACCOUNT,
    API,
    CALL,
    CONSUMED,
    MODEL_QUOTA,
    POOL,
    SHARED_POOL,
    STATS,
    Each,
    answered,
    count,
    done,
    flag,
    local_world,
    maybe,
    moment,
    plain,
    refusal,
    remote_world,
    told,
    whole,
    word,
    world,
)
from tests.plugin.provisioned import plugin
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["local_world", "plugin", "plugin_process", "plugin_server", "remote_world", "world"]

USAGE = "/api/usage"


def test_an_account_tells_what_is_left_of_each_model(world):
    ada = world.member()
    hers = world.add(ada)

    rows = answered(ada.get(f"{API}/accounts/{hers}/quotas"), told([MODEL_QUOTA]))

    assert world.MODEL in {row["model_name"] for row in rows}
    assert {row["cookie_id"] for row in rows} == {hers}
    assert {(row["quota"], row["status"], row["reset_time"]) for row in rows} == {("1.0000", 1, None)}
    assert len({row["quota_id"] for row in rows}) == len(rows)


def test_a_model_is_switched_off_and_on_again(world):
    ada = world.member()
    quotas = f"{API}/accounts/{world.add(ada)}/quotas"
    names = {row["model_name"] for row in ada.get(quotas).json["data"]}

    for status in (0, 0, 1, 1):
        changed = answered(
            ada.put(f"{quotas}/{world.MODEL}/status", json={"status": status}),
            done({"cookie_id": word, "model_name": word, "status": flag}),
        )
        assert (changed["model_name"], changed["status"]) == (world.MODEL, status)
        rows = answered(ada.get(quotas), told([MODEL_QUOTA]))
        assert {row["model_name"] for row in rows} == names
        assert {row["model_name"]: row["status"] for row in rows}[world.MODEL] == status


@pytest.mark.parametrize("name", ["no-such-model", "no/such/model", "没有", "a%00b", "..%2Fb"])
def test_a_model_that_an_account_never_served_is_unknown(world, name):
    ada = world.member()
    quotas = f"{API}/accounts/{world.add(ada)}/quotas"

    assert refusal(ada.put(f"{quotas}/{name}/status", json={"status": 0})) == (404, "NOT_FOUND")


def test_sharing_fills_a_pool_and_keeping_takes_it_back(world):
    ada = world.member()
    assert answered(ada.get(f"{API}/quotas/user"), told([POOL])) == []

    hers = world.add(ada, is_shared=1)
    pools = {row["model_name"]: row for row in answered(ada.get(f"{API}/quotas/user"), told([POOL]))}
    assert (pools[world.MODEL]["quota"], pools[world.MODEL]["max_quota"]) == ("2.0000", "2.0000")

    ada.put(f"{API}/accounts/{hers}/type", json={"is_shared": 0})
    pools = {row["model_name"]: row for row in answered(ada.get(f"{API}/quotas/user"), told([POOL]))}
    assert (pools[world.MODEL]["quota"], pools[world.MODEL]["max_quota"]) == ("0.0000", "0.0000")


def test_the_shared_pool_is_everybodys_and_consumption_ones_own(world):
    ada, eve = world.member(), world.member()
    world.add(ada, is_shared=1)
    world.add(eve, is_shared=1)
    hers = world.add(ada)
    world.consume(ada, hers)

    seen = [answered(one.get(f"{API}/quotas/shared-pool"), told(SHARED_POOL)) for one in (ada, eve)]

    shared = {row["model_name"]: row for row in seen[0]["quotas"]}[world.MODEL]
    assert (shared["total_quota"], shared["available_cookies"], shared["status"]) == ("2.0000", "2", 1)
    assert seen[0]["quotas"] == seen[1]["quotas"]
    assert [one["user_consumption"]["total_requests"] for one in seen] == [1, 0]
    consumed = seen[0]["user_consumption"]
    assert consumed["total_quota_consumed"] == consumed["private_quota_consumed"] > 0
    assert consumed["shared_quota_consumed"] == 0


def test_consumption_is_ones_own_newest_first_and_bounded(world):
    ada, eve = world.member(), world.member()
    hers = world.add(ada)
    for _ in range(3):
        world.consume(ada, hers)

    rows = answered(ada.get(f"{API}/quotas/consumption"), told([CALL]))

    assert [row["cookie_id"] for row in rows] == [hers] * 3
    times = [datetime.fromisoformat(row["consumed_at"]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert {row["is_shared"] for row in rows} == {0}
    newest = ada.get(f"{API}/quotas/consumption?limit=2").json["data"]
    assert [row["log_id"] for row in newest] == [row["log_id"] for row in rows[:2]]
    assert ada.get(f"{API}/quotas/consumption?limit=0&start_date=&end_date=").json["data"] == rows
    assert ada.get(f"{API}/quotas/consumption?limit=1000").json["data"] == rows
    assert eve.get(f"{API}/quotas/consumption").json["data"] == []


def test_dates_bound_consumption_and_a_day_includes_itself(world):
    ada = world.member()
    world.consume(ada, world.add(ada))
    now = datetime.now(UTC)
    today, tomorrow = (now - timedelta(minutes=5)).date().isoformat(), (now + timedelta(days=1)).date().isoformat()

    def found(**query):
        answer = ada.get(f"{API}/quotas/consumption", query_string=query)
        return len(answered(answer, told([CALL])))

    assert found(start_date=today, end_date=now.date().isoformat()) == 1
    assert found(start_date=tomorrow) == 0
    assert found(start_date=(now - timedelta(hours=1)).isoformat()) == 1
    assert found(end_date=(now - timedelta(hours=1)).isoformat()) == 0
    assert found(start_date=(now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")) == 0
    assert found(end_date=(now + timedelta(hours=10)).astimezone().isoformat()) == 1


@pytest.mark.parametrize("path", [f"{API}/quotas/consumption", f"{USAGE}/consumption"])
def test_a_bad_query_names_its_field(world, path):
    ada = world.member()
    bad = {
        "limit": ["-1", "1001", "many", "1.5"],
        "start_date": ["yesterday", "2025-13-01", "0001-01-01T00:00:00+14:00"],
        "end_date": ["9999-12-31", "soon"],
    }

    for field, values in bad.items():
        for value in values:
            answer = ada.get(path, query_string={field: value})
            assert answer.status_code == 400, (field, value)
            assert list(answer.json["errors"]["query"]) == [field]
            assert value not in answer.json["message"]
    answer = ada.get(path, query_string={"start_date": "2025-11-30", "end_date": "2025-11-28"})
    assert (answer.status_code, list(answer.json["errors"]["query"])) == (400, ["end_date"])


def test_sums_for_a_model_are_texts_and_those_of_nothing_null(world):
    ada = world.member()
    hers = world.add(ada)
    for _ in range(3):
        world.consume(ada, hers)

    sums = answered(ada.get(f"{API}/quotas/consumption/stats/{world.MODEL}"), told(STATS))

    assert sums["total_requests"] == "3"
    assert Decimal(sums["total_quota_consumed"]) == 3 * Decimal(sums["avg_quota_consumed"]) > 0
    assert datetime.now(UTC) - datetime.fromisoformat(sums["last_used_at"]) < timedelta(minutes=5)
    for unused in ("unused", "org/unused"):
        nothing = answered(ada.get(f"{API}/quotas/consumption/stats/{unused}"), told(STATS))
        nulls = dict.fromkeys(("total_quota_consumed", "avg_quota_consumed", "last_used_at"))
        assert nothing == {"total_requests": "0", **nulls}
    assert ada.get(f"{API}/quotas/consumption/stats/a%00b").status_code == 404


def test_the_dashboard_shows_quotas_and_accounts(world):
    ada = world.member()
    ids = [world.add(ada), world.add(ada, is_shared=1)]

    quotas = answered(ada.get(f"{USAGE}/quotas"), told({"user_quota": [POOL], "shared_pool_quota": SHARED_POOL}))
    accounts = answered(ada.get(f"{USAGE}/accounts"), told([{**ACCOUNT, "quotas": [MODEL_QUOTA]}]))

    assert quotas["user_quota"] == ada.get(f"{API}/quotas/user").json["data"]
    assert quotas["shared_pool_quota"] == ada.get(f"{API}/quotas/shared-pool").json["data"]
    assert [row["cookie_id"] for row in accounts] == ids[::-1]
    for row in accounts:
        assert row["quotas"]
        assert {one["cookie_id"] for one in row["quotas"]} == {row["cookie_id"]}


def test_the_dashboard_counts_accounts_and_calculates_with_numbers(world):
    ada = world.member()
    paused = world.add(ada, is_shared=1)
    world.add(ada, is_shared=1)
    world.add(ada)
    ada.put(f"{API}/accounts/{paused}/status", json={"status": 0})
    figures = {"current_quota": plain, "max_quota": plain, "last_recovered_at": moment}
    shared = {
        "total_quota": plain,
        "available_cookies": count,
        "earliest_reset_time": maybe(moment),
        "status": flag,
    }

    summary = answered(
        ada.get(f"{USAGE}/summary"),
        told(
            {
                "accounts": {"total": whole, "active": whole, "inactive": whole},
                "user_quotas": Each(figures),
                "shared_pool": SHARED_POOL,
            }
        ),
    )
    stats = answered(
        ada.get(f"{USAGE}/shared-pool/stats"),
        told(
            {
                "accounts": {"total_shared": whole, "active_shared": whole, "inactive_shared": whole},
                "quotas_by_model": Each(shared),
                "user_consumption": CONSUMED,
                "note": word,
            }
        ),
    )

    assert summary["accounts"] == {"total": 3, "active": 2, "inactive": 1}
    assert summary["user_quotas"][world.MODEL]["max_quota"] > 0
    assert stats["accounts"] == {"total_shared": 2, "active_shared": 1, "inactive_shared": 1}
    assert stats["quotas_by_model"][world.MODEL]["total_quota"] == 1.0


def test_the_dashboards_list_of_calls_is_short_unless_told(world):
    ada = world.member()
    hers = world.add(ada)
    for _ in range(51):
        world.consume(ada, hers)

    assert len(answered(ada.get(f"{USAGE}/consumption"), told([CALL]))) == 50
    assert len(answered(ada.get(f"{USAGE}/consumption?limit=51"), told([CALL]))) == 51
