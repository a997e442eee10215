import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, text, update

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import forecast, ledger, proof
from shared_accounts.quotas.ledger import Terms
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.quotas.refill import refill
from tests import factories

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_pool(balance, *, capacity=6 * MICRO, rate=1_200_000, through=NOON):
    pool = factories.quota_pool(factories.user(), balance=balance)
    pool.capacity, pool.refill_per_hour, pool.refilled_through = capacity, rate, through
    db.session.commit()
    return pool


def fresh(pool):
    db.session.expire_all()
    return db.session.get(QuotaPool, pool.id)


def test_the_worked_example(session):
    pool = a_pool(3_500_000)

    refill(NOON + HOUR)

    assert fresh(pool).balance == 4_700_000


def test_a_second_run_in_the_same_hour_changes_nothing(session):
    pool = a_pool(0)

    assert refill(NOON + HOUR) == 1
    assert refill(NOON + HOUR + timedelta(minutes=59)) == 0

    assert fresh(pool).balance == 1_200_000
    assert proof.verify() == []


def test_a_night_of_downtime_is_made_up_once(session):
    pool = a_pool(0, capacity=100 * MICRO)

    refill(NOON + 5 * HOUR + timedelta(minutes=3))
    refill(NOON + 5 * HOUR + timedelta(minutes=4))

    assert fresh(pool).balance == 6_000_000
    entries = db.session.scalars(select(LedgerEntry).where(LedgerEntry.kind == "refill")).all()
    assert [(entry.amount, entry.slot) for entry in entries] == [(6_000_000, NOON + 5 * HOUR)]


def test_a_clock_set_back_changes_nothing(session):
    pool = a_pool(0)
    refill(NOON + 2 * HOUR)

    refill(NOON - 5 * HOUR)
    refill(NOON + 2 * HOUR)

    assert fresh(pool).balance == 2_400_000


def test_a_clock_set_forward_gives_at_most_the_capacity(session):
    pool = a_pool(0)

    refill(NOON + 10_000 * HOUR)

    assert fresh(pool).balance == 6 * MICRO


def test_a_full_pool_does_not_save_up_hours(session):
    pool = a_pool(6 * MICRO)
    refill(NOON + 3 * HOUR)
    ledger_free = fresh(pool)
    ledger_free.balance = 0
    db.session.add(LedgerEntry(pool_id=pool.id, kind="spend", amount=-6 * MICRO, balance_after=0))
    db.session.commit()

    refill(NOON + 4 * HOUR)

    assert fresh(pool).balance == 1_200_000


def test_a_balance_above_its_capacity_is_left_alone(session):
    pool = a_pool(2 * MICRO, capacity=MICRO)

    refill(NOON + HOUR)

    assert fresh(pool).balance == 2 * MICRO


def test_hours_before_a_change_of_rate_are_paid_at_the_old_rate(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": Terms(capacity=50 * MICRO, refill_per_hour=400_000, balance=0)})
    ten_hours_ago = text("date_trunc('hour', now(), 'UTC') - interval '10 hours'")
    session.execute(update(QuotaPool).values(refilled_through=ten_hours_ago))

    ledger.grow(someone.id, 2, {"m": Terms(capacity=50 * MICRO, refill_per_hour=400_000, balance=0)})

    session.expire_all()
    pool = session.scalar(select(QuotaPool))
    assert (pool.balance, pool.refill_per_hour) == (4_000_000, 800_000)


def test_ten_refills_at_once_pay_once(committed, app):
    pools = [a_pool(0) for _ in range(5)]
    barrier = threading.Barrier(10)
    paid = []

    def run():
        with app.app_context():
            barrier.wait()
            paid.append(refill(NOON + HOUR))
            db.session.commit()

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(paid) == 5
    assert {fresh(pool).balance for pool in pools} == {1_200_000}
    assert proof.verify() == []


def test_a_forecast_says_when_a_request_fits_and_when_the_pool_is_full(session):
    pool = a_pool(3_500_000)

    assert forecast.fits_at(pool, 4 * MICRO) == NOON + HOUR
    assert forecast.fits_at(pool, 5_900_001) == NOON + 3 * HOUR
    assert forecast.fits_at(pool, 6_000_001) is None
    assert forecast.full_at(pool) == NOON + 3 * HOUR


def test_units_are_shown_with_four_decimals_and_never_rounded_up():
    assert forecast.units(3_999_999) == "3.9999"
    assert forecast.units(-1_500_000) == "-1.5000"
    assert forecast.units(-99) == "0.0000"
    assert forecast.units(0) == "0.0000"
