from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from shared_accounts.logs import JsonLines
from tests import factories
from tests.conftest import rows

KEYS = "/api/api-keys"


def test_the_life_of_a_key(member):
    made = member.post(KEYS, json={"name": "laptop", "description": "for tests"})
    body = made.json

    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    secret, key_id = body.pop("key"), body["id"]
    assert len(secret) == 67
    assert body.pop("created_at").endswith("+00:00")
    assert body == {
        "id": key_id,
        "name": "laptop",
        "description": "for tests",
        "key_preview": secret[:8] + "...",
        "is_active": True,
        "last_used_at": None,
        "expires_at": None,
        "former_until": None,
        "models": [],
        "addresses": [],
        "requests_per_minute": None,
        "tokens_per_minute": None,
        "max_concurrent": None,
        "budgets": dict.fromkeys(("total", "five_hours", "day", "week", "month")),
    }

    shown = member.get(f"{KEYS}/{key_id}").json
    assert "key" not in shown
    assert shown.pop("spending") == []
    assert member.get(KEYS).json == [shown]

    off = member.patch(f"{KEYS}/{key_id}/status", json={"is_active": False})
    assert off.json == {**shown, "is_active": False}

    gone = member.delete(f"{KEYS}/{key_id}")
    assert gone.json == {"message": "The API key has been deleted.", "success": True}
    assert member.get(f"{KEYS}/{key_id}").status_code == 404
    assert member.delete(f"{KEYS}/{key_id}").status_code == 404
    assert member.get(KEYS).json == []


@pytest.mark.parametrize("body", [{}, {"name": None}, None])
def test_a_key_without_a_name_gets_one(member, body):
    answer = member.post(KEYS, json=body) if body is not None else member.post(KEYS)

    assert (answer.status_code, answer.json["name"], answer.json["description"]) == (201, "API key", None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"description": "x" * 501}, "description"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2031-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"expires_at": 4102444800}, "expires_at"),
        ({"id": 1}, "id"),
        ({"user_id": 1}, "user_id"),
        ({"is_active": False}, "is_active"),
        ({"fingerprint": "x"}, "fingerprint"),
        ({"key": "sk-x"}, "key"),
        ({"key_preview": "sk-x"}, "key_preview"),
        ({"created_at": "2031-01-01T00:00:00Z"}, "created_at"),
    ],
)
def test_a_body_that_cannot_be_used_names_the_field_and_makes_nothing(member, body, field):
    answer = member.post(KEYS, data=json.dumps(body), content_type="application/json")

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]
    assert answer.json["error_code"] == "VALIDATION_ERROR"
    assert rows("api_keys") == []


def test_a_key_may_be_given_an_end(member):
    end = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)

    answer = member.post(KEYS, json={"expires_at": end.isoformat()})

    assert datetime.fromisoformat(answer.json["expires_at"]) == end


@pytest.mark.parametrize("body", [{}, {"is_active": "perhaps"}, {"is_active": None}, {"is_active": True, "name": "x"}])
def test_a_switch_is_on_or_off(member, body):
    key_id = member.post(KEYS).json["id"]

    assert member.patch(f"{KEYS}/{key_id}/status", json=body).status_code == 422


def test_another_users_key_is_not_there(member, sign_in):
    key, _ = factories.api_key(factories.user())
    before = rows("api_keys")

    answers = [
        member.get(f"{KEYS}/{key.id}"),
        member.patch(f"{KEYS}/{key.id}/status", json={"is_active": False}),
        member.patch(f"{KEYS}/{key.id}", json={"models": ["m"]}),
        member.post(f"{KEYS}/{key.id}/rotate"),
        member.delete(f"{KEYS}/{key.id}"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json["error_code"] for answer in answers} == {"NOT_FOUND"}
    assert rows("api_keys") == before
    assert member.get(KEYS).json == []


@pytest.mark.parametrize("key_id", ["0", str(2**63 - 1), str(2**63), "9" * 300, "9" * 5000, "-1", "x", "1.5", "%00"])
def test_a_number_that_is_no_row_is_not_found(member, key_id):
    assert member.get(f"{KEYS}/{key_id}").status_code == 404


def test_silenced_people_may_look_but_not_make(sign_in):
    user = factories.user(state="silenced")
    key, _ = factories.api_key(user)
    hers = sign_in(user)

    answer = hers.post(KEYS, json={"name": "x"})

    assert (answer.status_code, answer.json["error_code"]) == (403, "ACCOUNT_SILENCED")
    assert hers.get(f"{KEYS}/{key.id}").status_code == 200
    assert len(rows("api_keys")) == 1


def test_a_list_is_paged_and_says_so(sign_in):
    user = factories.user()
    for n in range(5):
        factories.api_key(user, name=f"key {n}")

    answer = sign_in(user).get(KEYS, query_string={"page": 2, "page_size": 2})

    assert [key["name"] for key in answer.json] == ["key 2", "key 1"]
    page = json.loads(answer.headers["X-Pagination"])
    assert (page["total"], page["total_pages"], page["page"], page["next_page"]) == (5, 3, 2, 3)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"page": 0}, 422),
        ({"page": -1}, 422),
        ({"page": "x"}, 422),
        ({"page_size": 201}, 422),
        ({"page_size": 0}, 422),
        ({"page": 10**18}, 422),
        ({"page": "9" * 5000}, 422),
        ({"page": "\x00"}, 422),
        ({"page": 10**14, "page_size": 200}, 200),
        ({"page": 7}, 200),
    ],
)
def test_a_page_that_cannot_be_is_refused(member, query, status):
    assert member.get(KEYS, query_string=query).status_code == status


def test_a_list_costs_as_many_queries_as_it_would_for_one_key(sign_in, count_queries):
    user = factories.user()
    for _ in range(5):
        factories.api_key(user)
    hers = sign_in(user)

    with count_queries() as queries:
        hers.get(KEYS)

    assert len(queries) == 3  # the guard, the page, the count


def test_no_key_is_written_to_the_log(member, caplog):
    caplog.set_level(logging.DEBUG)

    secret = member.post(KEYS).json["key"]
    logging.getLogger("careless").warning("the key is %s", secret)
    lines = [JsonLines().format(record) for record in caplog.records]

    assert any("[secret]" in line for line in lines)
    assert not [line for line in lines if secret[8:] in line]
    assert not [record for record in caplog.records if record.name != "careless" and secret[8:] in record.getMessage()]
