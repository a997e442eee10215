"""What a key may spend: counted in PostgreSQL as exchanges are opened and closed, by the hour."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from shared_accounts.auth import tokens
from shared_accounts.config import MICRO
from shared_accounts.extensions import db, statements
from shared_accounts.gateway import books
from shared_accounts.keys import budgets, keyring, limits
from tests import factories
from tests.conftest import rows
from tests.gateway.scene import wait_until
from tests.keys.held import begin, end, holder, lay_down, spend
from tests.quotas.sharing import open_line, opening
from tests.together import WAITING

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def within_an_hour():
    """No full hour comes in the middle of a test."""
    left = 3600 - time.time() % 3600
    if left < 20:
        time.sleep(left)


@pytest.fixture
def owner(committed):
    return factories.user()


@pytest.fixture
def account(owner):
    """Her own: what a key spends there counts as well, and no pool is in the way."""
    return factories.account(owner, sharing="dedicated").id


@pytest.fixture
def key(owner):
    made, secret = factories.api_key(owner)
    return made.id, secret


def spent(key_id):
    """What is counted, by the hours ago; in all under None."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    query = text("select nullif(hour, '-infinity'), cost from api_key_spend where api_key_id = :key")
    found = db.session.execute(query, {"key": key_id}).all()
    db.session.rollback()
    return {hour and round((now - hour) / timedelta(hours=1)): cost for hour, cost in found}


def standing(key_id, budget):
    db.session.rollback()
    (found,) = [one for one in budgets.standing(key_id) if one.budget == budget]
    return found.limit, found.spent, found.held


@pytest.mark.parametrize("budget", ["total", "five_hours", "day", "week", "month"])
def test_what_is_spent_and_what_is_under_way_leave_so_much_of_a_budget(key, account, budget):
    key_id, secret = key
    lay_down(key_id, **{f"budget_{budget}": 100})

    spend(secret, account, 50)
    verdict, exchange_id = begin(secret, account, 30)

    assert verdict == "open"
    assert standing(key_id, budget) == (100, 50, 30)
    assert begin(secret, account, 21)[0] == "over budget"
    assert begin(secret, account, 20)[0] == "open"
    end(exchange_id, 5)
    assert standing(key_id, budget) == (100, 55, 20)
    assert begin(secret, account, 25)[0] == "open"


def test_a_refused_exchange_leaves_nothing_behind(key, account):
    key_id, secret = key
    lay_down(key_id, budget_total=10)

    assert begin(secret, account, 11)[0] == "over budget"

    assert rows("usage_log") == rows("reservations") == rows("api_key_spend") == []


@pytest.mark.parametrize(("budget", "hours"), [("five_hours", 5), ("day", 24), ("week", 168), ("month", 720)])
def test_what_was_spent_counts_until_its_hour_is_as_long_ago_as_the_budget_is_wide(key, account, budget, hours):
    key_id, secret = key
    lay_down(key_id, **{f"budget_{budget}": 100})

    spend(secret, account, 60, hours_ago=hours + 1)
    spend(secret, account, 30, hours_ago=hours)
    spend(secret, account, 7)

    assert standing(key_id, budget) == (100, 37, 0)
    assert begin(secret, account, 64)[0] == "over budget"
    assert begin(secret, account, 63)[0] == "open"


def test_a_total_never_comes_back(key, account):
    key_id, secret = key
    lay_down(key_id, budget_total=100)

    spend(secret, account, 90, hours_ago=10_000)

    assert begin(secret, account, 11)[0] == "over budget"
    short = budgets.shortage(key_id, 11)
    assert (short.standing.budget, short.fits_at, short.seconds) == ("total", None, None)


def test_the_tightest_budget_decides_and_the_one_that_takes_longest_is_named(key, account):
    key_id, secret = key
    lay_down(key_id, budget_five_hours=50, budget_day=60, budget_week=1000)
    spend(secret, account, 45)

    assert begin(secret, account, 16)[0] == "over budget"
    assert budgets.shortage(key_id, 16).standing.budget == "day"
    assert budgets.shortage(key_id, 10).standing.budget == "five_hours"
    assert budgets.shortage(key_id, 5) is None


