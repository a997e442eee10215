from __future__ import annotations

import pytest

from tests import factories
from tests.conftest import rows

LEVELS = "/api/admin/trust-levels"
FREE = {"may_share": True, "max_keys": 50, "requests_per_minute": None, "max_concurrent": None}


def test_there_are_five_levels_without_limits_to_begin_with(admin):
    assert admin.get(LEVELS).json == [{"level": level, **FREE} for level in range(5)]


@pytest.mark.parametrize(
    "change",
    [
        {"may_share": False},
        {"max_keys": 0},
        {"max_keys": 1000},
        {"requests_per_minute": 1},
        {"max_concurrent": 3},
        {"may_share": False, "max_keys": 1, "requests_per_minute": 60, "max_concurrent": 2},
    ],
)
def test_a_limit_is_changed_for_its_level_alone(admin, boss, acts, change):
    answer = admin.patch(f"{LEVELS}/2", json=change)

    assert answer.json == {"level": 2, **FREE, **change}
    untouched = [{"level": level, **FREE} for level in (0, 1, 3, 4)]
    assert [one for one in admin.get(LEVELS).json if one["level"] != 2] == untouched
    (entry,) = acts()
    assert (entry["act"], entry["actor_id"], entry["target"]) == ("trust_level.changed", boss.id, "trust_level:2")
    assert entry["details"] == change
    assert (entry["address"], entry["request_id"]) == ("127.0.0.1", answer.headers["x-request-id"])


def test_null_lifts_a_limit_and_what_stays_as_it_is_leaves_no_entry(admin, acts):
    admin.patch(f"{LEVELS}/0", json={"requests_per_minute": 5, "max_concurrent": 5})

    answer = admin.patch(f"{LEVELS}/0", json={"requests_per_minute": None, "max_concurrent": 5})
    admin.patch(f"{LEVELS}/0", json={"max_concurrent": 5})
    admin.patch(f"{LEVELS}/0", json={})

    assert (answer.json["requests_per_minute"], answer.json["max_concurrent"]) == (None, 5)
    assert [entry["details"] for entry in acts()][1:] == [{"requests_per_minute": None}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"may_share": None}, "may_share"),
        ({"may_share": "yes"}, "may_share"),
        ({"max_keys": -1}, "max_keys"),
        ({"max_keys": 1001}, "max_keys"),
        ({"max_keys": None}, "max_keys"),
        ({"max_keys": "5"}, "max_keys"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": -5}, "requests_per_minute"),
        ({"requests_per_minute": 1.5}, "requests_per_minute"),
        ({"requests_per_minute": 1_000_001}, "requests_per_minute"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"max_concurrent": True}, "max_concurrent"),
        ({"level": 3}, "level"),
        ({"max_keys": 3, "max_concurrent": 0}, "max_concurrent"),
    ],
)
def test_a_limit_that_cannot_be_is_named_and_nothing_is_changed(admin, body, field):
    answer = admin.patch(f"{LEVELS}/0", json=body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]
    assert admin.get(LEVELS).json[0] == {"level": 0, **FREE}
    assert rows("audit_log") == []


def test_the_next_key_is_refused_where_the_level_allows_no_more(admin, member):
    admin.patch(f"{LEVELS}/0", json={"max_keys": 1})

    assert member.post("/api/api-keys").status_code == 201
    refused = member.post("/api/api-keys")

    assert refused.status_code == 422
    assert "1 keys" in refused.json["detail"]


def test_sharing_is_refused_before_the_credential_is_tried(admin, member):
    offer = {"name": "Mine", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-upstream-0123456789", "models": ["m"]}
    admin.patch(f"{LEVELS}/0", json={"may_share": False})

    shared = member.post("/api/accounts", json={**offer, "sharing": "shared"})
    dedicated = member.post("/api/accounts", json={**offer, "sharing": "dedicated"})

    assert (shared.status_code, shared.json["error_code"]) == (403, "TRUST_LEVEL_TOO_LOW")
    assert dedicated.status_code == 422  # it was tried: nothing answers there


def test_whoever_rises_shares(admin, sign_in):
    alice = factories.user()
    hers = sign_in(alice)
    offer = {"name": "Mine", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-upstream-0123456789"}
    admin.patch(f"{LEVELS}/0", json={"may_share": False})

    admin.patch(f"/api/admin/users/{alice.id}", json={"trust_level": 1})

    assert hers.post("/api/accounts", json={**offer, "sharing": "shared"}).status_code == 422  # it was tried
