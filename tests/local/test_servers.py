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

from shared_accounts.local.home import LocalError, kept
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps its clusters elsewhere")


@pytest.fixture
def postgres(folder: Path) -> Iterator[Postgres]:
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
    postgres.start()
    run(postgres, "create table survivors (name text)")
    ends = {"stop": postgres.stop, "kill": postgres.kill, "immediate": lambda: None}

    for name, end in ends.items():
        run(postgres, f"insert into survivors values ('{name}')")
        end()
        postgres.restart_immediate()

    assert run(postgres, "select name from survivors") == [("stop",), ("kill",), ("immediate",)]


def test_postgres_is_set_up_as_in_production(postgres):
    postgres.start()

    ((fsync, encoding, addresses, collation),) = run(
        postgres,
        "select current_setting('fsync'), current_setting('server_encoding'), current_setting('listen_addresses'),"
        " datcollate from pg_database where datname = 'postgres'",
    )

    assert (fsync, encoding, addresses, collation) == ("on", "UTF8", "127.0.0.1", "C")


def test_a_file_with_a_number_in_use_does_not_hinder_postgres(postgres):
    postgres.start()
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


def test_an_interrupted_initdb_is_begun_again(postgres):
    half = cluster_of(postgres) / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")

    postgres.start()

    assert run(postgres, "select 1") == [(1,)]
    assert not half.exists()


def test_a_server_of_a_killed_launcher_is_replaced(folder, postgres):
    code = (
        "import os, pathlib\nfrom shared_accounts.local import process, servers\nprocess._libc = None\n"
        f"it = servers.Postgres(pathlib.Path({str(folder)!r}), {postgres.port})\n"
        "it.start(); print(it.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    launcher = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)

    postgres.start()

    assert postgres.pid != int(launcher.stdout)
    assert run(postgres, "select 1") == [(1,)]


def test_a_port_that_was_taken_meanwhile_is_told_with_the_log(postgres):
    with socket.socket() as other:
        other.bind(("127.0.0.1", postgres.port))
        other.listen()

        with pytest.raises(
            LocalError, match=r"(?s)postgres did not start; see .*postgres\.log:.*Address already in use"
        ):
            postgres.start()

    assert postgres.process.gone


def test_passwords_are_asked_for_and_kept_where_only_the_owner_reads(folder, postgres, redis):
    postgres.start()
    redis.start()

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(postgres.url().replace(kept(folder)["POSTGRES_PASSWORD"], "wrong"))
    with (
        pytest.raises(redis_client.AuthenticationError),
        redis_client.Redis(host="127.0.0.1", port=redis.port) as stranger,
    ):
        stranger.ping()
    assert (folder / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_lost_secrets_are_told_in_a_sentence(folder, postgres):
    postgres.start()
    postgres.stop()
    (folder / "secrets.json").unlink()

    with pytest.raises(LocalError, match="does not fit the database"):
        Postgres(folder, postgres.port).start()


def test_creating_a_database_twice_changes_nothing(postgres):
    postgres.start()

    for _ in range(2):
        create_database(postgres.url("postgres"), "Odd name")

    psycopg2.connect(postgres.url("Odd name")).close()


@only_root
def test_roots_cluster_belongs_to_nobody_and_lies_where_nobody_can_pass(postgres):
    postgres.start()

    assert (postgres.home / "postgres").is_symlink()
    assert cluster_user(postgres) != 0
    assert cluster_of(postgres).stat().st_uid == 0


@only_root
def test_a_copied_data_folder_is_refused_and_a_moved_one_is_not(postgres, tmp_path):
    shutil.copytree(postgres.home, tmp_path / "copy", symlinks=True)
    with pytest.raises(LocalError, match="is a copy of"):
        Postgres(tmp_path / "copy", postgres.port)

    shutil.rmtree(postgres.home)

    Postgres(tmp_path / "copy", postgres.port)


def test_redis_keeps_what_it_was_told_through_a_crash(redis):
    redis.start()
    with redis_client.Redis.from_url(redis.url(3)) as client:
        client.config_set("appendfsync", "always")
        client.set("greeting", "hello")

    redis.restart_immediate()

    with redis_client.Redis.from_url(redis.url(3)) as client:
        assert client.get("greeting") == b"hello"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_servers_password_is_not_on_its_command_line(folder, postgres, redis):
    postgres.start()
    redis.start()

    for server in (postgres, redis):
        command = subprocess.run(["ps", "-o", "args=", "-p", str(server.pid)], capture_output=True, check=True).stdout
        assert not any(secret.encode() in command for secret in kept(folder).values())


def test_a_server_that_is_asked_to_stop_twice_or_never_ran_does_not_mind(postgres, redis):
    redis.stop()
    postgres.start()

    postgres.stop()
    postgres.stop()

    assert postgres.process.status == 0
