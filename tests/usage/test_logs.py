"""`GET /api/usage/logs`: a page of lines, and what each scope shows of them."""

from __future__ import annotations

import json

import pytest

from shared_accounts.usage import rollup
from tests import factories
from tests.usage.scene import HOUR, NOW, THIS_HOUR, line

PATHS = ("/api/usage/logs", "/api/usage/requests/logs")


@pytest.fixture
def alice(session, client):
    return factories.user(username="alice")


@pytest.fixture
def bob(session, client):
    return factories.user(username="bob")


@pytest.fixture
def browser(sign_in, alice):
    return sign_in(alice)


def logs(browser, path=PATHS[0], **query):
    answer = browser.get(path, query_string=query)
    assert answer.status_code == 200, answer.json
    return answer.json["data"]["logs"]


def costs(found):
    return [one["quota_consumed"] for one in found]


@pytest.mark.parametrize("path", PATHS)
def test_a_line_has_what_the_original_front_end_reads_and_more(browser, alice, path):
    key, _ = factories.api_key(alice, name="laptop")
    line(
        NOW,
        user=alice,
        account=5,
        contributor=6,
        api_key_id=key.id,
        client_app="cli",
        cached_tokens=3,
        http_status=200,
        first_byte_ms=20,
    )

    (found,) = logs(browser, path)

    assert found.pop("id")
    assert found.pop("created_at").startswith(NOW.date().isoformat())
    assert found == {
        "user_id": alice.id, "user": "alice", "api_key_id": key.id, "api_key": "laptop", "account_id": 5, "account": None,
        "config_type": "shared", "model_name": "m", "endpoint": "/v1/chat/completions", "method": "POST", "client_app": "cli",
        "stream": False, "success": True, "outcome": "served", "basis": "measured", "status_code": 200, "error_message": None,
        "quota_consumed": "0.0010", "charged": "0.0009", "input_tokens": 10, "output_tokens": 4, "cached_tokens": 3,
        "total_tokens": 14, "money": None, "currency": None, "price_id": None, "first_byte_ms": 20, "duration_ms": 250,
    }  # fmt: skip


def test_contributors_see_who_which_model_how_much_and_when_and_nothing_else(browser, alice, bob):
    account = factories.account(alice, name="hers")
    key, _ = factories.api_key(bob, name="bob's secret key")
    line(
        NOW, user=bob, account=account, contributor=alice, api_key_id=key.id, client_app="secret-app",
        endpoint="/v1/secret", error_code="secret_error",
    )  # fmt: skip
    line(NOW, user=alice, account=account, contributor=alice)

    (found,) = logs(browser, scope="contributed")

    assert set(found) == {
        "id", "created_at", "user_id", "user", "account_id", "account", "model_name", "success", "outcome", "basis",
        "quota_consumed", "charged", "input_tokens", "output_tokens", "cached_tokens", "total_tokens", "money", "currency",
    }  # fmt: skip
    assert (found["user"], found["account"]) == ("bob", "hers")
    assert "secret" not in json.dumps(found)


def test_admins_see_everybodys_without_the_names_of_other_peoples_keys_and_accounts(sign_in, alice, bob):
    key, _ = factories.api_key(bob, name="bob's secret key")
    line(
        NOW,
        user=bob,
        account=factories.account(alice, name="alice's secret account"),
        contributor=alice,
        api_key_id=key.id,
    )

    (found,) = logs(sign_in(factories.admin()), scope="all")

    assert (found["user"], found["api_key_id"]) == ("bob", key.id)
    assert "secret" not in json.dumps(found)


def test_everybodys_lines_are_for_admins(browser, bob):
    line(NOW, user=bob)

    assert browser.get(PATHS[0], query_string={"scope": "all"}).status_code == 403
    assert logs(browser) == []


def test_lines_that_are_not_over_are_not_listed(browser, alice):
    line(NOW, user=alice, state="open")

    assert logs(browser) == []


@pytest.mark.parametrize("counted", [False, True], ids=["from the log", "from the roll-ups"])
def test_pages_are_newest_first_and_say_how_many_there_are(browser, alice, counted):
    for number in range(7):
        line(THIS_HOUR - number * HOUR, user=alice, cost=(number + 1) * 1_000_000)
    while counted and rollup.count_next():
        pass

    first = browser.get(PATHS[0], query_string={"page_size": 3})
    last = browser.get(PATHS[0], query_string={"page_size": 3, "page": 3})

    assert costs(first.json["data"]["logs"]) == ["1.0000", "2.0000", "3.0000"]
    assert costs(last.json["data"]["logs"]) == ["7.0000"]
    assert json.loads(first.headers["X-Pagination"])["total"] == 7
    assert last.json["data"]["pagination"] == {"limit": 3, "offset": 6, "total": 7}


def test_limit_and_offset_do_what_page_does(browser, alice):
    for number in range(7):
        line(THIS_HOUR - number * HOUR, user=alice, cost=(number + 1) * 1_000_000)

    found = browser.get(PATHS[0], query_string={"limit": 2, "offset": 3}).json["data"]

    assert costs(found["logs"]) == ["4.0000", "5.0000"]
    assert found["pagination"] == {"limit": 2, "offset": 3, "total": 7}


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("created_at", [3, 2, 1]),
        ("-created_at", [1, 2, 3]),
        ("cost", [1, 3, 2]),
        ("-cost", [2, 3, 1]),
        ("duration_ms", [3, 1, 2]),
        ("-duration_ms", [2, 1, 3]),
    ],
)
def test_lines_are_sorted_as_asked(browser, alice, sort, expected):
    line(THIS_HOUR - HOUR, user=alice, account=1, cost=1, total_ms=5)
    line(THIS_HOUR - 2 * HOUR, user=alice, account=2, cost=9, total_ms=9)
    line(THIS_HOUR - 3 * HOUR, user=alice, account=3, cost=5, total_ms=None)

    assert [one["account_id"] for one in logs(browser, sort=sort)] == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"sort": "password"}, "sort"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "100001"}, "offset"),
        ({"page": "9000", "page_size": "100"}, "page"),
        ({"page_size": "201"}, "page_size"),
    ],
)
def test_pages_that_nobody_reads_are_refused_by_name(browser, query, field):
    answer = browser.get(PATHS[0], query_string=query)

    assert answer.status_code == 422
    assert field in str(answer.json["errors"])


def test_a_page_costs_few_queries_however_long_it_is(browser, alice, count_queries):
    for number in range(40):
        line(THIS_HOUR - number * HOUR, user=alice)

    with count_queries() as queries:
        assert len(logs(browser, page_size=40)) == 40

    assert len(queries) <= 5
