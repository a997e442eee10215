from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text, update

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger, proof
from shared_accounts.quotas.ledger import Terms
from shared_accounts.quotas.models import QuotaPool
from tests import factories
from tests.quotas.sharing import backdate, pool_of, shared_account, spend

HOUR = timedelta(hours=1)


@pytest.fixture
def someone(client):
    return factories.user()


@pytest.fixture
def hers(someone, sign_in):
    return sign_in(someone)


def total(earned_by, field):
    return sum((Decimal(one[field]) for one in earned_by), Decimal())


def test_a_pool_says_which_accounts_earn_what(hers, someone):
    accounts = [shared_account(someone) for _ in range(3)]

    (pool,) = hers.get("/api/quotas").json

    assert pool["arithmetic"] == "3 accounts x 2.0000 = 6.0000; +1.2000 each hour"
    assert pool["earned_by"] == [
        {"account_id": one.id, "name": one.name, "capacity": "2.0000", "refill_per_hour": "0.4000", "resting": False}
        for one in accounts
    ]
    assert (pool["owed"], pool["capacity"], pool["refill_per_hour"]) == ("0.0000", "6.0000", "1.2000")


def test_what_the_accounts_earn_adds_up_to_the_last_digit(hers, someone):
    for worth in (333_333, 333_333, 666_667, 999_999):
        shared_account(someone, terms=Terms(2 * worth, worth // 7, 2 * worth))
    shared_account(someone)
    ledger.rest(shared_account(someone).id, resting=True)
    db.session.commit()

    (pool,) = hers.get("/api/quotas").json

    assert total(pool["earned_by"], "capacity") == Decimal(pool["capacity"])
    assert total(pool["earned_by"], "refill_per_hour") == Decimal(pool["refill_per_hour"])
    assert [one["resting"] for one in pool["earned_by"]] == [False] * 5 + [True]


def test_a_resting_account_is_listed_without_its_refill(hers, someone):
    account = shared_account(someone)
    ledger.rest(account.id, resting=True)
    db.session.commit()

    (pool,) = hers.get("/api/quotas").json

    assert [(one["refill_per_hour"], one["resting"]) for one in pool["earned_by"]] == [("0.0000", True)]
    assert pool["arithmetic"] == "1 account x 2.0000 = 2.0000; +0.0000 each hour (1 resting)"


def test_a_debt_is_shown_until_it_is_paid(hers, someone):
    account = shared_account(someone)
    spend(someone, 1_500_000)
    ledger.shrink(account.id)
    db.session.commit()

    (pool,) = hers.get("/api/quotas").json

    assert (pool["owed"], pool["earned_by"]) == ("1.5000", [])
    assert pool["arithmetic"] == "0 accounts = 0.0000; +0.0000 each hour; 1.5000 owed for accounts withdrawn"

    shared_account(someone)

    assert hers.get("/api/quotas").json[0]["owed"] == "0.0000"


def test_one_pool_is_found_by_its_group_slashes_included(hers, someone):
    shared_account(someone, "org/model/large", "m")

    assert hers.get("/api/quotas/org/model/large").json == hers.get("/api/quotas").json[1]
    assert hers.get("/api/quotas/m").json["model_group"] == "m"


@pytest.mark.parametrize("group", ["unknown", "org/model", "%00", "m%00", "m'--", "x" * 3000])
def test_a_pool_nobody_has_is_not_found(hers, someone, group):
    shared_account(someone, "m", "org/model/large")

    answer = hers.get(f"/api/quotas/{group}")

    assert (answer.status_code, answer.json["error_code"]) == (404, "NOT_FOUND")


def test_somebody_elses_pool_is_as_unknown_as_none(hers):
    other = factories.user()
    shared_account(other)

    assert hers.get("/api/quotas").json == []
    assert hers.get("/api/quotas/m").status_code == 404
    assert hers.get("/api/quotas/forecast?model_group=m").status_code == 404
    assert hers.get("/api/quotas/ledger").json == []


def test_pools_cost_the_same_queries_however_many_accounts_earn_them(hers, someone, count_queries):
    shared_account(someone, "m")
    with count_queries() as few:
        hers.get("/api/quotas")
    for group in ("m", "n", "o"):
        shared_account(someone, group)

    with count_queries() as many:
        hers.get("/api/quotas")

    assert len(many) == len(few)


def test_a_forecast_tells_hour_by_hour_how_much_is_back(hers, someone):
    shared_account(someone)
    spend(someone, 1_500_000)
    now = pool_of(someone).refilled_through

    answer = hers.get("/api/quotas/forecast", query_string={"model_group": "m", "units": "1.3"}).json

    assert (answer["available"], answer["full_at"]) == ("0.5000", (now + 4 * HOUR).isoformat())
    assert answer["fits_at"] == (now + 2 * HOUR).isoformat()
    assert [(one["at"], one["balance"]) for one in answer["hours"]] == [
        ((now + 1 * HOUR).isoformat(), "0.9000"),
        ((now + 2 * HOUR).isoformat(), "1.3000"),
        ((now + 3 * HOUR).isoformat(), "1.7000"),
        ((now + 4 * HOUR).isoformat(), "2.0000"),
    ]


def test_what_fits_now_fits_at_no_later_hour_and_what_never_fits_at_none(hers, someone):
    shared_account(someone)

    def fits_at(units):
        query = {"model_group": "m", "units": units}
        return hers.get("/api/quotas/forecast", query_string=query).json["fits_at"]

    assert datetime.fromisoformat(fits_at("2")) <= datetime.now(UTC)
    assert fits_at("2.0001") is None


def test_a_full_pool_and_one_at_rest_have_no_hours_to_wait_for(hers, someone):
    account = shared_account(someone)
    assert hers.get("/api/quotas/forecast?model_group=m").json["hours"] == []
    spend(someone, MICRO)
    ledger.rest(account.id, resting=True)
    db.session.commit()

    answer = hers.get("/api/quotas/forecast?model_group=m&units=1.5").json

    assert (answer["hours"], answer["fits_at"], answer["full_at"]) == ([], None, None)


def test_a_forecast_looks_two_days_ahead_at_most(hers, someone):
    shared_account(someone, terms=Terms(2 * MICRO, 100, 2 * MICRO))
    spend(someone, MICRO)

    hours = hers.get("/api/quotas/forecast?model_group=m").json["hours"]

    assert (len(hours), hours[-1]["balance"]) == (48, "1.0048")


def test_a_forecast_begins_with_the_hours_that_are_due(hers, someone):
    shared_account(someone)
    spend(someone, 1_500_000)
    three_hours_ago = text("date_trunc('hour', now(), 'UTC') - interval '3 hours'")
    db.session.execute(update(QuotaPool).values(refilled_through=three_hours_ago))
    db.session.commit()

    answer = hers.get("/api/quotas/forecast?model_group=m").json

    assert (answer["available"], [one["balance"] for one in answer["hours"]]) == ("1.7000", ["2.0000"])
    assert pool_of(someone).balance == 1_700_000
    assert proof.verify() == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "model_group"),
        ("model_group=m&units=0", "units"),
        ("model_group=m&units=-1", "units"),
        ("model_group=m&units=1.00001", "units"),
        ("model_group=m&units=nan", "units"),
        ("model_group=m&units=1e3", "units"),
        ("model_group=m&units=", "units"),
        ("model_group=m&units=99999999999999999999", "units"),
        ("model_group=%00", "model_group"),
    ],
)
def test_a_forecast_that_cannot_be_names_the_field(hers, query, field):
    answer = hers.get(f"/api/quotas/forecast?{query}")

    assert (answer.status_code, field in answer.text) == (422, True)


