"""`GET /v1/usage`: how a key and its owner stand, counted nowhere, for whoever may use the key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from shared_accounts.auth import throttle, tokens
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.keys import pace
from shared_accounts.users.models import TrustLevel
from tests import factories
from tests.keys import held

PATH = "/v1/usage"
NOW = datetime.now(UTC)
THIS_HOUR = NOW.replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def alice(committed, client):
    return factories.user(username="alice")


@pytest.fixture
def key(alice):
    return factories.api_key(alice, name="laptop")


@pytest.fixture
def ask(client, key):
    def ask(secret=key[1], **headers):
        return client.get(PATH, headers={"x-api-key": secret, **headers} if secret else headers)

    return ask


def test_a_key_without_limits_says_so_and_shows_its_owners_pools(ask, alice, key):
    factories.quota_pool(alice, balance=3 * MICRO, capacity=4 * MICRO, refill_per_hour=400_000)
    factories.quota_pool(factories.user(), model_group="others")

    found = ask().json

    assert (found["object"], found["requests_per_minute"]) == ("usage", None)
    assert found["key"] == {
        "id": key[0].id, "name": "laptop", "expires_at": None, "requests_per_minute": None, "tokens_per_minute": None,
        "concurrent": {"limit": None, "used": 0}, "budgets": [],
    }  # fmt: skip
    (pool,) = found["pools"]
    assert (pool["model_group"], pool["balance"], pool["available"], pool["refill_per_hour"]) == (
        "m",
        "3.0000",
        "3.0000",
        "0.4000",
    )
    refilled = datetime.fromisoformat(pool["refilled_through"])
    assert datetime.fromisoformat(pool["refills_at"]) == refilled + timedelta(hours=1)
    assert datetime.fromisoformat(pool["full_at"]) == refilled + timedelta(hours=3)


def test_limits_show_what_is_used_of_them_and_asking_counts_nothing(app, ask, alice, key):
    held.lay_down(key[0].id, requests_per_minute=10, tokens_per_minute=1000, max_concurrent=2)
    with app.test_request_context():
        pace.count_request(key[0].id, 10)
        pace.count_tokens(key[0].id, 1000, 300)
    account = factories.account(factories.user())
    assert held.begin(key[1], account.id)[0] == "open"

    for _ in range(3):
        found = ask().json["key"]

    # The minute may have ended meanwhile, on a slow machine: then nothing is used of the next.
    requests, counted = found["requests_per_minute"], found["tokens_per_minute"]
    assert (requests["limit"], requests["used"] + requests["remaining"], requests["used"] <= 1) == (10, 10, True)
    assert (counted["limit"], counted["used"] + counted["remaining"]) == (1000, 1000)
    assert counted["used"] in {0, 300}
    assert found["concurrent"] == {"limit": 2, "used": 1}
    assert datetime.fromisoformat(requests["resets_at"]) > NOW


def test_budgets_show_what_is_spent_and_held_and_when_it_counts_no_longer(ask, alice, key):
    held.lay_down(key[0].id, budget_day=2 * MICRO, budget_total=5 * MICRO)
    account = factories.account(alice)
    held.spend(key[1], account.id, 300_000, hours_ago=3)
    held.spend(key[1], account.id, 500_000)

    total, day = sorted(ask().json["key"]["budgets"], key=lambda one: one["name"], reverse=True)

    assert (total["name"], total["used"], total["remaining"], total["resets_at"]) == ("total", "0.8000", "4.2000", None)
    assert (day["name"], day["limit"], day["used"], day["held"]) == ("day", "2.0000", "0.8000", "0.0000")
    until = datetime.fromisoformat(day["resets_at"])
    assert THIS_HOUR + timedelta(hours=25) <= until <= THIS_HOUR + timedelta(hours=26)


def test_a_budget_that_nothing_is_spent_of_resets_at_no_time(ask, key):
    held.lay_down(key[0].id, budget_week=MICRO)

    (week,) = ask().json["key"]["budgets"]

    assert (week["used"], week["remaining"], week["resets_at"]) == ("0.0000", "1.0000", None)


def test_what_a_trust_level_allows_counts_for_all_keys_together(app, ask, alice):
    db.session.execute(update(TrustLevel).where(TrustLevel.level == 0).values(requests_per_minute=7))
    db.session.commit()
    with app.test_request_context():
        throttle.chat(alice.id, 7)

    found = ask().json["requests_per_minute"]

    assert (found["limit"], found["used"] in {0, 1}, found["used"] + found["remaining"]) == (7, True, 7)
    with app.test_request_context():
        throttle.chat(alice.id, 7)
        left, _ = throttle.chats_left(alice.id, 7)
    assert left < 7


def test_a_token_shows_its_owners_pools_and_no_key(client, ask, alice):
    issued = tokens.issue(alice, user_agent=None, address=None)
    db.session.commit()
    factories.quota_pool(alice)

    found = ask(None, Authorization=f"Bearer {issued.access_token}").json

    assert (found["key"], len(found["pools"])) == (None, 1)


def test_strangers_and_those_a_key_was_not_meant_for_learn_nothing(ask, key):
    held.lay_down(key[0].id, addresses=["203.0.113.7"])

    assert ask(None).status_code == 401
    assert ask("sk-wrong").status_code == 401
    refused = ask()
    assert (refused.status_code, refused.json["error"]["code"]) == (403, None)


def test_a_silenced_owner_may_look(ask, alice):
    alice.state = "silenced"
    db.session.commit()

    assert ask().status_code == 200


def test_the_secret_is_not_in_the_answer(ask, key):
    assert key[1] not in ask().get_data(as_text=True)
