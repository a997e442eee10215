"""This service as the bench starts it: PostgreSQL and Redis of its own, and one gunicorn worker per gateway."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

import flask_migrate
import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from bench.rig import ROOT, Gateway, Rig
from bench.seeding import secret
from shared_accounts import create_app
from shared_accounts.config import load
from shared_accounts.crypto import Vault
from shared_accounts.extensions import db
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port

NAME = "shared_accounts"
VAULT_KEY = "YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2ghISE="
_BACKEND = re.compile(r"postgres: \S+ (\S+) 127\.0\.0\.1\(")

_BOOKS = """
select (select count(*) from usage_log where state = 'open'),
    (select coalesce(sum(reserved), 0) from quota_pools),
    (select coalesce(sum(charged), 0) from usage_log)
        + (select coalesce(sum(amount), 0) from ledger_entries where kind = 'spend')"""


class Service:
    """The servers it needs, their databases, and gateways over them."""

    def __init__(self, rig: Rig, home: Path | None = None) -> None:
        self._rig = rig
        self._keep = home is not None
        folder = home or rig.folder
        self.postgres = Postgres(folder / "postgres-home", free_port())
        self.redis = Redis(folder / "redis-home", free_port())
        self.vault = Vault((VAULT_KEY,))

    def __enter__(self) -> Self:
        self.postgres.start()
        self.redis.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.stop()
        if self._keep:
            self.postgres.stop()
        else:
            self.postgres.destroy()

    def connect(self, database: str) -> Connection:
        """Return a connection to one of the databases."""
        return psycopg2.connect(self.postgres.url(database))

    def has(self, database: str) -> bool:
        """Tell whether there is such a database, finished."""
        with closing(self.connect("postgres")) as connection, connection.cursor() as cursor:
            cursor.execute("select from pg_database where datname = %s", (database,))
            return cursor.fetchone() is not None

    def rename(self, database: str, name: str) -> None:
        """Give a database its name when it is finished."""
        self._alter("alter database {} rename to {}", database, name)

    def copy(self, database: str, name: str) -> None:
        """Make another database like this one."""
        self._alter("create database {1} template {0}", database, name)

    def drop(self, database: str) -> None:
        """Remove a database, if it is there."""
        self._alter("drop database if exists {}", database)

    def migrate(self, database: str) -> None:
        """Make a database with our tables."""
        create_database(self.postgres.url("postgres"), database)
        app = create_app(load(self._environment(database, free_port())))
        with app.app_context():
            flask_migrate.upgrade(directory=str(ROOT / "migrations"))
            db.engine.dispose()  # or the database could be neither copied nor renamed

    def gateway(self, name: str, database: str, members: Sequence[int]) -> Gateway:
        """Start a worker over this database; its load comes with the keys of these members."""
        port = free_port()
        file = self._rig.folder / f"keys-{name}".replace(" ", "-")
        file.write_text("\n".join(map(secret, members)))
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
        gateway = self._rig.gateway(
            name,
            port,
            [*command],
            health="/livez",
            headers=(f"Authorization: Bearer {secret(members[0])}",),
            env=self._environment(database, port),
        )
        gateway.keys = file
        return gateway

    def database_cpu(self) -> dict[str, float]:
        """Return the seconds computed so far for each database, by Redis, and by PostgreSQL's own housekeeping."""
        spent: dict[str, float] = defaultdict(float)
        for one in psutil.Process(self.postgres.pid).children():
            try:
                title = _BACKEND.match(" ".join(one.cmdline()))
                spent[title.group(1) if title else "housekeeping"] += sum(one.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        spent["redis"] = sum(psutil.Process(self.redis.pid).cpu_times()[:2])
        return spent

    def books(self, database: str) -> str:
        """Say whether the books are right; without that the figures do not count."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            for _ in range(50):  # lines of clients that were cut off close within moments
                cursor.execute(_BOOKS)
                open_lines, reserved, astray = cursor.fetchone() or (None, None, None)
                connection.rollback()
                if not open_lines:
                    break
                time.sleep(0.2)
        verdict = "the books are right" if (open_lines, reserved, astray) == (0, 0, 0) else "THE BOOKS ARE WRONG"
        return f"{verdict}: {open_lines} lines open, {reserved} reserved, {astray} charged but not in the ledger"

    def _alter(self, statement: str, *names: str) -> None:
        with closing(self.connect("postgres")) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("set statement_timeout = 0")
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _environment(self, database: str, port: int) -> dict[str, str]:
        return {
            **os.environ,
            "APP_ENV": "development",
            "DATABASE_URL": self.postgres.url(database),
            "REDIS_URL": self.redis.url(),
            "SECRET_KEY": "Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6Ua",
            "JWT_SECRET_KEY": "w2Yk7Qe9Rt4Zs1Xc6Vb3Nm8Lp5Dj0Hg-",
            "PLUGIN_API_ENCRYPTION_KEY": VAULT_KEY,
            "UPSTREAM_ALLOWED_HOSTS": "127.0.0.1",
            "WEB_CONCURRENCY": "1",
            "PORT": str(port),
            "LOG_LEVEL": "ERROR",
        }
