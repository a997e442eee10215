"""What became of an account, who used it, what would happen now, and finding out whether it still works."""

from __future__ import annotations

import pytest

from shared_accounts import tasks
from shared_accounts.accounts import health, standing
from shared_accounts.accounts.models import Account, AccountUse
from shared_accounts.accounts.tally import Tally
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows
from tests.upstream import Upstream, refuses, says


@pytest.fixture
def alice(committed, client):
    return factories.user(username="alice")


@pytest.fixture
def browser(sign_in, alice):
    return sign_in(alice)


@pytest.fixture
def upstream():
    started = []

    def start(*acts):
        started.append(Upstream(*acts))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def lists(*models):
    body = b'{"data": [%s]}' % b", ".join(b'{"id": "%s"}' % name.encode() for name in models)
    return says(body)


def steps(browser, account):
    return [(one["from_state"], one["to_state"]) for one in browser.get(f"/api/accounts/{account.id}/events").json]


# -- the history


def test_every_step_is_listed_with_its_cause_newest_first(browser, alice, upstream):
    account = factories.account(alice, base_url=upstream(lists("m")).url)
    standing.cool(account.id, seconds=60, default=1, reason="answered 429")
    standing.clear(account.id)
    standing.take_out(account.id, "needs_sign_in", "the upstream answered 401")
    db.session.commit()
    assert browser.patch(f"/api/accounts/{account.id}", json={"paused": False}).status_code == 200

    found = browser.get(f"/api/accounts/{account.id}/events").json

    assert [(one["from_state"], one["to_state"]) for one in found] == [
        ("needs_sign_in", "active"),
        ("active", "needs_sign_in"),
        ("cooling", "active"),
        ("active", "cooling"),
    ]
    assert found[1]["reason"] == "the upstream answered 401"
    assert found[3]["until"] > found[3]["at"]


def test_two_failures_are_no_step_and_the_third_is(committed, browser, alice):
    account = factories.account(alice)
    for _ in range(2):
        standing.strike(account.id, default=30, reason="answered 500")
    assert steps(browser, account) == []

    standing.strike(account.id, default=30, reason="answered 500")

    assert steps(browser, account) == [("active", "cooling")]


@pytest.mark.parametrize("path", ["events", "use"])
def test_only_the_owner_sees_what_became_of_an_account(browser, path):
    account = factories.account(factories.user())

    assert browser.get(f"/api/accounts/{account.id}/{path}").status_code == 404


# -- who used it


def test_an_owner_sees_who_used_how_much_and_on_which_day(browser, alice):
    account = factories.account(alice)
    bob = factories.user(username="bob")
    db.session.add_all(
        [
            AccountUse(
                account_id=account.id, day=db.func.current_date(), user_id=bob.id, calls=3, tokens=90, cost=MICRO
            ),
            AccountUse(account_id=account.id, day=db.func.current_date() - 40, user_id=bob.id, calls=1, cost=5),
        ]
    )
    db.session.commit()

    (line,) = browser.get(f"/api/accounts/{account.id}/use").json

    assert (line["user"], line["calls"], line["tokens"], line["units"]) == ("bob", 3, 90, "1.0000")
    assert len(browser.get(f"/api/accounts/{account.id}/use?days=60").json) == 2
    assert browser.get(f"/api/accounts/{account.id}/use?days=0").status_code == 422


def test_what_workers_count_at_the_same_time_adds_up(committed, alice):
    account, tallies = factories.account(alice), [Tally() for _ in range(3)]
    for tally in tallies:
        for _ in range(5):
            tally.add(account.id, "m", alice.id, tokens=10, cost=7)
            tally.add(account.id, "n", alice.id, tokens=10, cost=0)
    for tally in tallies:
        tally.write()
        tally.write()

    (day,) = rows("account_use")
    assert (day["calls"], day["tokens"], day["cost"]) == (30, 300, 105)
    assert [(row["model_group"], row["used"]) for row in rows("account_windows")] == [("m", 105)]


# -- what would happen


