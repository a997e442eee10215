from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared_accounts.config import MICRO
from shared_accounts.quotas import arithmetic, forecast
from shared_accounts.quotas.arithmetic import Earning
from shared_accounts.quotas.models import QuotaPool


def a_pool(earnings, *, owed=0):
    capacity = sum(one.capacity for one in earnings)
    rate = sum(one.refill_per_hour for one in earnings if not one.resting)
    return QuotaPool(model_group="m", balance=0, reserved=0, capacity=capacity, refill_per_hour=rate, owed=owed)


def standard(number, *, worth=MICRO, resting=False):
    return Earning(number, f"account {number}", 2 * worth, 2 * worth // 5, resting)


def sentence(earnings, **figures):
    pool = a_pool(earnings, **figures)
    pool.balance = pool.capacity
    return arithmetic.explained(pool, earnings)["arithmetic"]


def test_three_standard_accounts_read_like_the_worked_example():
    assert sentence([standard(1), standard(2), standard(3)]) == "3 accounts x 2.0000 = 6.0000; +1.2000 each hour"


def test_accounts_of_different_worth_are_terms_of_their_own():
    earnings = [standard(1), standard(2, worth=MICRO // 2), standard(3)]

    assert sentence(earnings) == "2 accounts x 2.0000 + 1 account x 1.0000 = 5.0000; +1.0000 each hour"


def test_accounts_that_rest_are_counted_but_give_nothing_back():
    assert sentence([standard(1), standard(2, resting=True)]) == (
        "2 accounts x 2.0000 = 4.0000; +0.4000 each hour (1 resting)"
    )


def test_a_debt_is_part_of_the_sentence():
    assert sentence([standard(1)], owed=1_500_000) == (
        "1 account x 2.0000 = 2.0000; +0.4000 each hour; 1.5000 owed for accounts withdrawn"
    )


def test_nothing_shared_is_nothing_earned():
    assert sentence([]) == "0 accounts = 0.0000; +0.0000 each hour"


@given(amounts=st.lists(st.integers(0, 10**12), max_size=20))
def test_the_parts_add_up_to_the_whole_as_shown(amounts):
    parts = arithmetic.parts(amounts)

    assert len(parts) == len(amounts)
    assert sum(map(Decimal, parts), Decimal()) == Decimal(forecast.units(sum(amounts)))
    for part, amount in zip(parts, amounts, strict=True):
        assert abs(Decimal(part) - Decimal(amount) / MICRO) < Decimal("0.0001")
