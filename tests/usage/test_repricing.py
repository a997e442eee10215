"""`flask usage reprice`: afterwards lines and sums are what the prices say now, however often it runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared_accounts.extensions import db
from shared_accounts.money import price_list
from shared_accounts.usage import repricing, rollup, unpriced
from shared_accounts.usage.stats import stats
from shared_accounts.usage.wanted import Wanted
from tests.conftest import rows
from tests.usage.recount import log_by_hour, rolled_up
from tests.usage.scene import HOUR, NOW, THIS_HOUR, line, roll_up

EVERYBODY = Wanted(viewer=1, scope="all")


def lay_down(prompt, completion, *, model="m", since=THIS_HOUR - 100 * HOUR, currency="USD"):
    found, _ = price_list.lay_down(
        model, amounts=(prompt, completion, prompt), currency=currency, since=since, actor_id=None
    )
    db.session.commit()
    return found.id


def reprice(since=THIS_HOUR - 50 * HOUR, model=None):
    changed = 0
    for done in repricing.reprice(since, model):
        db.session.commit()
        changed += done.lines
    return changed


def priced():
    return {(row["account_id"]): (row["price_id"], row["money"]) for row in rows("usage_log")}


def test_each_line_gets_the_version_that_counted_when_it_was_opened(committed):
    old = lay_down(1_000_000, 2_000_000)
    new = lay_down(3_000_000, 0, since=THIS_HOUR - 2 * HOUR)
    line(THIS_HOUR - 3 * HOUR, account=1)
    line(THIS_HOUR - 2 * HOUR, account=2)
    line(THIS_HOUR - 2 * HOUR - timedelta(microseconds=1), account=3)
    line(NOW, account=4, model="unknown")
    line(NOW, account=5, prompt_tokens=None, completion_tokens=None, basis="released")
    line(NOW, account=6, state="open")

    assert reprice() == 3

    assert priced() == {
        1: (old, 18),
        2: (new, 30),
        3: (old, 18),
        4: (None, None),
        5: (None, None),
        6: (None, None),
    }
    assert reprice() == 0


def test_a_wrong_price_is_corrected_by_a_version_from_the_same_moment(committed):
    lay_down(9_000_000, 9_000_000)
    line(NOW)
    reprice()

    corrected = lay_down(1_000_000, 0, currency="EUR")

    assert reprice() == 1
    assert priced() == {1: (corrected, 10)}


def test_counted_hours_say_the_same_afterwards_and_lines_from_before_stay(committed):
    for hours in range(1, 6):
        line(THIS_HOUR - hours * HOUR, account=hours)
    line(NOW, account=6)
    roll_up()
    lay_down(1_000_000, 0)

    assert reprice(THIS_HOUR - 3 * HOUR) == 4

    assert rolled_up() == log_by_hour()
    assert stats(EVERYBODY).total.costs == {"USD": 40}
    assert stats(EVERYBODY).total.unpriced == 2
    assert reprice(THIS_HOUR - 50 * HOUR, "n") == 0
    assert reprice(THIS_HOUR - 50 * HOUR, "m") == 2
    assert stats(EVERYBODY).total.unpriced == 0


def test_a_time_in_the_middle_of_an_hour_is_kept_to(committed):
    lay_down(1_000_000, 0)
    line(THIS_HOUR - 2 * HOUR + timedelta(minutes=10), account=1)
    line(THIS_HOUR - 2 * HOUR + timedelta(minutes=20), account=2)

    assert reprice(THIS_HOUR - 2 * HOUR + timedelta(minutes=20)) == 1
    assert [account for account, (price, _) in priced().items() if price] == [2]


def test_an_hour_that_another_counts_is_waited_for_and_one_that_dies_leaves_whole_hours(committed):
    lay_down(1_000_000, 0)
    for hours in range(1, 4):
        line(THIS_HOUR - hours * HOUR, account=hours)
    roll_up()

    for number, _ in enumerate(repricing.reprice(THIS_HOUR - 3 * HOUR)):
        if number == 1:
            db.session.rollback()  # it died before its second commit
            break
        db.session.commit()

    assert rolled_up() == log_by_hour()
    assert reprice() == 2
    assert rolled_up() == log_by_hour()


def test_an_empty_log_is_nothing_to_do(committed):
    assert reprice() == 0


def test_money_is_added_up_by_currency_for_each_thing_exchanges_have_in_common(committed):
    lay_down(1_000_000, 0)
    lay_down(2_000_000, 0, model="n", currency="EUR")
    for model, hours in (("m", 0), ("m", 2), ("n", 0), ("n", 3), ("x", 3)):
        line(THIS_HOUR - hours * HOUR, model=model)
    reprice()
    for counted in (False, True):
        if counted:
            roll_up()

        found = stats(EVERYBODY, "day")

        assert found.total.costs == {"USD": 20, "EUR": 40}
        assert {sums.model: (sums.costs, sums.calls, sums.unpriced) for sums in found.by["model"]} == {
            "m": ({"USD": 20}, 2, 0),
            "n": ({"EUR": 40}, 2, 0),
            "x": ({}, 1, 1),
        }
        (kind,) = found.by["outcome"]
        assert (kind.costs, kind.calls) == ({"USD": 20, "EUR": 40}, 5)
        assert sum(sums.costs.get("EUR", 0) for sums in found.by["at"]) == 40
    assert unpriced.models(1) == [{"model": "x", "unpriced_requests": 1, "has_price": False}]


@pytest.mark.parametrize("counted", [False, True])
def test_a_model_that_got_its_price_late_is_listed_until_it_is_repriced(committed, counted):
    line(THIS_HOUR - 2 * HOUR)
    if counted:
        roll_up()
    lay_down(1_000_000, 0)
    assert rollup.through() is not None or not counted

    assert unpriced.models(1) == [{"model": "m", "unpriced_requests": 1, "has_price": True}]
    reprice()
    assert unpriced.models(1) == []
