"""How much a key may do in a minute, counted in a real Redis."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from shared_accounts.errors import TooManyRequests
from shared_accounts.keys import pace

pytestmark = pytest.mark.usefixtures("clean_redis")


@pytest.fixture
def key_id():
    return random.randrange(1, 10**12)


@pytest.fixture
def within(app):
    """Do something in a request of its own."""

    def act(call, *values):
        with app.test_request_context():
            return call(*values)

    return act


def test_what_does_not_fit_is_not_counted(within, key_id):
    within(pace.count_tokens, key_id, 100, 60)

    for _ in range(3):
        with pytest.raises(TooManyRequests) as refused:
            within(pace.count_tokens, key_id, 100, 41)

    assert refused.value.details["limit"] == {
        "name": "tokens_per_minute",
        "limit": 100,
        "remaining": 40,
        "needed": 41,
    }
    assert 1 <= refused.value.retry_after <= 61
    within(pace.count_tokens, key_id, 100, 40)


@pytest.mark.parametrize(("taken", "free"), [(0, 100), (10, 90), (60, 40), (75, 25), (130, 0)])
def test_what_was_taken_replaces_what_was_expected(within, key_id, taken, free):
    counted = within(pace.count_tokens, key_id, 100, 60)

    counted.settle(taken)  # outside any request, as streams end

    if free:
        within(pace.count_tokens, key_id, 100, free)
    with pytest.raises(TooManyRequests):
        within(pace.count_tokens, key_id, 100, 1)


def test_keys_are_counted_apart_and_so_are_requests_and_tokens(within, key_id):
    within(pace.count_request, key_id, 1)
    within(pace.count_tokens, key_id, 1, 1)
    within(pace.count_request, key_id + 1, 1)

    for count, *amount in ((pace.count_request,), (pace.count_tokens, 1)):
        with pytest.raises(TooManyRequests):
            within(count, key_id, 1, *amount)


def test_a_changed_limit_begins_a_count_of_its_own(within, key_id):
    within(pace.count_request, key_id, 1)

    within(pace.count_request, key_id, 2)


def test_of_many_at_once_exactly_as_many_pass_as_may(app, key_id):
    together = threading.Barrier(16)

    def ask(_):
        with app.test_request_context():
            together.wait()
            try:
                pace.count_request(key_id, 5)
            except TooManyRequests:
                return False
            return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(ask, range(16))) == 5


def test_redis_holds_no_more_of_a_key_than_its_number(within, key_id, redis_server):

    within(pace.count_request, key_id, 7)
    within(pace.count_tokens, key_id, 700, 30)

    with redis.Redis.from_url(redis_server.url(), decode_responses=True) as connection:
        names = sorted(name for name in connection.scan_iter() if str(key_id) in name)
        assert [name[name.index("pace") :] for name in names] == [
            f"pace/requests/{key_id}/7/1/minute",
            f"pace/tokens/{key_id}/700/1/minute",
        ]
        assert all(0 < connection.ttl(name) <= 60 for name in names)
