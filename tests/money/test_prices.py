"""What tokens cost: the sum, which version counts, and who remembers it for how long."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.money import amounts, price_list
from shared_accounts.money.prices import SQL, Price, PriceBook
from tests.conftest import rows

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
TERMS = {"currency": "USD", "actor_id": None}

counts = st.integers(0, 10**8)
prices = st.integers(0, 10**11 - 1)


def lay_down(*figures, model="m", since=None, **terms):
    found, _ = price_list.lay_down(model, amounts=figures, since=since, **{**TERMS, **terms})
    db.session.commit()
    return found.id


@given(counts, counts, counts, st.tuples(prices, prices, prices))
def test_money_is_the_exact_sum_to_the_nearest_micro_unit(prompt, completion, cached, terms):
    price = Price(1, "USD", *terms)

    found = price.of(prompt, completion, cached)

    part = min(cached, prompt)
    exact = Fraction((prompt - part) * terms[0] + completion * terms[1] + part * terms[2], 10**6)
    assert abs(found - exact) <= Fraction(1, 2)


def test_the_database_says_the_same_up_to_the_largest_figures(session):
    cases = [(0, 0, None), (1, 1, 1), (7, 3, 99), (999_999, 1, 5), (10**8, 10**8, 10**8), (10**8, 10**8, None)]
    for terms in [(1, 2, 3), (2_500_000, 10_000_000, 1_250_000), (10**11 - 1,) * 3, (500_000, 0, 0)]:
        for prompt, completion, cached in cases:
            tokens = "(select cast(:p as bigint) as prompt_tokens, cast(:o as bigint) as completion_tokens, cast(:c as bigint) as cached_tokens) line"
            price = "(select cast(:a as bigint) as prompt, cast(:b as bigint) as completion, cast(:d as bigint) as cached) price"
            values = dict(zip("pocabd", (prompt, completion, cached, *terms), strict=True))
            found = db.session.scalar(text(f"select {SQL} from {tokens}, {price}"), values)

            assert found == Price(1, "USD", *terms).of(prompt, completion, cached or 0)


def test_amounts_keep_every_digit():
    assert [amounts.price(text) for text in ("0", "2.5", "0.000001", "99999.999999")] == [0, 2_500_000, 1, 10**11 - 1]
    assert [amounts.exactly(micro) for micro in (0, 1, -1, 2_500_000)] == [
        "0.000000",
        "0.000001",
        "-0.000001",
        "2.500000",
    ]


@pytest.mark.parametrize("wrong", ["", "-1", "1.0000001", "100000", "1e3", "NaN", "1,5", "٣", " 1"])
def test_what_is_no_amount_is_refused(wrong):
    with pytest.raises(ValueError, match="^" + re.escape(wrong)):
        amounts.price(wrong)


def test_the_version_valid_from_the_latest_moment_counts_and_of_two_the_last_laid_down(committed):
    book = PriceBook(0)
    assert book.of("m") is None

    old = lay_down(1, 1, 1, since=NOW - HOUR)
    lay_down(2, 2, 2, since=NOW - 2 * HOUR)
    assert book.of("m").id == old

    corrected = lay_down(3, 3, 3, since=NOW - HOUR)
    assert book.of("m") == Price(corrected, "USD", 3, 3, 3)
    assert book.of("n") is None


def test_a_version_that_is_to_come_counts_from_its_moment_on_without_another_look(committed):
    book, now = PriceBook(1000), lay_down(1, 1, 1)
    soon = db.session.scalar(text("select clock_timestamp() + interval '0.3 seconds'"))
    later = lay_down(2, 2, 2, since=soon)
    lay_down(3, 3, 3, since=NOW + HOUR)

    first = book.of("m").id
    while db.session.scalar(text("select clock_timestamp() < :soon + interval '0.1 seconds'"), {"soon": soon}):
        pass

    assert first in {now, later}
    assert book.of("m").id == later


def test_a_book_is_read_once_in_a_while(committed):
    book = PriceBook(1000)
    assert book.of("m") is None

    lay_down(1, 1, 1)

    assert book.of("m") is None
    assert PriceBook(1000).of("m") is not None


def test_laying_down_what_counts_anyway_adds_nothing(session):
    first = lay_down(1, 2, 3)

    assert lay_down(1, 2, 3) == first
    assert lay_down(1, 2, 3, currency="EUR") != first
    assert len(rows("model_prices")) == 2
