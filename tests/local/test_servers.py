from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis as redis_client
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared_accounts.local.home import LocalError, kept
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port
from tests.local.conftest import WITHOUT_APPLICATION

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps its clusters elsewhere")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One cluster for all, because making one takes a second; its server runs."""
    made = Postgres(tmp_path_factory.mktemp("home"), free_port())
    try:
        made.start()
        yield made
    finally:
        made.destroy()


@pytest.fixture
def unborn(folder: Path) -> Iterator[Postgres]:
    """A cluster that was never started."""
    made = Postgres(folder, free_port())
    yield made
    made.destroy()


@pytest.fixture
def redis(folder: Path) -> Iterator[Redis]:
    made = Redis(folder, free_port())
    yield made
    made.stop()


def run(postgres, statement):
    connection = psycopg2.connect(postgres.url("postgres"))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def cluster_of(postgres):
    return (postgres.home / "postgres").resolve()


def test_postgres_keeps_what_was_committed_through_any_end(postgres):
    run(postgres, "create table survivors (name text)")
    ends = {"stop": postgres.stop, "kill": postgres.kill, "immediate": lambda: None}

    for name, end in ends.items():
        run(postgres, f"insert into survivors values ('{name}')")
        end()
        postgres.restart_immediate()

    assert run(postgres, "select name from survivors") == [("stop",), ("kill",), ("immediate",)]


def test_postgres_is_set_up_as_in_production(postgres):
    ((fsync, encoding, addresses, collation),) = run(
        postgres,
        "select current_setting('fsync'), current_setting('server_encoding'), current_setting('listen_addresses'),"
        " datcollate from pg_database where datname = 'postgres'",
    )

    assert (fsync, encoding, addresses, collation) == ("on", "UTF8", "127.0.0.1", "C")


def test_a_file_with_a_number_in_use_does_not_hinder_postgres(postgres):
    pid_file = cluster_of(postgres) / "data" / "postmaster.pid"
    content = pid_file.read_text()
    postgres.kill()
    # As after a power loss: the file is there, and its number belongs to somebody.
    stranger = subprocess.Popen(["sleep", "100"], user=cluster_user(postgres), cwd="/")
    pid_file.write_text(content.replace(content.split("\n")[0], str(stranger.pid), 1))

    postgres.start()

    stranger.kill()
    stranger.wait()


def cluster_user(postgres):
    return (cluster_of(postgres) / "data").stat().st_uid


def test_an_interrupted_initdb_is_begun_again(unborn):
    half = cluster_of(unborn) / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")

    unborn.start()

    assert run(unborn, "select 1") == [(1,)]
    assert not half.exists()


def test_a_server_of_a_killed_launcher_is_replaced(postgres):
    postgres.stop()
    code = f"""{WITHOUT_APPLICATION}
from shared_accounts.local import process, servers
process._libc = None
it = servers.Postgres(pathlib.Path({str(postgres.home)!r}), {postgres.port})
it.start()
print(it.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    launcher = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)

    postgres.start()

    assert postgres.pid != int(launcher.stdout)
    assert run(postgres, "select 1") == [(1,)]


def test_a_port_that_was_taken_meanwhile_is_told_with_the_log(postgres):
    postgres.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", postgres.port))
        other.listen()

        with pytest.raises(
            LocalError, match=r"(?s)postgres did not start; see .*postgres\.log:.*Address already in use"
        ):
            postgres.start()

    assert postgres.process.gone
    postgres.start()


def test_passwords_are_asked_for_and_kept_where_only_the_owner_reads(postgres, redis):
    redis.start()
    password = kept(postgres.home)["POSTGRES_PASSWORD"]

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(postgres.url("postgres").replace(password, "wrong"))
    with (
        pytest.raises(redis_client.AuthenticationError),
        redis_client.Redis(host="127.0.0.1", port=redis.port, retry=Retry(NoBackoff(), 0)) as stranger,
    ):
        stranger.ping()
    assert (postgres.home / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert postgres.home.stat().st_mode & 0o777 == 0o700


def test_lost_secrets_are_told_in_a_sentence(postgres):
    postgres.stop()
    secrets = postgres.home / "secrets.json"
    secrets.rename(f"{secrets}.away")

    with pytest.raises(LocalError, match="does not fit the database"):
        Postgres(postgres.home, postgres.port).start()

    secrets.with_name("secrets.json.away").rename(secrets)
    postgres.start()


def test_creating_a_database_twice_changes_nothing(postgres):
    for _ in range(2):
        create_database(postgres.url("postgres"), "Odd name")

    psycopg2.connect(postgres.url("Odd name")).close()


@only_root
def test_roots_cluster_belongs_to_nobody_and_lies_where_nobody_can_pass(postgres):
    assert (postgres.home / "postgres").is_symlink()
    assert cluster_user(postgres) != 0
    assert cluster_of(postgres).stat().st_uid == 0


@only_root
def test_a_copied_data_folder_is_refused_and_a_moved_one_is_not(unborn, tmp_path):
    shutil.copytree(unborn.home, tmp_path / "copy", symlinks=True)
    with pytest.raises(LocalError, match="is a copy of"):
        Postgres(tmp_path / "copy", unborn.port)

    shutil.rmtree(unborn.home)

    Postgres(tmp_path / "copy", unborn.port)


def test_redis_keeps_what_it_was_told_through_a_crash(redis):
    redis.start()
    with redis_client.Redis.from_url(redis.url(3)) as client:
        client.config_set("appendfsync", "always")
        client.set("greeting", "hello")

    redis.restart_immediate()

    with redis_client.Redis.from_url(redis.url(3)) as client:
        assert client.get("greeting") == b"hello"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_passwords_are_not_on_command_lines(postgres, redis):
    redis.start()

    for server in (postgres, redis):
        command = subprocess.run(["ps", "-o", "args=", "-p", str(server.pid)], capture_output=True, check=True).stdout
        assert not any(secret.encode() in command for secret in kept(server.home).values())


def test_stopping_twice_or_before_the_first_start_is_harmless(postgres, redis):
    redis.stop()

    postgres.stop()
    postgres.stop()

    assert postgres.process.status == 0
    postgres.start()