def test_a_shortage_says_at_which_full_hour_there_is_room_again(key, account):
    key_id, secret = key
    lay_down(key_id, budget_day=100)
    spend(secret, account, 30, hours_ago=20)
    spend(secret, account, 30, hours_ago=10)
    spend(secret, account, 30)
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

    short = [budgets.shortage(key_id, needed) for needed in (11, 40, 41, 90, 100, 101)]

    in_hours = [one.fits_at and round((one.fits_at - this_hour) / timedelta(hours=1)) for one in short]
    assert in_hours == [5, 5, 15, 25, 25, None]
    assert all(0 < (one.fits_at - datetime.now(UTC)).total_seconds() <= one.seconds + 5 for one in short[:5])


def test_there_is_room_at_the_moment_that_was_named(key, account):
    key_id, secret = key
    lay_down(key_id, budget_five_hours=100)
    spend(secret, account, 100, hours_ago=3)
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = round((budgets.shortage(key_id, 1).fits_at - this_hour) / timedelta(hours=1))

    moved_back(hours - 1)
    assert begin(secret, account, 1)[0] == "over budget"
    moved_back(1)
    assert begin(secret, account, 1)[0] == "open"


def moved_back(hours):
    """Not to wait for hours, what was spent is moved back by as many."""
    later = text("update api_key_spend set hour = hour - make_interval(hours => :hours) where hour > '-infinity'")
    db.session.execute(later, {"hours": hours})
    db.session.commit()


@pytest.mark.parametrize("cost", [0, 40, 70])
def test_what_an_exchange_costs_replaces_what_it_was_expected_to(key, account, cost):
    key_id, secret = key
    lay_down(key_id, budget_day=100)
    _, exchange_id = begin(secret, account, 60)

    end(exchange_id, cost)

    assert standing(key_id, "day") == (100, cost, 0)
    assert spent(key_id) == ({0: cost, None: cost} if cost else {})


def test_closing_twice_or_after_the_reaper_counts_once(key, account):
    key_id, secret = key
    lay_down(key_id, budget_total=100)
    caller = holder(secret)
    opened = opening(caller, 20, lease_seconds=-1)
    assert open_line(opened, account) == "open"

    assert books.close_abandoned() == 1
    assert not books.close_line(opened.id, books.Closing("served", "measured", cost=70))

    assert standing(key_id, "total") == (100, 20, 0)


def test_opening_again_on_another_account_does_not_count_against_itself(key, account, owner):
    key_id, secret = key
    other = factories.account(owner, sharing="dedicated").id
    lay_down(key_id, budget_day=100, max_concurrent=1)
    opened = opening(holder(secret), 100)

    assert [open_line(opened, one) for one in (account, other, other)] == ["open"] * 3

    assert standing(key_id, "day") == (100, 0, 100)


def test_of_many_at_once_exactly_those_get_in_whose_estimates_fit(key, account):
    key_id, secret = key
    lay_down(key_id, budget_five_hours=1000, budget_total=750)
    calls, together = 24, threading.Barrier(24)
    caller = holder(secret)

    def call(_):
        together.wait()
        return begin(secret, account, 100, caller=caller)

    with ThreadPoolExecutor(calls) as threads:
        found = list(threads.map(call, range(calls)))

    assert sorted(verdict for verdict, _ in found) == ["open"] * 7 + ["over budget"] * (calls - 7)
    assert standing(key_id, "total") == (750, 0, 700)


def test_many_that_end_at_once_are_all_counted(key, account):
    key_id, secret = key
    lay_down(key_id, budget_total=10 * MICRO)
    opened = [begin(secret, account, 10)[1] for _ in range(16)]
    together = threading.Barrier(16)

    def finish(exchange_id):
        together.wait()
        end(exchange_id, 7)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(finish, opened))

    assert spent(key_id) == {0: 112, None: 112}


def test_keys_without_a_budget_are_not_counted(key, account):
    key_id, secret = key
    lay_down(key_id, max_concurrent=5)

    spend(secret, account, 50)

    assert rows("api_key_spend") == []


def test_a_first_budget_counts_what_the_key_has_cost_before(key, account):
    key_id, secret = key
    spend(secret, account, 40, hours_ago=30)
    spend(secret, account, 20)
    spend(secret, account, 3)

    lay_down(key_id, budget_day=100, budget_total=100)

    assert spent(key_id) == {30: 40, 0: 23, None: 63}
    assert standing(key_id, "day") == (100, 23, 0)
    assert standing(key_id, "total") == (100, 63, 0)


def test_a_budget_that_comes_back_counts_what_was_spent_without_one(key, account):
    key_id, secret = key
    for limit, cost in ((100, 5), (None, 7), (100, 11)):
        lay_down(key_id, budget_total=limit)
        spend(secret, account, cost)

    assert standing(key_id, "total") == (100, 23, 0)
    lay_down(key_id, budget_day=50)
    assert standing(key_id, "total") == (100, 23, 0)


