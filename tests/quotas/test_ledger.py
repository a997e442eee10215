from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger, proof
from shared_accounts.quotas.ledger import Terms
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from tests import factories

STANDARD = Terms(capacity=2 * MICRO, refill_per_hour=400_000, balance=2 * MICRO)


def pool_of(user, group="m"):
    db.session.expire_all()
    return db.session.scalar(select(QuotaPool).where(QuotaPool.user_id == user.id, QuotaPool.model_group == group))


def spend(user, amount, group="m"):
    """What the gateway's statement does, in two lines."""
    pool = pool_of(user, group)
    pool.balance -= amount
    db.session.add(LedgerEntry(pool_id=pool.id, kind="spend", amount=-amount, balance_after=pool.balance))
    db.session.flush()


def test_three_shared_accounts_make_the_worked_example(session):
    someone = factories.user()

    for account_id in (1, 2, 3):
        ledger.grow(someone.id, account_id, {"m": STANDARD})

    pool = pool_of(someone)
    assert (pool.capacity, pool.refill_per_hour, pool.balance) == (6 * MICRO, 1_200_000, 6 * MICRO)
    assert proof.verify() == []


def test_contributing_and_withdrawing_leaves_the_terms_as_they_were(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": STANDARD})

    ledger.grow(someone.id, 2, {"m": STANDARD, "n": STANDARD})
    ledger.shrink(2)

    pool, other = pool_of(someone), pool_of(someone, "n")
    assert (pool.capacity, pool.refill_per_hour, pool.balance, pool.owed) == (2 * MICRO, 400_000, 2 * MICRO, 0)
    assert (other.capacity, other.refill_per_hour, other.balance, other.owed) == (0, 0, 0, 0)
    assert proof.verify() == []


def test_what_is_spent_is_owed_and_paid_back_by_the_next_contribution(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": STANDARD})
    spend(someone, 1_500_000)

    ledger.shrink(1)

    assert (pool_of(someone).balance, pool_of(someone).owed) == (0, 1_500_000)

    ledger.grow(someone.id, 2, {"m": STANDARD})

    assert (pool_of(someone).balance, pool_of(someone).owed) == (500_000, 0)
    assert proof.verify() == []


def test_toggling_an_empty_pool_mints_nothing(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": STANDARD})
    spend(someone, 2 * MICRO)

    for _ in range(3):
        ledger.shrink(1)
        ledger.grow(someone.id, 1, {"m": STANDARD})

    assert (pool_of(someone).balance, pool_of(someone).owed) == (0, 0)


def test_a_credit_never_lifts_the_balance_over_the_capacity(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": Terms(capacity=MICRO, refill_per_hour=0, balance=5 * MICRO)})

    assert pool_of(someone).balance == MICRO
    ledger.shrink(1)
    assert (pool_of(someone).balance, pool_of(someone).owed) == (0, 0)


def test_what_is_reserved_is_not_taken_back(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": STANDARD})
    pool_of(someone).reserved = 1_900_000
    db.session.flush()

    ledger.shrink(1)

    pool = pool_of(someone)
    assert (pool.balance, pool.reserved, pool.owed) == (1_900_000, 1_900_000, 1_900_000)


def test_a_resting_account_earns_nothing_and_wakes_to_the_same_rate(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": STANDARD})
    ledger.grow(someone.id, 2, {"m": STANDARD})

    for _ in range(2):
        ledger.rest(1, resting=True)
    assert pool_of(someone).refill_per_hour == 400_000

    ledger.rest(1, resting=False)
    assert pool_of(someone).refill_per_hour == 800_000

    ledger.rest(1, resting=True)
    ledger.shrink(1)
    assert pool_of(someone).refill_per_hour == 400_000


def test_the_proof_names_a_pool_whose_balance_was_touched(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": STANDARD})
    pool = pool_of(someone)
    pool.balance -= 1
    db.session.flush()

    assert proof.verify() == [f"Pool {pool.id}: its entries sum to 2000000 but its balance is 1999999"]


def test_the_proof_names_a_gap_in_the_chain(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": STANDARD})
    entry = db.session.scalar(select(LedgerEntry))
    entry.balance_after += 5
    db.session.flush()

    assert any("gaps in its chain" in problem for problem in proof.verify())


def test_the_proof_names_a_reservation_nobody_holds(session):
    someone = factories.user()
    ledger.grow(someone.id, 1, {"m": STANDARD})
    pool_of(someone).reserved = 7
    db.session.flush()

    assert any("7 is reserved but open reservations sum to 0" in problem for problem in proof.verify())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["grow", "shrink", "rest", "wake", "spend"]),
        st.integers(1, 4),
        st.integers(0, 3 * MICRO),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_whatever_the_order_the_books_balance_and_nothing_is_minted(session, steps):
    someone = factories.user()
    shared, spent, most = set(), 0, 0
    for step, account_id, amount in steps:
        key = someone.id * 10 + account_id
        if step == "grow" and key not in shared:
            ledger.grow(someone.id, key, {"m": STANDARD})
            shared.add(key)
        elif step == "shrink" and key in shared:
            ledger.shrink(key)
            shared.discard(key)
        elif step in {"rest", "wake"} and key in shared:
            ledger.rest(key, resting=step == "rest")
        elif step == "spend" and pool_of(someone):
            affordable = min(amount, pool_of(someone).balance)
            spend(someone, affordable)
            spent += affordable
        most = max(most, len(shared))
        assert proof.verify() == []
    if pool := pool_of(someone):
        # No refill fell due, so all that was ever given is what the most accounts shared at once were worth.
        assert pool.balance + spent <= most * 2 * MICRO
        assert pool.capacity == len(shared) * 2 * MICRO
        assert pool.balance - pool.owed == len(shared) * 2 * MICRO - spent
    for key in shared:
        ledger.shrink(key)
