"""What a process leaves uncounted that dies between two statements, and who makes up for it: once, whoever comes."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from shared_accounts import tasks
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.gateway import books, idempotency
from shared_accounts.gateway.attempts import new_id
from shared_accounts.quotas import proof
from shared_accounts.quotas.pricing import Rule
from shared_accounts.users.roster import Caller
from tests import factories
from tests.conftest import rows
from tests.together import at_once

KEY = "a-key-of-hers"
COST = 300


@pytest.fixture
def caller(committed):
    """Somebody with a key and a pool."""
    user = factories.user()
    factories.quota_pool(user, balance=MICRO)
    key, _ = factories.api_key(user)
    return Caller(user.id, "active", False, False, key.id, key.fingerprint, None)


@pytest.fixture
def account(committed):
    return factories.account(factories.user())


def a_call(caller, body=b"{}"):
    return idempotency.attempt("secret", caller.user_id, KEY, body, new_id())


def claimed(caller):
    call = a_call(caller)
    idempotency.claim(call)
    db.session.commit()
    return call


def concluded(call):
    idempotency.conclude(call)
    db.session.commit()


def opened(caller, account):
    """A call that has claimed its key and opened its exchange."""
    call = claimed(caller)
    opening = books.Opening(
        id=call.exchange_id,
        caller=caller,
        model="m",
        rule=Rule("m", "m", MICRO),
        estimate=1000,
        endpoint="/v1/chat/completions",
        stream=False,
        worker="gone:1",
        lease_seconds=60,
    )
    assert books.open_line(opening, type("Chosen", (), {"id": account.id})) == "open"
    return call


def closed(caller, account, cost=COST):
    """A call whose exchange is closed, and not counted."""
    call = opened(caller, account)
    assert books.close_line(call.exchange_id, books.Closing("served", "measured", cost=cost))
    return call


def two_closed(caller, account):
    """Two calls under one key, of which the second is not counted."""
    concluded(closed(caller, account))
    second = closed(caller, account)
    assert spent() == 2 * COST
    return second


def spent():
    db.session.rollback()
    return MICRO - rows("quota_pools")[0]["balance"]


def held():
    db.session.rollback()
    return [row["exchange_id"] for row in rows("idempotency_keys") if row["exchange_id"]]


def age(span):
    db.session.execute(text(f"update idempotency_keys set claimed_at = now() - interval '{span}'"))
    db.session.commit()


def test_the_worker_counts_what_nobody_counted_and_once(caller, account):
    second = two_closed(caller, account)

    tasks.close_abandoned_exchanges()
    tasks.close_abandoned_exchanges()
    concluded(second)

    assert (spent(), held()) == (COST, [])
    assert proof.verify() == []


def test_so_does_the_next_call_under_the_key(caller, account):
    two_closed(caller, account)

    third = claimed(caller)

    assert spent() == COST
    assert [found.hex for found in held()] == [third.exchange_id]
    assert proof.verify() == []


def test_whoever_come_at_once_count_it_once(app, caller, account):
    second = two_closed(caller, account)

    def by_the_worker():
        idempotency.count_next()
        db.session.commit()

    at_once(app, *[by_the_worker, lambda: concluded(second)] * 4)

    assert (spent(), held()) == (COST, [])
    corrections = [entry["amount"] for entry in rows("ledger_entries") if entry["kind"] == "correction"]
    assert sorted(corrections) == [COST, MICRO]  # the larger is what she began with
    assert proof.verify() == []


def test_of_calls_that_claim_at_once_one_holds_the_key(app, caller, account):
    calls = [a_call(caller) for _ in range(8)]

    def claim(call):
        try:
            idempotency.claim(call)
        except idempotency.KeyInUse:
            return 0
        db.session.commit()
        return 1

    got = at_once(app, *(lambda call=call: claim(call) for call in calls))

    assert sum(got) == 1
    assert [found.hex for found in held()] == [calls[got.index(1)].exchange_id]


def test_a_call_that_is_not_over_is_counted_by_nobody(caller, account):
    concluded(closed(caller, account))
    second = opened(caller, account)
    age("2 minutes")

    assert not idempotency.count_next()
    concluded(second)
    with pytest.raises(idempotency.KeyInUse):
        idempotency.claim(a_call(caller))

    assert [found.hex for found in held()] == [second.exchange_id]
    books.close_line(second.exchange_id, books.Closing("client_left", "partial", cost=5000))
    tasks.close_abandoned_exchanges()
    assert (spent(), held()) == (5000, [])


def test_a_key_that_was_claimed_for_nothing_is_free_after_a_minute(caller, account):
    claimed(caller)
    with pytest.raises(idempotency.KeyInUse):
        idempotency.claim(a_call(caller))
    assert not idempotency.count_next()

    age("61 seconds")
    second = claimed(caller)
    assert [found.hex for found in held()] == [second.exchange_id]

    age("61 seconds")
    tasks.close_abandoned_exchanges()
    assert (held(), spent()) == ([], 0)


def test_only_whoever_holds_the_key_lets_go_of_it(caller, account):
    first = claimed(caller)
    concluded(first)
    second = claimed(caller)

    concluded(first)

    assert [found.hex for found in held()] == [second.exchange_id]


def test_a_pool_is_not_filled_above_what_it_holds(caller, account):
    two_closed(caller, account)
    db.session.execute(text("update quota_pools set capacity = balance + 100"))
    db.session.commit()

    assert idempotency.count_next()
    db.session.commit()

    assert spent() == 2 * COST - 100
    assert proof.verify() == []


def test_one_that_is_fuller_than_it_may_be_gets_all_of_it_back(caller, account):
    """No refill can have brought it there, so none has made up for the charge."""
    two_closed(caller, account)
    db.session.execute(text("update quota_pools set capacity = balance - 100"))
    db.session.commit()

    assert idempotency.count_next()
    db.session.commit()

    assert spent() == COST


def test_after_a_day_a_key_is_new_and_until_then_it_is_not(caller, account):
    concluded(closed(caller, account))
    age("23 hours")
    with pytest.raises(idempotency.KeyMisused):
        idempotency.claim(a_call(caller, b"another"))
    db.session.rollback()

    age("25 hours")
    call = a_call(caller, b"another")
    idempotency.claim(call)
    concluded(call)

    assert (rows("idempotency_keys")[0]["charged"], spent()) == (0, COST)


def test_the_worker_forgets_what_is_a_day_old_and_nobody_holds(caller, account):
    concluded(closed(caller, account))
    age("23 hours")
    tasks.forget_what_is_over()
    assert len(rows("idempotency_keys")) == 1

    opened(caller, account)
    age("25 hours")
    tasks.forget_what_is_over()
    assert len(rows("idempotency_keys")) == 1

    db.session.execute(text("update idempotency_keys set exchange_id = null"))
    db.session.commit()
    tasks.forget_what_is_over()
    assert rows("idempotency_keys") == []


def test_a_user_who_is_deleted_takes_her_keys_along(caller, account):
    claimed(caller)

    db.session.execute(text("delete from quota_pools"))
    db.session.execute(text("delete from api_keys"))
    db.session.execute(text("delete from users where id = :id"), {"id": caller.user_id})

    assert rows("idempotency_keys") == []


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\nb", "a\x7f"])
def test_what_cannot_be_a_key_is_refused(key):
    with pytest.raises(idempotency.KeyMisused) as refused:
        idempotency.attempt("secret", 1, key, b"{}", new_id())

    assert refused.value.field == "Idempotency-Key"
    assert key not in refused.value.message or not key


def test_digests_differ_by_secret_by_key_and_by_body():
    made = [
        idempotency.attempt(secret, 1, key, body, "1")
        for secret in ("one", "another")
        for key in ("one", "another")
        for body in (b"one", b"another")
    ]

    assert len({call.key_digest for call in made}) == len({call.body_digest for call in made}) == 4
    assert not {call.key_digest for call in made} & {call.body_digest for call in made}