def test_the_ledger_is_filtered_by_group_kind_and_time(hers, someone):
    account = shared_account(someone, "m", "org/n")
    spend(someone, 5)
    ledger.shrink(account.id)
    db.session.commit()
    backdate("spend", datetime(2026, 3, 1, 12, tzinfo=UTC))

    def kinds(**query):
        return [entry["kind"] for entry in hers.get("/api/quotas/ledger", query_string=query).json]

    assert kinds() == ["forfeit", "forfeit", "spend", "credit", "credit"]
    assert kinds(model_group="org/n") == ["forfeit", "credit"]
    assert kinds(kind="credit", model_group="m") == ["credit"]
    assert kinds(since="2026-03-01T12:00:00+00:00", until="2026-03-01T12:00:01+00:00") == ["spend"]
    assert kinds(since="2026-03-01T14:00:00+02:00", until="2026-03-01T14:00:00+02:00") == []
    assert kinds(until="2026-03-01T12:00:00Z") == []
    assert kinds(kind="", model_group="") == kinds()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=theft", "kind"),
        ("since=yesterday", "since"),
        ("since=2026-03-01", "since"),
        ("until=2026-03-01T12:00:00", "until"),
        ("model_group=%00", "model_group"),
    ],
)
def test_a_filter_that_cannot_be_is_named(hers, query, field):
    answer = hers.get(f"/api/quotas/ledger?{query}")

    assert (answer.status_code, field in answer.text) == (422, True)


def test_the_filtered_ledger_is_paged_and_counted(hers, someone):
    for _ in range(3):
        ledger.shrink(shared_account(someone).id)
    db.session.commit()

    page = hers.get("/api/quotas/ledger?kind=forfeit&page=2&page_size=2")

    assert [entry["kind"] for entry in page.json] == ["forfeit"]
    assert '"total": 3' in page.headers["X-Pagination"]