def test_an_exchange_that_closes_while_the_first_budget_is_set_counts_once(app, owner, key, account):
    """Its close waits for the change, and then finds the budget that it could not see when it began."""
    key_id, secret = key
    opened = [begin(secret, account, 10)[1] for _ in range(8)]
    halfway, done = opened[:4], opened[4:]
    for one in done:
        end(one, 5)
    limits.change(keyring.get(owner.id, key_id, to_change=True), {"budget_total": 1000})

    with ThreadPoolExecutor(4) as threads:
        closing = [threads.submit(end, one, 5) for one in halfway]
        wait_until(lambda: waiting(app) == 4, "nobody waits")
        db.session.commit()
        for one in closing:
            one.result()

    assert spent(key_id) == {0: 40, None: 40}


def waiting(app):
    """How many connections wait for a lock at this moment; asked outside the transaction under way."""
    with app.app_context(), db.engine.connect() as connection:
        return len(connection.exec_driver_sql(WAITING).all())


def test_a_deleted_key_leaves_no_spending_behind_and_what_it_began_can_end(key, account, owner):
    key_id, secret = key
    lay_down(key_id, budget_total=100)
    spend(secret, account, 5)
    caller = holder(secret)
    _, exchange_id = begin(secret, account, 10)

    keyring.revoke(owner.id, key_id)
    db.session.commit()
    end(exchange_id, 10)

    assert rows("api_key_spend") == []
    assert begin(secret, account, caller=caller)[0] == "unknown"


def test_a_key_has_as_many_exchanges_under_way_as_it_may(key, account, owner):
    key_id, secret = key
    lay_down(key_id, max_concurrent=3)
    caller = holder(secret)
    together = threading.Barrier(12)

    def call(_):
        together.wait()
        return begin(secret, account, 1, caller=caller)

    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(call, range(12)))

    assert sorted(verdict for verdict, _ in found) == ["key busy"] * 9 + ["open"] * 3
    other = factories.api_key(owner)[1]
    assert begin(other, account)[0] == "open"
    end(next(exchange_id for verdict, exchange_id in found if verdict == "open"), 0)
    assert [begin(secret, account)[0] for _ in range(2)] == ["open", "key busy"]


def test_a_crash_returns_a_keys_slots_with_its_leases(key, account):
    key_id, secret = key
    lay_down(key_id, max_concurrent=1)
    assert open_line(opening(holder(secret), 5, lease_seconds=-1), account) == "open"
    assert begin(secret, account)[0] == "key busy"

    assert books.close_abandoned() == 1

    assert begin(secret, account)[0] == "open"


def test_who_was_recognised_before_a_change_is_told_so(key, account):
    key_id, secret = key
    before = holder(secret)
    lay_down(key_id, models=["other"])

    assert begin(secret, account, caller=before)[0] == "changed"
    assert begin(secret, account)[0] == "open"


def test_a_key_that_is_renamed_or_switched_goes_on(key, account, owner):
    key_id, secret = key
    before = holder(secret)
    for on in (False, True):
        keyring.switch(owner.id, key_id, on=on)
        db.session.commit()

    assert begin(secret, account, caller=before)[0] == "open"


def test_counting_open_lines_reads_none_of_the_closed_ones(committed):
    """A plan made while the tables are small is kept, and has to be right when a key has millions of lines."""
    query = """select count(*) from usage_log where user_id = (select user_id from api_keys where id = 7)
        and coalesce(api_key_id, 0) = 7 and state = 'open'"""
    with db.engine.begin() as connection:
        for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
            connection.exec_driver_sql(f"set local {setting} = off")
        plan = "\n".join(connection.exec_driver_sql(f"explain {query}").scalars())

    used = re.findall(r"Index Scan using (usage_log\w+)", plan)
    of_open = text(
        "select count(*) from pg_indexes where indexname = any(:used) and indexdef like '%(user_id)%''open''%'"
    )
    assert len(used) == 4
    assert db.session.scalar(of_open, {"used": used}) == 4


def test_the_books_still_speak_to_sessions(owner, account):
    issued = tokens.issue(owner, user_agent=None, address=None)
    db.session.commit()
    caller = tokens.authenticate(issued.session_id)

    assert open_line(opening(caller, 5), account) == "open"
    assert rows("usage_log")[0]["api_key_id"] is None
    assert statements.row("caller_by_session", str(issued.session_id)) is not None
