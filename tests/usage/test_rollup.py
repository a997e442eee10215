"""The roll-ups are what the log says, whatever comes late, runs twice or dies in the middle."""

from __future__ import annotations

import random
import threading
from collections import defaultdict

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared_accounts.extensions import db
from shared_accounts.money.models import ModelPrice
from shared_accounts.usage import clock_api, rollup
from shared_accounts.usage.models import BASES, OUTCOMES
from shared_accounts.usage.stats import HOUR as BY_HOUR
from shared_accounts.usage.stats import stats
from shared_accounts.usage.wanted import Wanted
from tests.conftest import rows
from tests.gateway.scene import wait_until
from tests.together import at_once, waiting
from tests.usage.scene import HOUR, NOW, THIS_HOUR, by_hand, close, counted, line, log_lines, roll_up

ROLL_UP = clock_api.roll_up_usage
EVERYBODY = Wanted(viewer=1, scope="all")


def told(found):
    """Sums as people get them: money by currency."""
    return {name: int(getattr(found, name)) for name in by_hand([]) if name != "money"}, found.costs


def by_hand_with_currencies(lines):
    """The same from the log."""
    sums, currencies = by_hand(lines), currency_of()
    sums.pop("money")
    priced = [one for one in lines if one["state"] == "closed" and one["price_id"]]
    costs = {currencies[one["price_id"]]: 0 for one in priced}
    for one in priced:
        costs[currencies[one["price_id"]]] += one["money"]
    return sums, costs


def currency_of():
    return {price["id"]: price["currency"] for price in rows("model_prices")}


def alike(one):
    names = ("user_id", "api_key_id", "account_id", "contributor_id", "model", "endpoint", "client_app", "outcome")
    currency = one["currency"] if "currency" in one else currency_of().get(one["price_id"], "")
    return (*(one[name] or (0 if name == "api_key_id" else "") for name in names), currency)


def log_by_hour():
    """The counted part of the log, added up by hand: what `usage_hours` must be, row for row."""
    through = rollup.through()
    groups = defaultdict(list)
    for one in log_lines():
        if through is not None and one["opened_at"] < through:
            groups[one["opened_at"].replace(minute=0, second=0, microsecond=0), alike(one)].append(one)
    return {key: sums for key, lines in groups.items() if (sums := by_hand(lines))["calls"]}


def rolled_up():
    return {(row["hour"], alike(row)): {name: row[name] for name in by_hand([])} for row in rows("usage_hours")}


def prices():
    """Versions in two currencies."""
    for currency in ("EUR", "USD") if not rows("model_prices") else ():
        db.session.add(ModelPrice(model="m", currency=currency, prompt=1, completion=1, cached=1))
        db.session.commit()
    return [price["id"] for price in rows("model_prices")]


def a_random_line(chance):
    at = THIS_HOUR - chance.randrange(1, 30) * HOUR + chance.random() * HOUR
    if chance.random() < 0.2:
        at = NOW - chance.random() * (NOW - THIS_HOUR)
    outcome = chance.choice(OUTCOMES)
    price_id = chance.choice([None, *prices()])
    return line(
        at,
        user=chance.randrange(1, 4),
        account=chance.randrange(1, 4),
        contributor=chance.randrange(1, 4),
        api_key_id=chance.choice([None, 1, 2]),
        model=chance.choice(["m", "n"]),
        client_app=chance.choice([None, "cli"]),
        outcome=outcome,
        basis=chance.choice(BASES),
        cost=chance.randrange(10**9),
        charged=chance.randrange(10**6),
        prompt_tokens=chance.choice([None, chance.randrange(10**6)]),
        cached_tokens=chance.choice([None, 5]),
        total_ms=chance.choice([None, chance.randrange(10**5)]),
        price_id=price_id,
        money=price_id and chance.randrange(10**9),
    )


@pytest.mark.parametrize("seed", range(6))
def test_roll_ups_equal_the_log_after_late_lines_reruns_and_runs_that_die(committed, seed):
    chance = random.Random(seed)
    still_open = []
    for _ in range(40):
        act = chance.random()
        if act < 0.5:
            a_random_line(chance)
        elif act < 0.6:
            still_open.append(
                line(THIS_HOUR - chance.randrange(0, 10) * HOUR, state="open", user=chance.randrange(1, 4))
            )
        elif act < 0.75 and still_open:
            close(still_open.pop(chance.randrange(len(still_open))), cost=chance.randrange(100))
        elif act < 0.85:
            ROLL_UP()
        elif act < 0.9:
            rollup.count_next()
            db.session.rollback()  # it died before its commit
    for one in still_open:
        close(one)
    line(THIS_HOUR - HOUR)
    clear_the_last_hours()

    ROLL_UP()
    ROLL_UP()

    assert rolled_up() == log_by_hour()
    assert rolled_up()
    assert counted("usage_totals") == counted()
    assert told(stats(EVERYBODY).total) == by_hand_with_currencies(log_lines())


def clear_the_last_hours():
    """As when the next hour is over: the run that counts one looks for late lines, too."""
    for table in ("usage_hours", "usage_totals"):
        db.session.execute(text(f"delete from {table} where hour >= :since"), {"since": THIS_HOUR - HOUR})
    db.session.commit()


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
