"""The usage log's months: every line has a place, next months are there in time, old ones go as a whole or stay."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg2.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.gateway import books
from shared_accounts.gateway.attempts import new_id
from shared_accounts.gateway.books import Closing
from shared_accounts.quotas import proof
from shared_accounts.usage import clock_api, lines, months, rollup
from shared_accounts.usage.stats import count, stats
from shared_accounts.usage.wanted import Wanted
from tests import factories
from tests.conftest import rows
from tests.gateway.scene import wait_until
from tests.quotas.sharing import caller_for, contributed, open_line, opening
from tests.together import at_once, waiting
from tests.usage import divided
from tests.usage.scene import HOUR, NOW, THIS_HOUR, by_hand, close, counted, line, log_lines, roll_up

EVERYBODY = Wanted(viewer=1, scope="all")
TURN = clock_api.turn_usage_months


def turn():
    db.session.rollback()  # who has read holds on to the months
    TURN()


def where_lines_lie():
    found = db.session.execute(text("select tableoid::regclass::text, count(*) from usage_log group by 1"))
    return dict(found.tuples().all())


def first_id(moment):
    return db.session.scalar(text("select first_usage_id(:moment)"), {"moment": moment})


@pytest.fixture
def keep(with_settings):
    def keep(number):
        return with_settings(usage_log_months=number)

    return keep


@pytest.mark.parametrize("moment", [datetime(1999, 9, 9, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC), NOW])
def test_the_first_id_of_a_moment_is_the_least_that_a_worker_makes_then(session, moment):
    assert factories.exchange_id(moment - timedelta(milliseconds=1)) < first_id(moment) < factories.exchange_id(moment)


def test_the_gateways_ids_lie_in_this_month(session):
    made = UUID(new_id())

    assert first_id(NOW - HOUR) < made < first_id(NOW + HOUR)


def test_each_line_lies_in_the_month_of_its_id_and_those_of_no_month_in_the_default(committed):
    with divided.months(2, 1, 0):
        for ago in (2, 1, 1, 0, 7, -1):
            line(divided.month(ago) + HOUR)

        assert where_lines_lie() == {
            divided.name(2): 1, divided.name(1): 2, divided.name(0): 1, "usage_log_default": 2,
        }  # fmt: skip


def test_a_month_that_is_missing_fails_no_call(committed):
    account = contributed(factories.user())
    user = factories.user()
    factories.quota_pool(user, balance=MICRO)
    caller = caller_for(user)

    with divided.months(3):
        made = opening(caller, 1000)
        assert open_line(made, account.id) == books.OPEN
        assert where_lines_lie() == {"usage_log_default": 1}

        turn()
        assert where_lines_lie() == {divided.name(0): 1}
        assert books.close_line(made.id, Closing("served", "measured", cost=900))
        assert not books.close_line(made.id, Closing("served", "measured", cost=900))
        assert open_line(made, account.id) == "closed"
        assert [row["charged"] for row in rows("usage_log")] == [900]
        assert proof.verify() == []


def test_this_month_and_two_ahead_are_made_and_look_like_the_others(committed):
    shape = (
        """select count(*), count(*) filter (where indisunique) from pg_index where indrelid = cast(:of as regclass)"""
    )
    rules = "select count(*) from pg_constraint where conrelid = cast(:of as regclass)"
    triggers = "select count(*) from pg_trigger where tgrelid = cast(:of as regclass)"
    with divided.months(0):
        turn()

        assert list(divided.parts()) == [divided.name(ago) for ago in (0, -1, -2)]
        for query in (shape, rules, triggers):
            found = {tuple(db.session.execute(text(query), {"of": name}).one()) for name in divided.parts()}
            assert len(found) == 1


def test_lines_that_wait_in_the_default_move_to_their_month_and_no_others(committed):
    with divided.months(1):
        waiting_ones = [line(THIS_HOUR), line(divided.month(-1) + HOUR, state="open")]
        line(divided.month(4))
        before = log_lines()

        turn()

        assert where_lines_lie() == {divided.name(0): 1, divided.name(-1): 1, "usage_log_default": 1}
        assert sorted(log_lines(), key=str) == sorted(before, key=str)
        close(waiting_ones[1])


def test_too_many_lines_are_left_where_they_are_and_reported_until_an_operator_moves_them(committed, app, caplog):
    with divided.months(1):
        for _ in range(3):
            line(THIS_HOUR)

        made, _, strays = clock_api.turn(13, most_moved=2)
        assert (made, strays) == ([], 3)
        assert where_lines_lie() == {"usage_log_default": 3}
        db.session.rollback()

        answer = app.test_cli_runner().invoke(args=["usage", "turn"])
        assert divided.name(0) in answer.output
        assert where_lines_lie() == {divided.name(0): 3}


def test_a_warning_tells_of_lines_in_no_month(committed, caplog):
    with divided.months(0):
        line(divided.month(4))
        turn()

    assert [(record.getMessage(), record.lines) for record in caplog.records if record.levelname == "WARNING"] == [
        ("usage lines lie in no month", 1)
    ]


def test_months_older_than_those_that_are_kept_go_and_their_sums_stay(committed, keep):
    with divided.months(4, 3, 2, 1, 0), keep(2):
        for ago in (4, 3, 2, 1, 0):
            line(divided.month(ago) + HOUR, user=ago + 1, cost=10**ago)
        everything = by_hand(log_lines())
        roll_up()

        turn()

        assert list(divided.parts()) == [divided.name(ago) for ago in (2, 1, 0, -1, -2)]
        assert sorted(one["cost"] for one in log_lines()) == [1, 10, 100]
        assert counted() == everything
        assert stats(EVERYBODY).total.cost == 11_111
        assert rollup.kept_since() == divided.month(2)


def test_with_nothing_set_to_drop_nothing_is(committed, keep):
    with divided.months(30, 0), keep(0):
        line(divided.month(30))
        line(divided.month(40))
        roll_up()
        turn()

        assert len(log_lines()) == 2


@pytest.mark.parametrize("lines_open", [True, False])
def test_a_month_with_an_open_line_or_one_that_is_not_counted_stays(committed, keep, lines_open):
    with divided.months(4, 3, 0), keep(1):
        kept = line(divided.month(4) + HOUR, state="open" if lines_open else "closed")
        line(THIS_HOUR)
        if lines_open:
            roll_up()

        turn()
        assert divided.name(4) in divided.parts()

        if lines_open:
            close(kept)
        roll_up()
        turn()
        assert divided.name(4) not in divided.parts()
        assert counted()["calls"] == 1


def test_lines_that_came_after_their_hour_was_counted_are_counted_before_they_go(committed, keep):
    with divided.months(4, 0), keep(1):
        line(divided.month(4) + HOUR, cost=1)
        line(divided.month(3) + HOUR, cost=2)
        roll_up()
        line(divided.month(4) + HOUR, cost=4)
        line(divided.month(4) + 2 * HOUR, cost=8)

        turn()

        assert where_lines_lie() == {}
        assert counted()["cost"] == 15


def test_old_lines_of_no_month_go_too_and_open_or_recent_ones_stay(committed, keep):
    with divided.months(0), keep(1):
        line(divided.month(9), cost=1)
        line(THIS_HOUR - HOUR, cost=2)
        roll_up()
        line(divided.month(8), state="open", cost=4)

        turn()

        assert sorted(one["cost"] for one in log_lines()) == [2, 4]
        assert counted()["cost"] == 3


def test_an_hour_that_the_log_does_not_hold_any_more_is_not_counted_again(committed, keep):
    with divided.months(3, 0), keep(1):
        line(divided.month(3) + HOUR)
        line(THIS_HOUR - HOUR)
        roll_up()
        turn()
        line(divided.month(3) + HOUR)

        rollup.recount(divided.month(3) + HOUR)
        db.session.commit()
        roll_up()

        assert counted()["calls"] == 2


def test_the_logs_total_is_what_it_lists_when_months_are_gone(committed, keep):
    with divided.months(3, 2, 1, 0), keep(2):
        for ago in (3, 3, 2, 2, 2, 1, 0):
            line(divided.month(ago) + HOUR / 2)
        edge = factories.exchange_id(divided.month(2) - timedelta(milliseconds=5))
        line(divided.month(2) + timedelta(milliseconds=5), id=edge)
        roll_up()
        assert count(EVERYBODY) == len(lines.page(EVERYBODY, offset=0, limit=50)) == 8

        turn()

        assert count(EVERYBODY) == len(lines.page(EVERYBODY, offset=0, limit=50)) == 5
        assert stats(EVERYBODY).total.calls == 8
        since = Wanted(viewer=1, scope="all", start=divided.month(1))
        assert count(since) == len(lines.page(since, offset=0, limit=50)) == 2


def test_turns_beside_each_other_are_as_one(app, committed, keep):
    with divided.months(5, 4, 0), keep(1):
        line(divided.month(5))
        line(THIS_HOUR - HOUR)
        roll_up()

        db.session.rollback()
        at_once(app, *[TURN] * 5)

        assert list(divided.parts()) == [divided.name(ago) for ago in (0, -1, -2)]
        assert counted()["calls"] == 2


def test_who_finds_somebody_changing_months_waits_and_makes_what_is_missing_then(app, committed):
    def in_another_process():
        with app.app_context():
            TURN()

    run = threading.Thread(target=in_another_process)
    with divided.months(0):
        with db.engine.connect() as somebody, somebody.begin():
            somebody.execute(months._ALONE)  # noqa: SLF001
            db.session.rollback()
            run.start()
            wait_until(lambda: waiting() == 1, "the turn does not wait")
        run.join()

        assert list(divided.parts()) == [divided.name(ago) for ago in (0, -1, -2)]


def test_whoever_is_in_the_way_is_waited_for_a_while_and_calls_do_not_wait_longer(app, committed):
    with divided.months(0):
        with db.engine.connect() as reader, reader.begin():
            reader.exec_driver_sql("select from usage_log")
            db.session.rollback()
            with pytest.raises(OperationalError) as refused:
                months.make_next()
            assert isinstance(refused.value.orig, LockNotAvailable)
            db.session.rollback()

            def in_another_process():
                with app.app_context():
                    TURN()

            run = threading.Thread(target=in_another_process)
            run.start()
            wait_until(lambda: waiting() == 1, "the turn does not wait")
        run.join()

        assert list(divided.parts()) == [divided.name(ago) for ago in (0, -1, -2)]


def test_a_turn_that_dies_half_way_changes_nothing(committed):
    with divided.months(1):
        line(THIS_HOUR)
        assert months.make_next().table == divided.name(0)
        db.session.rollback()  # it died before its commit

        assert list(divided.parts()) == [divided.name(1)]
        assert where_lines_lie() == {"usage_log_default": 1}


def test_a_look_up_by_id_looks_into_one_month(committed):
    plan = text("explain (costs off) select state from usage_log where id = '01a2ce8b-d400-7000-8000-000000000000'")
    near = months.near(NOW - HOUR, NOW)

    assert str(db.session.execute(plan).all()).count("Index Scan") == 1
    query = db.session.query(lines.UsageLog.id).where(*near)
    explained = text(
        "explain (costs off) " + str(query.statement.compile(db.engine, compile_kwargs={"literal_binds": True}))
    )
    assert (
        len({word for word in str(db.session.execute(explained).all()).split() if word.startswith("usage_log_2")}) <= 2
    )


def test_operators_see_the_months_and_turn_them(app, committed, keep):
    with divided.months(3, 0), keep(1):
        line(divided.month(3))
        roll_up()
        run = app.test_cli_runner().invoke

        listed = run(args=["usage", "months"])
        assert [row.split()[0] for row in listed.output.splitlines()] == [
            f"{divided.month(ago):%Y-%m}" for ago in (3, 0)
        ]

        turned = run(args=["usage", "turn"])
        assert f"dropped {divided.name(3)}" in turned.output
        assert f"made {divided.name(-2)}" in turned.output


def test_late_hours_of_a_time_that_is_over_are_found(committed):
    line(THIS_HOUR - 90 * HOUR)
    line(THIS_HOUR - 2 * HOUR)
    roll_up()
    late = line(THIS_HOUR - 90 * HOUR)

    assert rollup.late_hours(timedelta(hours=48)) == []
    assert rollup.late_hours(timedelta(hours=3), late.opened_at + HOUR) == [late.opened_at]
