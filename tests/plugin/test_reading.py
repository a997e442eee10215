"""Numbers as strings, times without a zone, a list in two shapes: read as what they are, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from shared_accounts.plugin import reading
from shared_accounts.plugin.failures import PluginUnreachable

TEN = datetime(2025, 12, 1, 10, tzinfo=UTC)
QUOTA = {"model_name": "m", "total_quota": "2.4500", "available_cookies": "5", "status": 1}
CONSUMED = {"total_requests": 3, "total_quota_consumed": 0.5}


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("1.5000", Decimal("1.5")),
        ("-0.2500", Decimal("-0.25")),
        ("1764583200000", Decimal(1764583200000)),
        (" 5 ", Decimal(5)),
        (0, Decimal(0)),
        (7, Decimal(7)),
        (0.1, Decimal("0.1")),
        ("", None),
        ("five", None),
        ("NaN", None),
        ("Infinity", None),
        (float("nan"), None),
        (float("inf"), None),
        ("1e999999", None),
        ("1e-999999", None),
        ("1" * 41, None),
        (None, None),
        (True, None),
        ([], None),
        ({}, None),
        (b"1", None),
    ],
)
def test_a_number_is_read_however_it_was_written(said, number):
    assert reading.number(said) == number


@pytest.mark.parametrize(
    ("said", "in_utc", "who_knows"),
    [
        ("2025-12-01T10:00:00.000Z", TEN, TEN),
        ("2025-12-01T10:00:00Z", TEN, TEN),
        ("2025-12-01T18:00:00+08:00", TEN, TEN),
        ("2025-12-01T10:00:00.000", TEN, None),
        ("2025-12-01 10:00:00", TEN, None),
        ("tomorrow", None, None),
        ("", None, None),
        (None, None, None),
        (1764583200000, None, None),
    ],
)
def test_a_time_is_read_only_if_its_zone_is_known(said, in_utc, who_knows):
    assert reading.moment(said, naive_is_utc=True) == in_utc
    assert reading.moment(said, naive_is_utc=False) == who_knows


def test_a_zone_that_was_told_stays_what_it_was():
    shown = reading.zoned({"reset_time": "2025-12-01T18:00:00+08:00", "quota": "1.0000"}, naive_is_utc=False)

    assert shown == {"reset_time": "2025-12-01T18:00:00.000+08:00", "quota": "1.0000"}
    assert datetime.fromisoformat(shown["reset_time"]).tzinfo == timezone(timedelta(hours=8))


def test_the_shared_pool_has_one_shape_of_two():
    newer = {"success": True, "data": {"quotas": [QUOTA], "user_consumption": CONSUMED, "more": 1}}
    older = {"success": True, "data": [{**QUOTA, "available_cookies": 5}]}

    assert reading.shared_pool(newer, naive_is_utc=True) == newer
    assert reading.shared_pool(older, naive_is_utc=True)["data"] == {
        "quotas": [{**QUOTA, "available_cookies": 5}],
        "user_consumption": {
            "total_requests": 0,
            "total_quota_consumed": 0,
            "shared_quota_consumed": 0,
            "private_quota_consumed": 0,
        },
    }


@pytest.mark.parametrize(("naive_is_utc", "shown"), [(True, "2025-12-01T10:00:00.000+00:00"), (False, None)])
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"quotas": rows, "user_consumption": CONSUMED}])
def test_the_shared_pools_times_have_a_zone_in_either_shape(wrap, naive_is_utc, shown):
    answer = {"data": wrap([{**QUOTA, "earliest_reset_time": "2025-12-01T10:00:00.000"}])}

    read = reading.shared_pool(answer, naive_is_utc=naive_is_utc)

    assert read["data"]["quotas"] == [{**QUOTA, "earliest_reset_time": shown}]


@pytest.mark.parametrize("data", [None, 7, "x", {}, {"quotas": {}}, {"quotas": [1]}, [None]])
def test_a_shared_pool_of_neither_shape_is_no_answer(data):
    with pytest.raises(PluginUnreachable):
        reading.shared_pool({"data": data}, naive_is_utc=True)


@pytest.mark.parametrize("consumption", [None, [], "x", 7])
def test_a_consumption_that_is_none_is_zeros(consumption):
    read = reading.shared_pool({"data": {"quotas": [], "user_consumption": consumption}}, naive_is_utc=True)

    assert read["data"]["user_consumption"]["total_requests"] == 0


def test_reading_changes_nothing_it_was_given():
    answer = {"data": [{"reset_time": "2025-12-01T10:00:00.000"}]}

    reading.zoned_rows(answer, naive_is_utc=True)
    reading.shared_pool(answer, naive_is_utc=True)["data"]["user_consumption"]["total_requests"] = 9

    assert answer == {"data": [{"reset_time": "2025-12-01T10:00:00.000"}]}
    assert reading.shared_pool(answer, naive_is_utc=True)["data"]["user_consumption"]["total_requests"] == 0
