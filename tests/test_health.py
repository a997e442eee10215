from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import psycopg2
import pytest
from sqlalchemy import text

from shared_accounts import health
from shared_accounts.extensions import db


@contextmanager
def _silent_server():
    """A server that takes connections and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def accept():
            server.settimeout(0.05)
            taken = []
            while not stop.is_set():
                try:
                    taken.append(server.accept()[0])
                except TimeoutError:
                    continue
            for connection in taken:
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def refused():
    """A port where nobody listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _timed(client, path):
    start = time.monotonic()
    answer = client.get(path)
    return answer, time.monotonic() - start


def test_when_all_is_well_it_says_so_part_by_part(client):
    answer = client.get("/api/health")

    assert answer.status_code == 200
    assert answer.json == {
        "status": "healthy",
        "components": {
            "api": {"status": "healthy", "message": "works"},
            "database": {"status": "healthy", "message": "works", "type": "PostgreSQL"},
            "cache": {"status": "healthy", "message": "works", "type": "Redis"},
        },
    }
    assert client.get("/livez").json == {"status": "alive"}
    assert (client.get("/readyz").status_code, client.get("/readyz").json) == (200, {"status": "ready"})


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_without_postgresql_it_is_unhealthy_within_a_second(client, with_settings, refused, how):
    with _silent_server() as silent:
        port = silent if how == "silent" else refused
        with with_settings(database_url=f"postgresql+psycopg2://u:secret-password@127.0.0.1:{port}/x"):
            answer, seconds = _timed(client, "/api/health")
            ready, ready_seconds = _timed(client, "/readyz")
            alive = client.get("/livez")

    assert (answer.status_code, answer.json["status"]) == (503, "unhealthy")
    assert answer.json["components"]["database"]["status"] == "unhealthy"
    assert answer.json["components"]["cache"]["status"] == "healthy"
    assert "secret-password" not in answer.text
    assert (ready.status_code, ready.json) == (503, {"status": "not ready"})
    assert alive.status_code == 200
    assert max(seconds, ready_seconds) < 1.5


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_without_redis_it_is_degraded_and_still_ready(client, with_settings, refused, how):
    with _silent_server() as silent:
        port = silent if how == "silent" else refused
        with with_settings(redis_url=f"redis://:secret-password@127.0.0.1:{port}/0"):
            answer, seconds = _timed(client, "/api/health")
            ready = client.get("/readyz")

    assert (answer.status_code, answer.json["status"]) == (200, "degraded")
    assert answer.json["components"]["cache"]["status"] == "unhealthy"
    assert "secret-password" not in answer.text
    assert ready.status_code == 200
    assert seconds < 1.5


def test_a_frozen_postgresql_is_noticed_within_a_second(client, postgres, frozen):
    with frozen(postgres.pid):  # the postmaster: new connections are taken by the kernel, and answered by nobody
        answer, seconds = _timed(client, "/api/health")

    assert (answer.status_code, answer.json["components"]["database"]["status"]) == (503, "unhealthy")
    assert seconds < 1.5


def test_a_query_that_hangs_is_given_up(client, app):
    start = time.monotonic()

    with app.test_request_context(), pytest.raises(psycopg2.OperationalError):
        health._ask("select pg_sleep(10)")  # noqa: SLF001

    assert time.monotonic() - start < 1.2


def test_a_full_pool_does_not_look_like_a_dead_server(client, committed):
    committed.remove()
    taken = [db.engine.connect() for _ in range(db.engine.pool.size() + db.engine.pool._max_overflow)]  # noqa: SLF001
    try:
        assert client.get("/readyz").status_code == 200
    finally:
        for connection in taken:
            connection.close()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("delete from alembic_version", 503),
        ("update alembic_version set version_num = '0001'", 503),
        ("update alembic_version set version_num = '9999'", 200),  # a newer release has migrated already
        ("alter table alembic_version rename to elsewhere", 503),
    ],
)
def test_a_replica_is_ready_only_when_the_tables_are_not_older_than_its_code(
    client, with_settings, new_database, change, status
):
    url = new_database(f"ready_{abs(hash(change))}")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(change)
    connection.close()

    with with_settings(database_url=url.replace("postgresql://", "postgresql+psycopg2://")):
        assert client.get("/readyz").status_code == status


def test_asking_leaves_no_connection_behind(client, committed):
    count = text("select count(*) from pg_stat_activity where backend_type = 'client backend'")
    before = committed.scalar(count)
    for _ in range(5):
        client.get("/readyz")
    time.sleep(0.2)
    committed.rollback()

    assert committed.scalar(count) <= before + 1
