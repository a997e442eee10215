"""What the proof must notice. Each test breaks one row and expects the sentence that names it, and no other."""

import pytest
from sqlalchemy import text

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import gifts, ledger, proof
from tests import factories
from tests.quotas.sharing import pool_of, shared_account, spend


@pytest.fixture
def pool(session):
    """A pool with two accounts, one of them at rest, and a debt."""
    someone = factories.user()
    shared_account(someone)
    ledger.rest(shared_account(someone).id, resting=True)
    gone = shared_account(someone)
    spend(someone, 5 * MICRO)
    ledger.shrink(gone.id)
    db.session.commit()
    found = pool_of(someone)
    assert (found.capacity, found.refill_per_hour, found.balance, found.owed) == (4 * MICRO, 400_000, 0, MICRO)
    assert proof.verify() == []
    return found


def broken(statement, **values):
    db.session.execute(text(statement), values)
    return proof.verify()


def test_a_capacity_nobody_earned_is_named(pool):
    assert broken("update quota_pools set capacity = capacity + 1") == [
        f"Pool {pool.id}: its accounts earn a capacity of 4000000 and 400000 an hour but it has 4000001 and 400000"
    ]


def test_a_rate_nobody_earned_is_named(pool):
    assert broken("update quota_pools set refill_per_hour = 800000") == [
        f"Pool {pool.id}: its accounts earn a capacity of 4000000 and 400000 an hour but it has 4000000 and 800000"
    ]


def test_an_account_that_rests_on_paper_only_is_named(pool):
    assert broken("update credits set resting = false") == [
        f"Pool {pool.id}: its accounts earn a capacity of 4000000 and 800000 an hour but it has 4000000 and 400000"
    ]


def test_a_debt_forgiven_in_silence_is_named(pool):
    assert broken("update quota_pools set owed = 0") == [
        f"Pool {pool.id}: 0 is owed but what it was credited and gave back leaves 1000000"
    ]


def test_a_credit_that_vanished_with_its_terms_is_named_by_the_debt(pool):
    (problem,) = broken(
        """with gone as (delete from credits where not resting returning pool_id, capacity, refill_per_hour)
        update quota_pools pool set capacity = pool.capacity - gone.capacity,
            refill_per_hour = pool.refill_per_hour - gone.refill_per_hour from gone where gone.pool_id = pool.id"""
    )

    assert problem == f"Pool {pool.id}: 1000000 is owed but what it was credited and gave back leaves 3000000"


@pytest.fixture
def couple(session):
    """Two users of whom the first has given the second half a unit, and got some of it back."""
    users = [factories.user() for _ in range(2)]
    for user in users:
        shared_account(user)
        spend(user, MICRO)
    gifts.give(users[0].id, users[1].username, "m", 500_000, note=None, daily_limit=MICRO)
    gifts.give(users[1].id, users[0].username, "m", 200_000, note=None, daily_limit=MICRO)
    db.session.commit()
    assert proof.verify() == []
    return users


def test_a_gift_that_arrived_twice_is_named_by_the_pair(couple):
    giver, receiver = couple

    problems = broken(
        """with entry as (
            insert into ledger_entries (pool_id, kind, amount, balance_after, counterpart_id)
            select id, 'gift', 5, balance + 5, :giver from quota_pools where user_id = :receiver)
        update quota_pools set balance = balance + 5 where user_id = :receiver""",
        giver=giver.id,
        receiver=receiver.id,
    )

    assert problems == [f"Gifts of m between users {giver.id} and {receiver.id} sum to 5"]


def test_a_gift_to_nobody_is_named(couple):
    giver, receiver = couple

    problems = broken("update ledger_entries set counterpart_id = 999999999 where amount = 500000")

    assert problems == [
        f"Gifts of m between users {giver.id} and {receiver.id} sum to -500000",
        f"Gifts of m between users {receiver.id} and 999999999 sum to 500000",
    ]


def test_a_proof_may_take_more_time_than_a_request(session):
    usual = session.scalar(text("show statement_timeout"))

    proof.take_time()

    assert (usual, session.scalar(text("show statement_timeout"))) == ("5s", "45s")
