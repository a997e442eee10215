"""What is worth an alert: each event once, however often and by how many it is looked for."""

from __future__ import annotations

import pytest
from flask import current_app
from sqlalchemy import text

from shared_accounts.accounts import standing
from shared_accounts.alerts import raising
from shared_accounts.alerts.clock_api import watch_for_alerts
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import clock_api, ledger
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import contributed
from tests.together import at_once, from_one_gate


def watch():
    watch_for_alerts()
    return alerts()


def alerts():
    return [(row["kind"], row["episode"], row["over_at"] is None) for row in rows("alerts order by id")]


def change(statement, **values):
    db.session.execute(text(statement), values)
    db.session.commit()


def set_balance(pool, units):
    change("update quota_pools set balance = :balance where id = :id", balance=round(units * MICRO), id=pool.id)


def test_a_pool_that_falls_below_the_line_is_told_of_once_until_it_recovers(alice):
    pool = factories.quota_pool(alice, balance=10 * MICRO, refill_per_hour=400_000)
    assert watch() == []

    for units in (1.9999, 0.5, 0, 2.5, 1):  # back over the line, but not far enough to count as recovered
        set_balance(pool, units)
        assert watch() == [("quota_low", 1, True)]
    (row,) = rows("alerts")
    assert row["user_id"] == alice.id
    assert row["details"] == {
        "model_group": "m", "balance": "1.9999", "capacity": "10.0000", "refill_per_hour": "0.4000",
    }  # fmt: skip

    set_balance(pool, 3)
    assert watch() == [("quota_low", 1, False)]
    set_balance(pool, 1)
    assert watch() == [("quota_low", 1, False), ("quota_low", 2, True)]


def test_a_pool_without_capacity_or_of_somebody_disabled_is_nobodys_business(alice, with_settings):
    factories.quota_pool(alice, balance=0, capacity=0)
    factories.quota_pool(factories.user(state="disabled"), balance=0)
    assert watch() == []

    factories.quota_pool(alice, balance=0, model_group="n")
    with with_settings(alert_quota_low_share=0.0):
        assert watch() == []
    assert len(watch()) == 1


@pytest.mark.parametrize("state", ["needs_sign_in", "broken"])
def test_each_time_an_account_goes_out_its_owner_is_told_once(alice, state):
    account = contributed(alice)
    for number in (1, 2):
        standing.take_out(account.id, state, "a test")
        db.session.commit()
        assert [one[0] for one in watch()] == watch_kinds(state, number)
        assert watch()[-1][2] is True
        standing.bring_back(account.id, state)
        db.session.commit()
        assert [one[2] for one in watch()] == [False] * number
    standing.take_out(account.id, state, "a test")
    standing.bring_back(account.id, state)
    standing.take_out(account.id, state, "twice between two looks")
    db.session.commit()
    assert len(watch()) == 3
    assert {row["user_id"] for row in rows("alerts")} == {alice.id}
    assert rows("alerts")[0]["details"] == {"account": "Hers", "account_id": account.id}


def watch_kinds(state, number):
    return [f"account_{state}"] * number


def test_a_credential_that_ends_and_cannot_be_renewed_is_told_of_in_time(alice):
    factories.account(alice, name="soon", credential_expires_at=factories.ago(days=-2))
    factories.account(alice, name="later", credential_expires_at=factories.ago(days=-4))
    renewed = {"oauth_provider": "acme", "sealed_refresh_token": b"x"}
    factories.account(alice, name="renewed", credential_expires_at=factories.ago(minutes=5), **renewed)
    factories.account(alice, name="not renewed", credential_expires_at=factories.ago(minutes=20), **renewed)
    gone = factories.account(alice, name="gone", credential_expires_at=factories.ago(hours=1), state="disabled")
    assert gone.id

    assert [one[0] for one in watch()] == ["credential_expiring"] * 2
    assert {row["details"]["account"] for row in rows("alerts")} == {"soon", "not renewed"}

    change("update accounts set credential_expires_at = now() + interval '1 day' where name = 'not renewed'")
    assert sorted(one[2] for one in watch()) == [False, True]
    change("update accounts set credential_expires_at = now() - interval '1 hour' where name = 'not renewed'")
    assert len(watch()) == 3


