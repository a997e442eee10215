"""Holes of the system this one follows (contract B.9) that open when things happen half, or at the same time."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from psycopg2 import IntegrityError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from shared_accounts.accounts import contribution, withdrawal
from shared_accounts.config import MICRO
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db
from shared_accounts.gateway import books
from shared_accounts.quotas import proof, refill
from tests import factories
from tests.gateway.scene import wait_until
from tests.quotas.sharing import caller_for, change, contributed, open_line, opening, pool_of
from tests.together import WAITING, at_once, everything, from_one_gate


@pytest.fixture
def outside(committed, settings):
    """A connection that has nothing to do with anybody's session."""
    engine = create_engine(settings.database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


CHANGES = [{"sharing": "dedicated"}, {"models": ["m", "n", "o"]}, {"models": ["n"]}, {"allowance_tokens": 500_000}]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_hole_11_a_change_that_dies_before_its_end_leaves_no_trace(outside, settings, changes):
    account = contributed(factories.user())
    before = everything()

    contribution.change(contribution.mine(account.owner_id, account.id), {**changes, "paused": True}, settings)
    mine = db.session.scalar(text("select pg_backend_pid()"))
    outside.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": mine})
    with pytest.raises(OperationalError):
        db.session.commit()

    assert everything() == before
    assert proof.verify() == []


TOGGLES = [
    {"sharing": "dedicated"}, {"sharing": "shared"}, {"paused": True}, {"paused": False}, {"models": ["m"]},
    {"models": ["n"]}, {"models": ["n", "o"]}, {"models": ["o", "m"]}, {"allowance_tokens": 500_000},
]  # fmt: skip


def test_hole_11_toggles_at_the_same_time_take_turns_and_never_wait_in_a_circle(committed, app, settings):
    owner = factories.user()
    accounts = [contributed(owner, name, models=[name]) for name in ("m", "n", "o")]
    owner_id, ids = owner.id, [account.id for account in accounts]
    db.session.rollback()

    def toggle(chance):
        for _ in range(15):
            contribution.change(contribution.mine(owner_id, chance.choice(ids)), chance.choice(TOGGLES), settings)
            db.session.commit()

    def refill_all():
        for hours in range(15):
            refill.refill(datetime.now(UTC) + timedelta(hours=hours))
            db.session.commit()

    at_once(app, refill_all, *(partial(toggle, random.Random(number)) for number in range(5)))

    assert proof.verify() == []
    for account in accounts:
        change(account, sharing="shared", models=["m", "n"], allowance_tokens=1_000_000, paused=False)
    for group in ("m", "n"):
        pool = pool_of(owner, group)
        assert (pool.capacity, pool.refill_per_hour, pool.balance - pool.owed) == (6 * MICRO, 1_200_000, 6 * MICRO)


def test_hole_11_of_several_who_withdraw_the_same_account_one_does(committed, app):
    owner = factories.user()
    contributed(owner, "one")
    account_id, owner_id = contributed(owner, "other").id, owner.id
    db.session.rollback()

    def withdraw():
        try:
            withdrawal.withdraw(contribution.mine(owner_id, account_id))
        except NotFound:
            return "unknown"
        db.session.commit()
        return "withdrawn"

    assert sorted(from_one_gate(app, *[withdraw] * 4)) == ["unknown"] * 3 + ["withdrawn"]
    assert (pool_of(owner).capacity, pool_of(owner).balance) == (2 * MICRO, 2 * MICRO)
    assert proof.verify() == []


def test_hole_12_a_debit_whose_connection_breaks_is_made_all_the_same_and_once(outside, app):
    account = contributed(factories.user())
    user = factories.user()
    factories.quota_pool(user, balance=MICRO)
    opened = opening(caller_for(user), 500_000)
    assert open_line(opened, account.id) == books.OPEN
    closed = []
    settling = threading.Thread(
        target=lambda: closed.append(books.close_line(opened.id, books.Closing("served", "measured", cost=300_000)))
    )

    # Somebody holds the pool, so the debit is under way for certain when its connection is cut.
    db.session.rollback()
    db.session.execute(text("select from quota_pools where user_id = :user for update"), {"user": user.id})
    settling.start()
    wait_until(lambda: outside.scalars(text(WAITING)).all() != [], "nobody waits")
    (first,) = outside.scalars(text(WAITING)).all()
    outside.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": first})
    wait_until(lambda: outside.scalars(text(WAITING)).all() not in ([], [first]), "nobody tries again")
    db.session.rollback()
    settling.join()

    assert closed == [True]
    assert not books.close_line(opened.id, books.Closing("served", "measured", cost=300_000))
    assert (pool_of(user).balance, pool_of(user).reserved) == (700_000, 0)
    assert proof.verify() == []


def test_hole_12_a_debit_that_fails_is_not_taken_for_made(committed):
    account = contributed(factories.user())
    user = factories.user()
    factories.quota_pool(user, balance=MICRO)
    opened = opening(caller_for(user), 500_000)
    assert open_line(opened, account.id) == books.OPEN
    before = everything()

    with pytest.raises(IntegrityError):
        books.close_line(opened.id, books.Closing("served", "no such basis", cost=300_000))

    assert everything() == before
    assert books.close_line(opened.id, books.Closing("served", "measured", cost=300_000))
    assert pool_of(user).balance == 700_000
