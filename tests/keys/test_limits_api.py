"""What may be laid down for a key, when it is made and later, and what its owner sees of it."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests import factories
from tests.conftest import rows

KEYS = "/api/api-keys"
ALL = {
    "models": ["gpt-4.1", "fast"],
    "addresses": ["203.0.113.7", "2001:db8::/32"],
    "requests_per_minute": 10,
    "tokens_per_minute": 20_000,
    "max_concurrent": 3,
    "budgets": {"total": "12.5000", "five_hours": "0.2500", "day": "1.0000", "week": "3.0000", "month": "9.0000"},
}
NONE = {
    "models": [],
    "addresses": [],
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "max_concurrent": None,
    "budgets": dict.fromkeys(ALL["budgets"]),
}


@pytest.fixture
def key_id(member):
    return member.post(KEYS).json["id"]


def test_a_key_may_be_made_with_limits_which_lists_show(member):
    made = member.post(KEYS, json={"name": "limited", **ALL})

    assert made.status_code == 201
    assert {name: made.json[name] for name in ALL} == ALL
    (listed,) = member.get(KEYS).json
    assert {name: listed[name] for name in ALL} == ALL


def test_limits_may_be_laid_down_later_and_taken_away(member, key_id):
    laid_down = member.patch(f"{KEYS}/{key_id}", json={"name": "renamed", **ALL})
    taken_away = member.patch(f"{KEYS}/{key_id}", json={**NONE, "models": None, "addresses": None})

    assert laid_down.status_code == 200
    assert {name: laid_down.json[name] for name in ALL} == ALL
    assert laid_down.json["name"] == "renamed"
    assert {name: taken_away.json[name] for name in NONE} == NONE
    assert taken_away.json["name"] == "renamed"


def test_what_is_not_named_stays(member):
    made = member.post(KEYS, json={**ALL, "description": "mine"}).json
    budgets = {**ALL["budgets"], "day": "2.0000", "week": None}

    changed = member.patch(f"{KEYS}/{made['id']}", json={"budgets": {"day": "2", "week": None}, "max_concurrent": 5})

    assert {name: changed.json[name] for name in ALL} == {**ALL, "budgets": budgets, "max_concurrent": 5}
    assert changed.json["description"] == "mine"
    assert changed.json["key_preview"] == made["key_preview"]


def test_an_end_may_be_moved_and_taken_away(member, key_id):
    end = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)

    moved = member.patch(f"{KEYS}/{key_id}", json={"expires_at": end.isoformat()})
    without = member.patch(f"{KEYS}/{key_id}", json={"expires_at": None})

    assert datetime.fromisoformat(moved.json["expires_at"]) == end
    assert without.json["expires_at"] is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["203.0.113.7", "203.0.113.7/32"], ["203.0.113.7"]),
        (["::FFFF:203.0.113.7"], ["203.0.113.7"]),
        (["::ffff:203.0.113.0/120"], ["203.0.113.0/24"]),
        (["2001:DB8:0:0::1", "10.0.0.0/8"], ["2001:db8::1", "10.0.0.0/8"]),
        (["0.0.0.0/0", "::/0"], ["0.0.0.0/0", "::/0"]),
    ],
)
def test_addresses_are_kept_in_their_shortest_form_once(member, key_id, given, kept):
    assert member.patch(f"{KEYS}/{key_id}", json={"addresses": given}).json["addresses"] == kept


def test_a_model_named_twice_is_kept_once(member, key_id):
    assert member.patch(f"{KEYS}/{key_id}", json={"models": ["b", "a", "b"]}).json["models"] == ["b", "a"]


BAD = [
    ({"models": "gpt-4.1"}, "models"),
    ({"models": [""]}, "models"),
    ({"models": [7]}, "models"),
    ({"models": ["x" * 201]}, "models"),
    ({"models": ["m"] * 501}, "models"),
    ({"models": ["a\x00b"]}, "models"),
    ({"addresses": "10.0.0.1"}, "addresses"),
    ({"addresses": ["10.0.0.1/8"]}, "addresses"),
    ({"addresses": ["10.0.0.256"]}, "addresses"),
    ({"addresses": ["10.0.0.0/33"]}, "addresses"),
    ({"addresses": ["example.com"]}, "addresses"),
    ({"addresses": ["fe80::1%eth0"]}, "addresses"),
    ({"addresses": [167772161]}, "addresses"),
    ({"addresses": [""]}, "addresses"),
    ({"addresses": [None]}, "addresses"),
    ({"addresses": ["10.0.0.1"] * 101}, "addresses"),
    ({"requests_per_minute": 0}, "requests_per_minute"),
    ({"requests_per_minute": -1}, "requests_per_minute"),
    ({"requests_per_minute": 1.5}, "requests_per_minute"),
    ({"requests_per_minute": "5"}, "requests_per_minute"),
    ({"requests_per_minute": True}, "requests_per_minute"),
    ({"requests_per_minute": 10**9}, "requests_per_minute"),
    ({"tokens_per_minute": 0}, "tokens_per_minute"),
    ({"tokens_per_minute": 10**15}, "tokens_per_minute"),
    ({"max_concurrent": 0}, "max_concurrent"),
    ({"max_concurrent": 10_001}, "max_concurrent"),
    ({"budgets": None}, "budgets"),
    ({"budgets": "1"}, "budgets"),
    ({"budgets": {"day": "0"}}, "budgets"),
    ({"budgets": {"day": "-1"}}, "budgets"),
    ({"budgets": {"day": "a lot"}}, "budgets"),
    ({"budgets": {"day": True}}, "budgets"),
    ({"budgets": {"day": "NaN"}}, "budgets"),
    ({"budgets": {"day": 10**9}}, "budgets"),
    ({"budgets": {"year": "1"}}, "budgets"),
    ({"budgets": {"total": []}}, "budgets"),
    ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
    ({"expires_at": "soon"}, "expires_at"),
    ({"name": ""}, "name"),
    ({"description": "x" * 501}, "description"),
    ({"revision": 1}, "revision"),
    ({"budget_day": 1}, "budget_day"),
    ({"user_id": 1}, "user_id"),
    ({"fingerprint": "x"}, "fingerprint"),
    ({"former_until": "2031-01-01T00:00:00Z"}, "former_until"),
    ({"last_used_at": None}, "last_used_at"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
def test_a_change_that_cannot_be_made_names_the_field_and_changes_nothing(member, key_id, body, field):
    before = rows("api_keys")

    answer = member.patch(f"{KEYS}/{key_id}", data=json.dumps(body), content_type="application/json")

    assert answer.status_code == 422
    assert answer.json["error_code"] == "VALIDATION_ERROR"
    assert [name.partition(".")[0] for name in answer.json["errors"]["json"]] == [field]
    assert rows("api_keys") == before


@pytest.mark.parametrize(("body", "field"), [one for one in BAD if one[1] != "name"])
def test_a_key_is_not_made_with_limits_that_cannot_be(member, body, field):
    answer = member.post(KEYS, data=json.dumps(body), content_type="application/json")

    assert answer.status_code == 422
    assert [name.partition(".")[0] for name in answer.json["errors"]["json"]] == [field]
    assert rows("api_keys") == []


def test_a_name_cannot_be_taken_away(member, key_id):
    assert member.patch(f"{KEYS}/{key_id}", json={"name": None}).status_code == 422


def test_every_change_is_in_the_audit_trail_without_what_was_said(member, key_id):
    member.patch(f"{KEYS}/{key_id}", json={"models": ["a-secret-project"], "max_concurrent": 2})

    (entry,) = [one for one in rows("audit_log") if one["act"] == "api_key.changed"]
    assert entry["details"] == {"fields": ["max_concurrent", "models"]}
    assert entry["target"] == f"api_key:{key_id}"


def test_silenced_people_may_tighten_a_key_but_get_no_new_secret(sign_in):
    user = factories.user(state="silenced")
    key, _ = factories.api_key(user)
    hers = sign_in(user)

    assert hers.patch(f"{KEYS}/{key.id}", json={"max_concurrent": 1}).status_code == 200
    refused = hers.post(f"{KEYS}/{key.id}/rotate")
    assert (refused.status_code, refused.json["error_code"]) == (403, "ACCOUNT_SILENCED")


def test_a_rotation_shows_a_new_secret_this_once_and_keeps_the_rest(member):
    made = member.post(KEYS, json={"name": "laptop", **ALL}).json

    rotated = member.post(f"{KEYS}/{made['id']}/rotate", json={"grace_minutes": 60})

    assert rotated.status_code == 200
    assert rotated.headers["Cache-Control"] == "no-store"
    assert rotated.json["key"] not in {made["key"], None}
    assert rotated.json["key_preview"] == rotated.json["key"][:8] + "..."
    left = datetime.fromisoformat(rotated.json["former_until"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left <= timedelta(minutes=61)
    changed = {"key", "key_preview", "former_until"}
    assert {name: value for name, value in rotated.json.items() if name not in changed} == {
        name: value for name, value in made.items() if name not in changed
    }
    assert "key" not in member.get(f"{KEYS}/{made['id']}").json


@pytest.mark.parametrize("minutes", [-1, 1441, 1.5, "60", None, True, 10**30])
def test_a_grace_is_a_day_at_most(member, key_id, minutes):
    answer = member.post(f"{KEYS}/{key_id}/rotate", json={"grace_minutes": minutes})

    assert answer.status_code in {400, 422}
    assert "grace_minutes" in answer.json["errors"]["json"]
    assert rows("api_keys")[0]["former_fingerprint"] is None


def test_a_secret_that_was_replaced_is_written_nowhere(member, caplog):
    caplog.set_level(logging.DEBUG)
    made = member.post(KEYS).json

    rotated = member.post(f"{KEYS}/{made['id']}/rotate", json={"grace_minutes": 5}).json

    for secret in (made["key"], rotated["key"]):
        assert not [record for record in caplog.records if secret[8:] in record.getMessage()]
        assert secret[8:30] not in str(rows("api_keys"))
        assert secret[8:30] not in str(rows("audit_log"))


def test_where_keys_need_a_fresh_sign_in_so_do_their_new_secrets(app, sign_in, session, with_settings):
    user = factories.user()
    key, _ = factories.api_key(user)
    hers = sign_in(user)
    session.execute(text("update sessions set authenticated_at = now() - interval '1 day'"))
    session.commit()

    with with_settings(keys_need_fresh_sign_in=True):
        refused = hers.post(f"{KEYS}/{key.id}/rotate")

    assert refused.status_code in {401, 403}
    assert rows("api_keys")[0]["preview"] == key.preview


def test_the_document_tells_what_may_be_laid_down(client):
    document = client.get("/api/openapi.json").json
    schemas = document["components"]["schemas"]

    assert set(ALL) <= set(schemas["NewKey"]["properties"])
    assert set(ALL) <= set(schemas["KeyChange"]["properties"])
    assert set(schemas["Budgets"]["properties"]) == set(ALL["budgets"])
    assert {"patch", "get", "delete"} <= set(document["paths"]["/api/api-keys/{key_id}"])
    assert "post" in document["paths"]["/api/api-keys/{key_id}/rotate"]
