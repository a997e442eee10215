"""Old months are gone: sums, statements, budgets and the proof know what was in them, and lists only what is left."""

from __future__ import annotations

import pytest

from shared_accounts.config import MICRO
from shared_accounts.console import figures
from shared_accounts.extensions import db
from shared_accounts.keys import budgets
from shared_accounts.quotas import proof
from shared_accounts.quotas.models import LedgerEntry
from tests import factories
from tests.conftest import rows
from tests.usage import divided
from tests.usage.scene import HOUR, THIS_HOUR, line, roll_up
from tests.usage.test_months import keep, turn

__all__ = ["keep"]

OLD, KEPT = 4, 0


@pytest.fixture
def ada(committed, keep):
    """She called long ago, twice, and lately, once; the log has only the last."""
    user, owner = factories.user(), factories.user()
    key, _ = factories.api_key(user)
    key.budget_total = 100 * MICRO
    pool = factories.quota_pool(user, balance=10 * MICRO)
    facts = {"user": user, "contributor": owner, "api_key_id": key.id, "cost": MICRO, "charged": MICRO}
    with divided.months(OLD, KEPT), keep(1):
        for at in (divided.month(OLD) + HOUR, divided.month(OLD) + 2 * HOUR, THIS_HOUR - HOUR):
            made = line(at, **facts)
            pool.balance -= MICRO
            entry = {"kind": "spend", "amount": -MICRO, "balance_after": pool.balance, "at": at}
            db.session.add(LedgerEntry(pool_id=pool.id, exchange_id=made.id, **entry))
            db.session.commit()
        roll_up()
        turn()
        assert len(rows("usage_log")) == 1
        db.session.rollback()
        yield user


@pytest.fixture
def her(ada, sign_in):
    return sign_in(ada)


def test_statistics_know_them_and_the_log_does_not(her):
    sums = her.get("/api/usage/stats").json["data"]
    page = her.get("/api/usage/logs").json["data"]

    assert (sums["total_requests"], sums["total_charged"]) == (3, "3.0000")
    assert (page["pagination"]["total"], len(page["logs"])) == (1, 1)
    assert len(her.get("/api/usage/export", query_string={"format": "jsonl"}).text.splitlines()) == 1


def test_a_time_of_which_the_log_has_nothing_left_is_added_up_all_the_same(her):
    span = {"start_date": divided.month(OLD).isoformat(), "end_date": divided.month(OLD - 1).isoformat()}

    sums = her.get("/api/usage/stats", query_string={**span, "interval": "day"}).json["data"]

    assert (sums["total_requests"], [one["total_requests"] for one in sums["over_time"]]) == (2, [2])
    assert her.get("/api/usage/logs", query_string=span).json["data"] == {
        "logs": [], "pagination": {"limit": 50, "offset": 0, "total": 0},
    }  # fmt: skip


def test_the_plug_ins_sums_know_them(her):
    consumed = her.get("/api/plugin-api/quotas/shared-pool").json["data"]["user_consumption"]
    of_the_model = her.get("/api/plugin-api/quotas/consumption/stats/m").json["data"]

    assert (consumed["total_requests"], consumed["shared_quota_consumed"]) == (3, 3.0)
    assert (of_the_model["total_requests"], of_the_model["total_quota_consumed"]) == ("3", "3.0000")


def test_statements_of_their_month_know_them(her):
    answer = her.get("/api/usage/statement", query_string={"month": f"{divided.month(OLD):%Y-%m}"}).json

    assert [group["spent"] for group in answer["model_groups"]] == ["-2.000000"]


def test_a_budget_in_all_that_is_set_now_knows_them(ada):
    [key] = db.session.scalars(db.select(budgets.ApiKey))

    budgets.recount(key)
    db.session.commit()

    [standing] = budgets.standing(key.id)
    assert standing.spent == 3 * MICRO


def test_the_ledger_is_proved_without_them(app, ada):
    # Opened by hand, the pools have no entries for their openings; of lines that are gone nothing is said.
    assert [problem for problem in proof.verify() if "Exchange" in problem] == []
    db.session.rollback()
    assert "Exchange" not in app.test_cli_runner().invoke(args=["quotas", "verify"]).output


def test_who_called_long_ago_is_no_newcomer(committed, keep):
    user = factories.user()
    with divided.months(OLD, KEPT), keep(1):
        line(divided.month(OLD) + HOUR, user=user)
        line(THIS_HOUR - HOUR, user=user.id + 1)
        roll_up()
        turn()

        assert figures.standing(user.id).has_called