def explain(browser, **fields):
    answer = browser.post("/api/accounts/explain", json={"model": "m", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_an_explanation_names_the_account_and_spends_nothing(browser, alice):
    shared = factories.account(factories.user())
    factories.quota_pool(alice, balance=MICRO)

    told = explain(browser, prompt_tokens=1000, max_tokens=1000)

    assert (told["served"], told["account_id"], told["free"]) == (True, shared.id, False)
    assert (told["estimate"], told["available"]) == ("0.0050", "1.0000")
    assert rows("usage_log") == rows("reservations") == []


def test_an_explanation_says_why_each_other_account_would_not(browser, alice):
    contributor = factories.user()
    own = factories.account(alice, sharing="dedicated", name="my own")
    tired = factories.account(contributor, state="paused")
    cooling = factories.account(contributor, cooling_until=db.func.now() + db.text("interval '1 hour'"))
    spent = factories.account(contributor, allowance_tokens=100)
    factories.account(contributor, sharing="dedicated")
    factories.account(contributor, models=["another"])
    good = factories.account(contributor)
    db.session.execute(
        db.text("insert into account_windows values (:id, 'm', 100, now() + interval '1 hour')"), {"id": spent.id}
    )
    db.session.commit()

    told = explain(browser)

    why = {one["account_id"]: one["why_not"] for one in told["candidates"]}
    assert why == {
        own.id: None,
        tired.id: "it is paused",
        cooling.id: "it is cooling down",
        spent.id: "its window is used up",
        good.id: "your quota does not hold it",
    }
    assert {one["name"] for one in told["candidates"]} == {"my own", None}
    assert (told["account_id"], told["free"]) == (own.id, True)


def test_an_explanation_follows_ones_preference(browser, alice):
    own = factories.account(alice, sharing="dedicated")
    shared = factories.account(factories.user())
    factories.quota_pool(alice)
    assert explain(browser)["account_id"] == own.id

    alice.prefer_shared = True
    db.session.commit()

    assert explain(browser)["account_id"] == shared.id


def test_an_explanation_of_an_unknown_model_says_so(browser):
    told = explain(browser, model="nobody/has/this")

    assert (told["served"], told["reason"]) == (False, "No account here serves this model.")


def test_an_explanation_of_a_shortage_says_when_it_would_fit(browser, alice):
    factories.account(factories.user())
    factories.quota_pool(alice, balance=0, capacity=MICRO, refill_per_hour=400_000)

    told = explain(browser, max_tokens=1000)

    assert told["served"] is False
    assert "it would fit at" in told["reason"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "model"),
        ({"model": ""}, "model"),
        ({"model": "m", "max_tokens": 0}, "max_tokens"),
        ({"model": "m", "x": 1}, "x"),
    ],
)
def test_a_question_that_cannot_be_used_names_the_field(browser, body, field):
    answer = browser.post("/api/accounts/explain", json=body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]


# -- health


def after(span):
    db.session.execute(db.text(f"update accounts set probed_at = now() - interval '{span}'"))
    db.session.commit()


def test_what_failed_twelve_times_in_a_row_is_given_up_on_until_a_probe_succeeds(committed, alice, upstream, browser):
    server = upstream(refuses(500), lists("m"))
    account = factories.account(alice, strikes=12, base_url=server.url)
    assert health.give_up_on() == 1
    assert health.give_up_on() == 0
    db.session.commit()

    tasks.probe_accounts()
    assert rows("accounts")[0]["state"] == "broken"
    tasks.probe_accounts()
    assert len(server.requests) == 1

    after("6 minutes")
    tasks.probe_accounts()

    assert (rows("accounts")[0]["state"], rows("accounts")[0]["strikes"]) == ("active", 0)
    assert steps(browser, account) == [("broken", "active"), ("active", "broken")]


def test_one_that_nobody_used_for_a_day_is_asked_whether_its_credential_still_works(committed, alice, upstream):
    server = upstream(refuses(401))
    factories.account(alice, base_url=server.url, created_at=factories.ago(days=2))
    factories.account(alice, base_url=server.url)

    tasks.probe_accounts()
    tasks.probe_accounts()

    assert [row["state"] for row in rows("accounts order by id")] == ["needs_sign_in", "active"]
    assert len(server.requests) == 1


def test_an_upstream_that_is_away_is_no_verdict(committed, alice):
    factories.account(alice, base_url="http://127.0.0.1:9/v1", created_at=factories.ago(days=2))

    tasks.probe_accounts()

    assert rows("accounts")[0]["state"] == "active"
    assert rows("accounts")[0]["probed_at"]


def test_a_probe_of_a_credential_that_was_replaced_meanwhile_is_no_verdict(committed, app, alice, upstream):
    def replace(turn):
        with app.app_context():
            sealed = app.extensions["vault"].seal("another", purpose=f"account:{account.id}")
            db.session.execute(db.update(Account).values(sealed_credential=sealed))
            db.session.commit()
        return refuses(401)(turn)

    account = factories.account(alice, base_url=upstream(replace).url, created_at=factories.ago(days=2))

    tasks.probe_accounts()

    assert rows("accounts")[0]["state"] == "active"


def test_one_whose_credential_nobody_can_read_holds_up_no_other(committed, alice, upstream):
    server = upstream(refuses(401))
    spoilt, sound = (factories.account(alice, base_url=server.url, created_at=factories.ago(days=2)) for _ in range(2))
    spoilt.sealed_credential = b"x"
    db.session.commit()

    tasks.probe_accounts()

    states = {row["id"]: row["state"] for row in rows("accounts")}
    assert states == {spoilt.id: "active", sound.id: "needs_sign_in"}


def test_an_account_in_cooldown_says_so_and_until_when(browser, alice):
    account = factories.account(alice)
    standing.cool(account.id, seconds=60, default=1, reason="answered 429")

    shown = browser.get(f"/api/accounts/{account.id}").json

    assert (shown["state"], shown["state_reason"]) == ("cooling", "answered 429")
    assert shown["cooling_until"]
