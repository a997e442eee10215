"""A private real PostgreSQL and a private real Redis, each with its data in a folder of ours.

    postgres = Postgres(Path("/tmp/home"), free_port())
    postgres.start()
    create_database(postgres.url("postgres"), "shared_accounts")
    ... postgres.url() ...
    postgres.stop()

Both listen on 127.0.0.1 only and ask for a password. They outlive Ctrl-C at the terminal, so that whoever started them
can stop them last; on Linux they do not outlive the thread that started them.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
from pathlib import Path

import psycopg2
import redis as redis_client
from psycopg2 import errors, sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared_accounts.local import cluster, home, programs
from shared_accounts.local.home import LocalError
from shared_accounts.local.process import Process
from shared_accounts.local.server import Server

_POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(Server):
    """PostgreSQL 18 over the cluster of one data folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.home = home.prepare(folder)
        self.port = port
        self._programs = programs.postgres_programs()
        self._owner = programs.database_owner()
        self._cluster = cluster.place(self.home)
        self._password = home.secret(self.home, "POSTGRES_PASSWORD", secrets.token_urlsafe)
        options = [f"--{name}={value}" for name, value in _POSTGRES_SETTINGS.items()]
        self.process = Process(
            name="postgres",
            command=[self._programs / "postgres", "-D", self._cluster / "data", f"--port={port}", *options],
            directory=Path("/"),
            log=self.home / "logs" / "postgres.log",
            lock=self._cluster / "lock",
            owner=self._owner,
            farewell=signal.SIGINT,  # "fast": ends sessions instead of waiting for them
            patience=60.0,
            keeps_data=True,
            before=self._forget_pid,
        )

    def url(self, database: str = "shared_accounts") -> str:
        """Return the URL of one of its databases; creating it is `create_database`'s."""
        return f"postgresql://{cluster.USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def restart_immediate(self) -> None:
        """Crash it as a power loss would, without a checkpoint, and start it again."""
        self.process.send(signal.SIGQUIT)
        self.process.wait(30)
        self.start()

    def destroy(self) -> None:
        """Stop it and delete its data for good; for tests, whose clusters would stay behind in /var/lib."""
        self.stop()
        shutil.rmtree(self._cluster)

    def prepare(self) -> None:
        """Make the cluster at the first start."""
        cluster.initialise(self._cluster, self._programs, self._owner, self._password)

    def _forget_pid(self) -> None:
        # PostgreSQL would refuse to start when the number in a file left by a power loss is in use again. Our lock
        # is free here, so nobody is using this cluster, whatever the file says.
        (self._cluster / "data" / "postmaster.pid").unlink(missing_ok=True)

    def answers(self) -> bool:
        """Say whether it lets us in."""
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise LocalError(
                    f"The password in {self.home}/secrets.json does not fit the database beside it."
                ) from None
            return False
        return True


class Redis(Server):
    """Redis 6.2, keeping what it is told in an append-only file."""

    def __init__(self, folder: Path, port: int) -> None:
        self.home = home.prepare(folder)
        self.port = port
        self._password = home.secret(self.home, "REDIS_PASSWORD", secrets.token_urlsafe)
        self.process = Process(
            name="redis",
            command=[programs.redis_server(), "redis.conf"],
            directory=self.home / "redis",
            log=self.home / "logs" / "redis.log",
            lock=self.home / "run" / "redis.pid",
            keeps_data=True,
        )

    def url(self, db: int = 0) -> str:
        """Return the URL of one of its numbered databases."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/{db}"

    def restart_immediate(self) -> None:
        """Crash it and start it again."""
        self.kill()
        self.start()

    def prepare(self) -> None:
        """Write its settings anew at each start."""
        # In a file, for a command line is everybody's to read.
        settings = (
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self._password}",
            "appendonly yes",
            'save ""',
            "maxmemory-policy noeviction",
        )
        home.write_private(self.home / "redis" / "redis.conf", "\n".join(settings) + "\n")

    def answers(self) -> bool:
        """Say whether it lets us in."""
        try:
            with redis_client.Redis.from_url(self.url(), socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except redis_client.ConnectionError:
            return False


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def create_database(url: str, name: str) -> None:
    """Create a database through a connection to another one; harmless when it exists."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except errors.DuplicateDatabase:
        pass
    finally:
        connection.close()
