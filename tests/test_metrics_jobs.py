"""What becomes of a task is noted, whatever becomes of it."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime

import psycopg2
import pytest
from flask import Flask
from sqlalchemy import text

from shared_accounts import clockwork
from shared_accounts.extensions import db
from shared_accounts.metrics import jobs
from tests.conftest import ROOT, rows
from tests.gateway.scene import wait_until
from tests.test_metrics_door import read


@clockwork.task("a_job_that_looks")
def a_job_that_looks(count: int) -> None:
    time.sleep(0.02)
    jobs.found(count)


@clockwork.task("a_job_that_fails")
def a_job_that_fails(_: int) -> None:
    raise ArithmeticError


@pytest.fixture
def noted(committed):
    """Run a task as a worker does, and return what is noted of it."""

    def run(task, count=0):
        task.apply((count,))
        committed.rollback()
        return next(row for row in rows("job_runs") if row["task"] == task.name.removeprefix("shared_accounts."))

    return run


def test_a_run_is_noted_with_its_end_its_time_and_what_it_found(noted):
    first = noted(a_job_that_looks, 3)
    second = noted(a_job_that_looks, 0)

    assert (first["last_outcome"], first["found"], first["succeeded"], first["failed"]) == ("succeeded", 3, 1, 0)
    assert first["duration_ms"] >= 20
    assert first["last_started"] < first["last_finished"] < second["last_started"]
    assert (second["found"], second["succeeded"]) == (0, 2)
    assert second["total_ms"] == first["duration_ms"] + second["duration_ms"]


def test_a_failure_is_noted_as_such(noted):
    row = noted(a_job_that_fails)

    assert (row["last_outcome"], row["succeeded"], row["failed"], row["found"]) == ("failed", 0, 1, None)


def test_failures_in_a_row_are_counted_until_one_succeeds(committed, noted):
    failing = [noted(a_job_that_fails)["failed_in_a_row"] for _ in range(3)]
    assert failing == [1, 2, 3]

    committed.execute(text("update job_runs set task = 'a_job_that_looks' where task = 'a_job_that_fails'"))
    committed.commit()

    assert noted(a_job_that_looks)["failed_in_a_row"] == 0


def test_called_by_hand_a_task_leaves_no_note(committed):
    a_job_that_looks(3)

    assert rows("job_runs") == []


def test_a_database_that_is_away_fails_no_task(app, caplog):
    away = Flask("away")
    away.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg2://nobody@127.0.0.1:1/nowhere"
    db.init_app(away)
    clockwork.bind(away)
    try:
        ran = a_job_that_looks.apply((1,))
    finally:
        clockwork.bind(app)

    assert ran.successful()
    assert [line.getMessage() for line in caplog.records if line.name == jobs.__name__] == ["a run was not noted"] * 2


def test_metrics_show_the_runs_and_the_proof(committed, client):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    committed.execute(
        text(
            "insert into job_runs values ('prove_ledger', :at, :at, 'succeeded', 1500, 3, 5, 1, 9000),"
            " ('refill_quotas', :at, null, null, null, null, 0, 0, 0)"
        ),
        {"at": moment},
    )
    committed.commit()

    found = read(client)

    assert found["job_runs_total", "prove_ledger", "succeeded"] == 5
    assert found["job_runs_total", "prove_ledger", "failed"] == 1
    assert found["job_seconds_total", "prove_ledger"] == 9
    assert found["job_last_seconds", "prove_ledger"] == 1.5
    assert found["job_started_timestamp_seconds", "refill_quotas"] == moment.timestamp()
    assert ("job_finished_timestamp_seconds", "refill_quotas") not in found
    assert found["ledger_problems",] == 3
    assert found["ledger_proof_timestamp_seconds",] == moment.timestamp()


@pytest.mark.timeout(150)
def test_a_real_worker_notes_what_it_runs(environment, new_database, redis_server):
    url = new_database("jobs_noted")
    env = {**environment, "DATABASE_URL": url, "REDIS_URL": redis_server.url(6), "LOG_LEVEL": "INFO"}
    command = [sys.executable, "-m", "celery", "-A", "celery_worker"]
    worker = subprocess.Popen([*command, "worker", "--concurrency", "1"], cwd=ROOT, env=env, stderr=subprocess.PIPE)
    try:
        subprocess.run([*command, "call", "shared_accounts.prove_ledger"], cwd=ROOT, env=env, check=True, timeout=60)
        wait_until(lambda: _runs(url) == [("prove_ledger", "succeeded", 1)], "not noted", 90)
    finally:
        worker.terminate()
        _, log = worker.communicate(timeout=30)
    assert b"Traceback" not in log
    assert b"not noted" not in log


def _runs(url):
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("select task, last_outcome, succeeded from job_runs where last_finished is not null")
        found = cursor.fetchall()
    connection.close()
    return found
