"""A database that is slow, locked or has become read-only, and a worker that is stuck: nothing hangs, nothing is free."""

from __future__ import annotations

import time
from contextlib import contextmanager

import psutil
import psycopg2
import pytest

from shared_accounts.extensions import db
from shared_accounts.gateway import books
from tests.gateway.scene import COST, at_once, wait_until
from tests.upstream import answers, drips, streams

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def impatient(start_servers):
    """A gunicorn that gives a statement a second."""
    return start_servers(STATEMENT_TIMEOUT_MS=1000, UPSTREAM_TOTAL_TIMEOUT=60, UPSTREAM_GAP_TIMEOUT=60)


@contextmanager
def locked(*tables):
    with db.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(f"lock table {', '.join(tables)} in access exclusive mode")
        yield


@contextmanager
def read_only(url):
    """Every session of the whole server may only read from now on, the way a primary that was demoted behaves."""
    admin = psycopg2.connect(url, options="-c default_transaction_read_only=off")
    admin.autocommit = True
    with admin.cursor() as cursor:
        try:
            cursor.execute("alter system set default_transaction_read_only = on")
            cursor.execute("select pg_reload_conf()")
            yield
        finally:
            cursor.execute("alter system reset default_transaction_read_only")
            cursor.execute("select pg_reload_conf()")
            admin.close()


def refused(reply):
    return reply.status, reply.error["code"], int(reply.headers["retry-after"]) > 0


@pytest.mark.parametrize("table", ["quota_pools", "usage_log", "api_keys"])
def test_while_a_table_is_locked_calls_are_refused_in_time_and_streams_flow(scene, impatient, upstream, table):
    scene.server = impatient
    scene.account(upstream(drips(0.1)))

    with scene.stream() as response:
        response.read1(1000)
        with locked(table):
            began = time.monotonic()
            replies = at_once(*[scene.ask] * 12)
            assert time.monotonic() - began < 20
            assert response.read1(1000)

    assert {refused(reply) for reply in replies} == {(503, "service_unavailable", True)}
    wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "a line is open")
    assert scene.pool_now()["reserved"] == 0
    assert scene.charged() == sum(line["charged"] for line in scene.lines()) > 0


def test_what_ends_while_the_are_locked_is_settled_once_they_are_free(scene, impatient, upstream):
    scene.server = impatient
    scene.account(upstream(streams("Hello", "there", "and", "more", delay=0.3)))

    with scene.stream() as response:
        response.read1(10)
        with locked("quota_pools", "usage_log"):
            rest = response.read()
            assert b"[DONE]" in rest
            time.sleep(1.5)

    wait_until(lambda: scene.lines()[0]["state"] == "closed", "never settled", 30)
    assert (scene.line()["basis"], scene.charged()) == ("measured", COST)


def test_of_a_database_that_only_reads_nothing_is_had_for_free(scene, impatient, upstream, postgres):
    scene.server = impatient
    server = upstream(streams(*["word"] * 10, delay=0.3), answers("Hello"))
    scene.account(server)

    with scene.stream() as response:
        response.read1(10)
        with read_only(postgres.url("postgres")):
            wait_until(lambda: scene.ask().status == 503, "still served")
            asked = len(server.requests)
            replies = [scene.ask() for _ in range(4)]
            told = response.read()
            served = scene.ask(path="/v1/models", method="GET").status

    assert {refused(reply) for reply in replies} == {(503, "service_unavailable", True)}
    assert len(server.requests) == asked
    assert b"[DONE]" in told
    assert served in {200, 503}
    wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "never settled", 30)
    assert scene.charged() == sum(line["charged"] for line in scene.lines())
    assert [line["basis"] for line in scene.lines() if line["outcome"] == "served"].count("measured") >= 1


def test_while_one_worker_is_stuck_the_other_serves_and_its_calls_are_settled(scene, start_servers, upstream):
    scene.server = start_servers(workers=2, LEASE_SECONDS=2, HEARTBEAT_SECONDS=1, UPSTREAM_TOTAL_TIMEOUT=60)
    scene.account(upstream(drips(0.1)))
    scene.account(upstream(answers("Hello")), owner=scene.user, models=[f"{scene.model} quick"])

    with scene.stream() as response:
        response.read1(1000)
        stuck = worker_behind(scene.server, response)
        stuck.suspend()
        try:
            wait_until(lambda: books.close_abandoned() == 1, "nothing is reaped", 30)
            # Which worker a connection meets is the kernel's choice; the stuck one accepts none.
            replies = at_once(*[lambda: scene.ask(model=f"{scene.model} quick")] * 4)
        finally:
            stuck.resume()

    assert {content_of(reply) for reply in replies} == {"Hello"}
    line = scene.line()
    assert (line["outcome"], line["basis"]) == ("abandoned", "estimated")
    assert scene.charged() == line["charged"] == line["estimate"]
    assert scene.pool_now()["reserved"] == 0
    wait_until(lambda: {scene.ask(model=f"{scene.model} quick").status for _ in range(8)} == {200}, "not all are back")


def content_of(reply):
    return reply.json["choices"][0]["message"]["content"]


def worker_behind(server, response):
    """The worker that holds the other end of this answer's connection."""
    ours = response.fp.raw._sock.getsockname()  # noqa: SLF001 - nothing public tells our own port
    for pid in server.pids():
        worker = psutil.Process(pid)
        if any(end.raddr and tuple(end.raddr) == ours for end in worker.net_connections()):
            return worker
    raise AssertionError("nobody holds it")
