import logging
import subprocess
import sys
import time

import psycopg2
import pytest
from sqlalchemy import text

from shared_accounts import clockwork, tasks
from shared_accounts.config import MICRO
from shared_accounts.extensions import celery
from shared_accounts.gateway import books
from shared_accounts.gateway.attempts import new_id
from shared_accounts.quotas import clock_api, proof
from shared_accounts.quotas.pricing import Rule
from shared_accounts.users.roster import Caller
from tests import factories
from tests.conftest import ROOT, rows


def an_open_exchange(*, lease, estimate=600_000):
    """An exchange as a worker leaves it when it dies: open, its estimate reserved, its lease running."""
    owner, caller = factories.user(), factories.user()
    account = factories.account(owner)
    factories.quota_pool(caller, balance=2 * MICRO)
    key, _ = factories.api_key(caller)
    opening = books.Opening(
        id=new_id(),
        caller=Caller(caller.id, "active", False, False, key.id, key.fingerprint, None),
        model="m",
        estimate=estimate,
        endpoint="/v1/chat/completions",
        stream=True,
        worker="gone:1",
        lease_seconds=lease,
        rule=Rule("m", "m", 1_000_000),
    )
    assert books.open_line(opening, type("Chosen", (), {"id": account.id})) == "open"
    return opening


@pytest.fixture
def pool(committed):
    return lambda: rows("quota_pools")[0]


def test_every_entry_of_the_timetable_is_a_task_with_limits(app):
    for entry in tasks.TIMETABLE.values():
        task = celery.tasks[entry["task"]]
        assert 0 < task.soft_time_limit < task.time_limit


def test_an_abandoned_exchange_is_settled_at_its_estimate_once(committed, pool):
    opening = an_open_exchange(lease=-1)

    tasks.close_abandoned_exchanges()
    tasks.close_abandoned_exchanges()

    line = rows("usage_log")[0]
    assert (line["outcome"], line["basis"], line["charged"]) == ("abandoned", "estimated", opening.estimate)
    assert (pool()["balance"], pool()["reserved"]) == (2 * MICRO - 600_000, 0)
    assert proof.verify() == []


def test_a_living_exchange_is_left_alone_and_can_still_be_closed(committed, pool):
    opening = an_open_exchange(lease=60)

    tasks.close_abandoned_exchanges()

    assert (pool()["reserved"], rows("usage_log")[0]["state"]) == (600_000, "open")
    assert books.close_line(opening.id, books.Closing("served", "measured", cost=100))
    assert (pool()["balance"], pool()["reserved"]) == (2 * MICRO - 100, 0)


def test_a_heartbeat_keeps_the_reaper_away(committed, pool):
    opening = an_open_exchange(lease=-1)
    books.extend([opening.id], 60)

    tasks.close_abandoned_exchanges()

    assert pool()["reserved"] == 600_000


def test_a_worker_that_was_thought_dead_settles_nothing_twice(committed, pool):
    opening = an_open_exchange(lease=-1)
    tasks.close_abandoned_exchanges()

    assert not books.close_line(opening.id, books.Closing("served", "measured", cost=100))

    assert pool()["balance"] == 2 * MICRO - 600_000
    assert proof.verify() == []


def test_a_cost_above_the_reservation_is_charged_as_far_as_the_pool_goes(committed, pool):
    opening = an_open_exchange(lease=60)

    books.close_line(opening.id, books.Closing("served", "measured", cost=5 * MICRO))

    line = rows("usage_log")[0]
    assert (line["cost"], line["charged"], pool()["balance"]) == (5 * MICRO, 2 * MICRO, 0)
    assert proof.verify() == []


def test_opening_twice_reserves_once(committed, pool):
    opening = an_open_exchange(lease=60)

    account = rows("accounts")[0]["id"]
    assert books.open_line(opening, type("Chosen", (), {"id": account})) == "open"

    assert pool()["reserved"] == 600_000
    assert proof.verify() == []


def test_the_refill_task_pays_every_hour_once(committed, pool):
    factories.quota_pool(factories.user(), balance=0, refill_per_hour=400_000)
    committed.execute(text("update quota_pools set refilled_through = refilled_through - interval '3 hours'"))
    committed.commit()

    tasks.refill_quotas()
    tasks.refill_quotas()

    assert pool()["balance"] == 1_200_000


def test_a_failed_proof_is_cried_out(committed, caplog):
    factories.quota_pool(factories.user(), balance=MICRO)
    committed.execute(text("update quota_pools set balance = balance - 1"))
    committed.commit()

    with caplog.at_level(logging.CRITICAL):
        clock_api.prove_ledger()

    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


@pytest.mark.timeout(120)
def test_a_real_worker_and_a_real_beat_do_what_is_due(environment, new_database, redis_server, tmp_path):
    url = new_database("celery_alive")
    env = {**environment, "DATABASE_URL": url, "REDIS_URL": redis_server.url(5), "LOG_LEVEL": "INFO"}
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            """insert into users (username) values ('someone');
            insert into usage_log (id, user_id, account_id, contributor_id, model, model_group, endpoint, stream,
                worker, estimate, lease_until)
            values (gen_random_uuid(), 1, 1, 1, 'm', 'm', '/', false, 'gone', 5, now() - interval '1 minute')"""
        )
    connection.close()
    command = [sys.executable, "-m", "celery", "-A", "celery_worker"]
    worker = subprocess.Popen([*command, "worker", "--concurrency", "1"], cwd=ROOT, env=env, stderr=subprocess.PIPE)
    beat = subprocess.Popen(
        [*command, "beat", "--schedule", tmp_path / "beat"], cwd=ROOT, env=env, stderr=subprocess.DEVNULL
    )
    try:
        assert state_within(90, url) == "closed"
    finally:
        beat.terminate()
        worker.terminate()
        beat.wait(20)
        _, log = worker.communicate(timeout=30)
    assert b"Traceback" not in log


def state_within(seconds, url):
    end = time.monotonic() + seconds
    while True:
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("select state from usage_log")
            state = cursor.fetchone()[0]
        connection.close()
        if state == "closed" or time.monotonic() > end:
            return state
        time.sleep(0.5)


def test_publishing_to_a_broker_that_hangs_does_not_hang(redis_server, settings, frozen):
    celery.conf.update(clockwork.configuration(settings, tasks.TIMETABLE))
    with frozen(redis_server.pid):
        started = time.monotonic()
        with pytest.raises(Exception, match=r"(?i)time|connect"):
            clock_api.prove_ledger.delay()
        assert time.monotonic() - started < 10
