"""Whatever comes late, runs twice, runs beside itself or dies in the middle: the roll-ups are what the log says.

To look for longer: LIVES=500 STEPS=80 pytest tests/usage/test_rollup_machine.py
"""

from __future__ import annotations

import os
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.usage import clock_api, rollup
from shared_accounts.usage.models import BASES, OUTCOMES
from shared_accounts.usage.stats import DAY, stats
from shared_accounts.usage.stats import HOUR as BY_HOUR
from shared_accounts.usage.wanted import Wanted
from tests.together import at_once
from tests.usage.recount import (
    by_day,
    by_hand_with_currencies,
    clear_the_last_hours,
    log_by_hour,
    prices,
    rolled_up,
    told,
)
from tests.usage.scene import HOUR, THIS_HOUR, close, counted, line, log_lines

EVERYBODY = Wanted(viewer=1, scope="all")
ROLL_UP = clock_api.roll_up_usage
TABLES = ("usage_log", "usage_hours", "usage_totals", "usage_days", "usage_day_totals")

hours_ago = st.integers(1, 70)
within = st.floats(0, 0.999)
people = st.integers(1, 3)
amounts = st.integers(0, 10**9)
maybe = partial(st.one_of, st.none())
used = st.fixed_dictionaries(
    {
        "user": people,
        "account": people,
        "contributor": people,
        "api_key_id": maybe(st.integers(1, 2)),
        "model": st.sampled_from(["m", "n"]),
        "client_app": st.sampled_from([None, "cli"]),
        "outcome": st.sampled_from(OUTCOMES),
        "basis": st.sampled_from(BASES),
        "cost": amounts,
        "charged": amounts,
        "prompt_tokens": maybe(amounts),
        "cached_tokens": maybe(amounts),
        "total_ms": maybe(amounts),
    }
)


class Counting(RuleBasedStateMachine):
    """Lines that begin and end at any time, beside counts of every fate."""

    def __init__(self, app):
        super().__init__()
        self.app, self.open = app, []
        db.session.rollback()
        for table in TABLES:
            db.session.execute(text(f"delete from {table}"))
        db.session.commit()
        self.prices = prices()

    @rule(hours=hours_ago, part=within, used=used, price=st.integers(-1, 1), money=amounts)
    def a_line(self, hours, part, used, price, money):
        priced = {} if price < 0 else {"price_id": self.prices[price], "money": money}
        line(THIS_HOUR - hours * HOUR + part * HOUR, **used, **priced)

    @rule(hours=hours_ago, user=people)
    def a_line_that_is_open(self, hours, user):
        self.open.append(line(THIS_HOUR - hours * HOUR, state="open", user=user))

    @precondition(lambda self: self.open)
    @rule(cost=amounts)
    def a_line_closes_late(self, cost):
        close(self.open.pop(), cost=cost)

    @rule()
    def the_hours_are_counted(self):
        db.session.rollback()
        ROLL_UP()

    @rule(hours=hours_ago)
    def an_hour_is_counted_again(self, hours):
        hour, through = THIS_HOUR - hours * HOUR, rollup.through()
        if through is not None and hour < through:
            rollup.recount(hour)
            db.session.commit()

    @rule()
    def a_count_dies(self):
        rollup.count_next()
        db.session.rollback()

    @rule()
    def counts_run_beside_each_other(self):
        db.session.rollback()
        at_once(self.app, *[ROLL_UP] * 3)

    @invariant()
    def all_levels_say_the_same(self):
        if rollup.through() is not None:
            assert counted("usage_totals") == counted()
            assert by_day("usage_days", "day") == by_day("usage_hours", "hour")
            assert by_day("usage_day_totals", "day") == by_day("usage_totals", "hour")
        db.session.rollback()

    def teardown(self):
        for one in self.open:
            close(one)
        line(THIS_HOUR - HOUR)
        clear_the_last_hours()
        ROLL_UP()
        ROLL_UP()
        for hour in rollup.late_hours(80 * HOUR):  # what the hourly look did not reach back to
            rollup.recount(hour)
            db.session.commit()

        assert rolled_up() == log_by_hour() != {}
        lines = log_lines()
        for wanted in (EVERYBODY, *(Wanted(viewer=user) for user in (1, 2, 3))):
            hers = [one for one in lines if wanted == EVERYBODY or one["user_id"] == wanted.viewer]
            for interval in (None, DAY, BY_HOUR):
                assert told(stats(wanted, interval).total) == by_hand_with_currencies(hers)
        self.all_levels_say_the_same()


@pytest.mark.timeout(0 if "LIVES" in os.environ else 180)
def test_the_roll_ups_equal_the_log_after_late_lines_reruns_and_runs_that_die(committed, app):
    search = settings(
        max_examples=int(os.environ.get("LIVES", "6")),
        stateful_step_count=int(os.environ.get("STEPS", "25")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(partial(Counting, app), settings=search)
