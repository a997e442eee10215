"""A key's second secret, the grace of its first, and when it was last used."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.keys import keyring
from shared_accounts.keys.known import KNOWN
from shared_accounts.keys.models import ApiKey
from tests import factories
from tests.conftest import rows
from tests.keys.held import begin, holder, spend
from tests.together import at_once

HOUR = timedelta(hours=1)


def rotate(key, grace=HOUR):
    _, secret = keyring.rotate(key.user_id, key.id, grace)
    db.session.commit()
    return secret


def known(*secrets):
    return [keyring.authenticate(keyring.fingerprint_of(secret)) is not None for secret in secrets]


@pytest.fixture
def issued(committed):
    key, secret = factories.api_key(factories.user())
    return key, secret


def test_during_its_grace_the_old_secret_is_as_good_as_the_new_one(issued):
    key, old = issued

    new = rotate(key)

    assert known(old, new) == [True, True]
    assert {holder(one).api_key_id for one in (old, new)} == {key.id}


def test_without_a_grace_the_old_secret_ends_at_once(issued):
    key, old = issued
    account = factories.account(db.session.get(keyring.User, key.user_id), sharing="dedicated").id
    remembered = holder(old)

    new = rotate(key, timedelta(0))

    assert known(old, new) == [False, True]
    assert begin(old, account, caller=remembered)[0] == "unknown"
    assert begin(new, account)[0] == "open"


def test_after_its_grace_the_old_secret_opens_nothing_whoever_remembers_it(issued):
    key, old = issued
    account = factories.account(db.session.get(keyring.User, key.user_id), sharing="dedicated").id
    rotate(key)
    remembered = holder(old)
    assert begin(old, account, caller=remembered)[0] == "open"

    db.session.execute(text("update api_keys set former_until = now()"))
    db.session.commit()

    assert begin(old, account, caller=remembered)[0] == "unknown"
    assert known(old) == [False]


def test_a_second_rotation_ends_the_grace_of_the_first(issued):
    key, first = issued

    second = rotate(key)
    third = rotate(key)

    assert known(first, second, third) == [False, True, True]


def test_a_key_that_is_switched_off_or_over_is_so_by_either_secret(issued):
    key, old = issued
    new = rotate(key)

    keyring.switch(key.user_id, key.id, on=False)
    db.session.commit()
    assert known(old, new) == [False, False]

    keyring.switch(key.user_id, key.id, on=True)
    db.session.get(ApiKey, key.id).expires_at = factories.ago(seconds=1)
    db.session.commit()
    assert known(old, new) == [False, False]


def test_rotations_at_once_leave_one_secret_and_one_in_grace(app, issued):
    key, old = issued
    user_id, key_id = key.user_id, key.id

    def turn():
        _, secret = keyring.rotate(user_id, key_id, HOUR)
        db.session.commit()
        return secret

    new = at_once(app, *[turn] * 4)

    assert len(set(new)) == 4
    assert known(old) == [False]
    assert sum(known(*new)) == 2


def test_looking_a_key_up_by_either_secret_takes_an_index(committed):
    query = KNOWN.format(key="$1", session="null")
    with db.engine.begin() as connection:
        for setting in ("enable_seqscan = off", "enable_hashjoin = off", "plan_cache_mode = force_generic_plan"):
            connection.exec_driver_sql(f"set local {setting}")
        connection.exec_driver_sql(f"prepare by_either (bytea) as {query}")
        plan = "\n".join(connection.exec_driver_sql("explain execute by_either ('x')").scalars())
        connection.exec_driver_sql("deallocate by_either")

    assert "api_keys_fingerprint_key" in plan
    assert "api_keys_former_fingerprint_key" in plan
    assert "Seq Scan" not in plan


def last_used():
    return rows("api_keys")[0]["last_used_at"]


def test_a_key_remembers_when_it_was_last_used_to_the_minute(issued):
    _, secret = issued
    assert last_used() is None

    holder(secret)
    first = last_used()
    holder(secret)
    assert last_used() == first
    db.session.execute(text("update api_keys set last_used_at = now() - interval '61 seconds'"))
    db.session.commit()
    holder(secret)

    assert last_used() > first


def test_uses_at_once_write_once_and_wait_for_nobody(issued):
    _, secret = issued
    together = threading.Barrier(8)

    def use(_):
        together.wait()
        return holder(secret).api_key_id

    db.session.execute(text("select from api_keys for update"))  # an owner in the middle of a change
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(use, range(8)))) == 1
    assert last_used() is None
    db.session.rollback()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))

    assert last_used() is not None


def test_a_deleted_key_keeps_its_place_in_the_log(issued):
    key, secret = issued
    account = factories.account(db.session.get(keyring.User, key.user_id), sharing="dedicated").id
    spend(secret, account, 5)

    keyring.revoke(key.user_id, key.id)
    db.session.commit()

    assert [line["api_key_id"] for line in rows("usage_log")] == [key.id]
