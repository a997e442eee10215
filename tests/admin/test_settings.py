from __future__ import annotations

import pytest

from tests import factories
from tests.conftest import rows

SETTINGS = "/api/admin/settings"
DEFAULTS = {
    "registration": "closed",
    "sso_registration": "true",
    "require_admin_2fa": "false",
    "quota_capacity_per_account": "2",
    "quota_refill_per_account": "0.4",
    "max_account_worth": "1",
}


def sign_up(client):
    return client.post("/api/auth/register", json={"username": "alice", "password": factories.PASSWORD})


def values(answer):
    return {name: one["value"] for name, one in answer.json.items()}


def test_the_settings_are_those_of_the_environment_until_somebody_changes_them(admin):
    answer = admin.get(SETTINGS)

    expected = {name: {"value": it, "started_with": it, "changed_at": None} for name, it in DEFAULTS.items()}
    assert answer.json == expected


@pytest.mark.parametrize(
    ("name", "sent", "value"),
    [
        ("registration", "invite", "invite"),
        ("sso_registration", False, "false"),
        ("sso_registration", "no", "false"),
        ("require_admin_2fa", "true", "true"),
        ("quota_capacity_per_account", 3, "3"),
        ("quota_capacity_per_account", 2.5, "2.5"),
        ("quota_capacity_per_account", 0, "0"),
        ("quota_capacity_per_account", 1_000_000, "1000000"),
        ("quota_refill_per_account", "0.000001", "0.000001"),
        ("quota_refill_per_account", "1e1", "10"),
        ("max_account_worth", " 20.50 ", "20.5"),
    ],
)
def test_a_change_takes_hold_and_is_spelt_as_in_the_environment(admin, boss, acts, name, sent, value):
    answer = admin.patch(SETTINGS, json={name: sent})

    assert answer.status_code == 200
    assert values(answer) == {**DEFAULTS, name: value}
    assert answer.json[name]["started_with"] == DEFAULTS[name]
    assert answer.json[name]["changed_at"].endswith("+00:00")
    (entry,) = acts()
    assert (entry["act"], entry["actor_id"], entry["details"]) == ("settings.changed", boss.id, {name: value})
    assert (entry["address"], entry["request_id"]) == ("127.0.0.1", answer.headers["x-request-id"])


def test_null_gives_a_setting_back_to_the_environment(admin, acts):
    admin.patch(SETTINGS, json={"registration": "open", "max_account_worth": 2})

    answer = admin.patch(SETTINGS, json={"registration": None, "sso_registration": None})

    assert values(answer) == {**DEFAULTS, "max_account_worth": "2"}
    assert answer.json["registration"]["changed_at"] is None
    assert acts()[-1]["details"] == {"registration": None, "sso_registration": None}


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("registration", "perhaps"),
        ("registration", "OPEN"),
        ("registration", True),
        ("registration", ""),
        ("registration", ["open"]),
        ("registration", {"value": "open"}),
        ("sso_registration", "maybe"),
        ("sso_registration", 2),
        ("require_admin_2fa", "x" * 101),
        ("quota_capacity_per_account", -1),
        ("quota_capacity_per_account", "NaN"),
        ("quota_capacity_per_account", "Infinity"),
        ("quota_capacity_per_account", "1e999999"),
        ("quota_capacity_per_account", "two"),
        ("quota_capacity_per_account", True),
        ("quota_capacity_per_account", 1_000_001),
        ("quota_refill_per_account", "1e18"),
        ("max_account_worth", 0),
        ("max_account_worth", "0.0000001"),
        ("login_limit", "1 per day"),
        ("secret_key", "x"),
        ("REGISTRATION", "open"),
    ],
)
def test_one_bad_value_is_named_and_nothing_is_changed(admin, name, sent):
    answer = admin.patch(SETTINGS, json={"max_account_worth": 3, "sso_registration": False, name: sent})

    assert answer.status_code == 422
    assert name in answer.json["errors"]["json"]
    assert values(admin.get(SETTINGS)) == DEFAULTS
    assert rows("runtime_settings") == rows("audit_log") == []


def test_a_change_of_nothing_leaves_no_trace(admin, acts):
    assert values(admin.patch(SETTINGS, json={})) == DEFAULTS
    assert acts() == []


def test_sign_up_opens_and_closes_at_once(admin, client):
    assert sign_up(client).status_code == 403

    admin.patch(SETTINGS, json={"registration": "open"})
    assert sign_up(client).status_code == 201

    admin.patch(SETTINGS, json={"registration": "closed"})
    assert sign_up(client).json["error_code"] == "REGISTRATION_CLOSED"


def test_admins_may_be_asked_for_a_second_factor_at_once(admin):
    admin.patch(SETTINGS, json={"require_admin_2fa": True})

    assert admin.get(SETTINGS).json["error_code"] == "SECOND_FACTOR_MISSING"
