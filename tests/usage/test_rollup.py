"""The roll-ups are what the log says, whatever comes late, runs twice or dies in the middle."""

from __future__ import annotations

import random
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared_accounts.extensions import db
from shared_accounts.usage import clock_api, rollup
from shared_accounts.usage.stats import HOUR as BY_HOUR
from shared_accounts.usage.stats import stats
from shared_accounts.usage.wanted import Wanted
from tests.gateway.scene import wait_until
from tests.together import at_once, waiting
from tests.usage.recount import by_hand_with_currencies, rolled_up, told
from tests.usage.scene import HOUR, NOW, THIS_HOUR, by_hand, close, counted, line, log_lines, roll_up

ROLL_UP = clock_api.roll_up_usage
EVERYBODY = Wanted(viewer=1, scope="all")


@pytest.mark.parametrize("seed", range(4))
def test_statistics_are_exact_at_every_moment_however_far_counting_went(committed, seed):
    chance = random.Random(100 + seed)
    opened = line(THIS_HOUR - 5 * HOUR, state="open")
    for step in range(25):
        if step == 15:
            close(opened)
        if chance.random() < 0.3:
            roll_up()
        else:
            at = max(rollup.through() or THIS_HOUR - 9 * HOUR, THIS_HOUR - 9 * HOUR)
            line(at + chance.random() * (NOW - at), user=chance.randrange(1, 3), cost=chance.randrange(1000))
        start, end = sorted(THIS_HOUR - chance.random() * 10 * HOUR for _ in range(2))

        lines = log_lines()
        for wanted in (EVERYBODY, Wanted(viewer=1), Wanted(viewer=2, start=start, end=end)):
            mine = [one for one in lines if wanted.scope == "all" or one["user_id"] == wanted.viewer]
            inside = [one for one in mine if (wanted.start or one["opened_at"]) <= one["opened_at"]]
            inside = [one for one in inside if wanted.end is None or one["opened_at"] < wanted.end]
            found = stats(wanted, BY_HOUR)
            assert told(found.total) == by_hand_with_currencies(inside)
            assert sum(row.calls for row in found.by["at"]) == found.total.calls


def test_an_hour_is_not_counted_while_one_of_its_lines_is_open(committed):
    opened = line(THIS_HOUR - 3 * HOUR, state="open")
    line(THIS_HOUR - 3 * HOUR)
    line(THIS_HOUR - 2 * HOUR)

    roll_up()
    assert rolled_up() == {}

    close(opened)
    roll_up()
    assert counted()["calls"] == 3


def test_the_hour_that_is_not_over_is_not_counted(committed):
    line(THIS_HOUR - HOUR * 2)
    line(THIS_HOUR)

    roll_up()

    assert rollup.through() == THIS_HOUR - HOUR


def test_a_transaction_that_began_before_the_end_of_an_hour_may_still_add_to_it(committed):
    (before,) = db.session.execute(text("select now()")).one()
    db.session.rollback()

    with db.engine.connect() as slow, slow.begin():
        began = slow.exec_driver_sql("select now()").scalar()

        assert rollup.transactions_from_before(began + HOUR)
        db.session.rollback()
        assert not rollup.transactions_from_before(began)
        assert not rollup.transactions_from_before(before)

    db.session.rollback()
    assert not rollup.transactions_from_before(began + HOUR)


def test_lines_that_appear_in_a_counted_hour_are_found_and_counted(committed):
    line(THIS_HOUR - 4 * HOUR)
    line(THIS_HOUR - 3 * HOUR)
    ROLL_UP()

    restored = line(THIS_HOUR - 4 * HOUR, cost=5)
    in_an_hour_of_its_own = line(THIS_HOUR - 6 * HOUR, cost=6)
    line(THIS_HOUR - 2 * HOUR)
    ROLL_UP()

    assert {restored.cost, in_an_hour_of_its_own.cost} == {5, 6}
    assert counted() == by_hand(log_lines())


def test_lines_that_were_removed_from_the_log_stay_counted(committed):
    line(THIS_HOUR - 4 * HOUR)
    line(THIS_HOUR - 3 * HOUR)
    ROLL_UP()
    db.session.execute(text("delete from usage_log"))
    line(THIS_HOUR - 2 * HOUR)

    ROLL_UP()

    assert counted()["calls"] == 3


def test_counts_beside_each_other_count_once(app, committed):
    for hour in range(2, 8):
        for _ in range(3):
            line(THIS_HOUR - hour * HOUR)

    at_once(app, *[ROLL_UP] * 6)
    ROLL_UP()

    assert counted() == counted("usage_totals") == by_hand(log_lines())


def test_a_count_whose_connection_is_killed_leaves_nothing_half_done(app, committed):
    for hour in range(2, 5):
        line(THIS_HOUR - hour * HOUR)
    ended = []

    def count():
        with app.app_context():
            try:
                ROLL_UP()
            except DBAPIError as error:
                ended.append(error)

    with db.engine.connect() as gate, gate.begin():
        gate.exec_driver_sql("lock table usage_totals in exclusive mode")  # its hours are written, its totals are not
        run = threading.Thread(target=count)
        run.start()
        wait_until(lambda: waiting() == 1, "the count does not wait")
        blocked = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'"
        db.session.execute(text(blocked + " and datname = current_database()"))
        db.session.rollback()
        run.join()

    assert len(ended) == 1
    assert rolled_up() == {}
    ROLL_UP()
    assert counted() == counted("usage_totals") == by_hand(log_lines())


def test_one_run_does_not_count_for_ever(committed):
    for hour in range(2, 60):
        line(THIS_HOUR - hour * HOUR)

    ROLL_UP()
    assert 0 < counted()["calls"] < 58

    ROLL_UP()
    assert counted()["calls"] == 58