def test_a_key_that_ends_is_told_of_unless_it_was_made_for_so_short_a_time(alice):
    old, _ = factories.api_key(alice, name="laptop")
    change("update api_keys set created_at = now() - interval '9 days', expires_at = now() + interval '1 day'")
    short, _ = factories.api_key(alice, name="an afternoon")
    change("update api_keys set expires_at = now() + interval '4 hours' where id = :id", id=short.id)

    assert watch() == watch() == [("key_expiring", rows("alerts")[0]["episode"], True)]
    assert rows("alerts")[0]["details"]["key"] == "laptop"

    change("update api_keys set is_active = false where id = :id", id=old.id)
    assert watch()[0][2] is False


def test_a_job_that_fails_three_times_in_a_row_is_told_to_admins_until_it_succeeds(committed):
    change(
        "insert into job_runs (task, last_started, failed_in_a_row) values ('refill_quotas', now(), 2), ('other', now(), 0)"
    )
    assert watch() == []

    for failures in (3, 4, 1):
        change("update job_runs set failed_in_a_row = :n where task = 'refill_quotas'", n=failures)
        assert watch() == [("job_failing", 1, True)]
    assert (rows("alerts")[0]["user_id"], rows("alerts")[0]["details"]["failures"]) == (None, 3)
    change("update job_runs set failed_in_a_row = 0")
    assert watch() == [("job_failing", 1, False)]


def test_a_ledger_that_does_not_balance_is_told_once_until_it_does(committed):
    pool = factories.quota_pool(factories.user())
    clock_api.prove_ledger()
    assert alerts() == []

    change("update quota_pools set balance = balance - 1")
    for _ in range(3):
        clock_api.prove_ledger()
    assert alerts() == [("ledger_broken", 1, True)]

    change("update quota_pools set balance = balance + 1")
    clock_api.prove_ledger()
    assert alerts() == [("ledger_broken", 1, False)]
    change("update quota_pools set balance = balance - 1 where id = :id", id=pool.id)
    clock_api.prove_ledger()
    assert alerts()[1:] == [("ledger_broken", 2, True)]


@pytest.mark.parametrize("strike", [at_once, from_one_gate])
def test_watchers_beside_each_other_write_each_event_down_once(app, alice, wants, reachable, strike):
    wants(email="alice@mail.example", webhook_url="https://hooks.example/a")
    for number in range(5):
        factories.quota_pool(alice, balance=0, model_group=f"g{number}")
        account = contributed(alice, f"key {number}", models=[f"m{number}"])
        standing.take_out(account.id, "broken", "a test")
    db.session.commit()
    change("update quota_pools set balance = capacity where model_group like 'm%'")

    settings = current_app.extensions["settings"]

    def look():
        raising.watch(settings)
        db.session.commit()

    strike(app, *[look] * 4)
    look()

    assert len(rows("alerts")) == 10
    assert len(rows("alert_deliveries")) == 20


def test_a_watcher_that_dies_leaves_neither_an_alert_nor_a_letter(alice, wants, reachable):
    wants(email="alice@mail.example")
    factories.quota_pool(alice, balance=0)

    raising.watch(current_app.extensions["settings"])
    db.session.rollback()

    assert (rows("alerts"), rows("alert_deliveries")) == ([], [])
    watch()
    assert len(rows("alert_deliveries")) == 1


def test_a_real_spend_below_the_line_is_found(alice):
    pool = factories.quota_pool(alice, balance=10 * MICRO)
    locked = ledger.locked([alice.id], "m")[alice.id]
    ledger.correct(locked, -9 * MICRO, actor_id=alice.id, note="a test")
    db.session.commit()

    assert watch() == [("quota_low", 1, True)]
    assert pool.id
