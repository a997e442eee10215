"""A real PostgreSQL, a real Redis, the real migrations; and two ways to keep tests apart.

* `session`: everything a test does, requests included, happens inside one transaction that is rolled back. Fast; for
  whatever goes through `db.session`.
* `committed`: real commits, and every row is deleted afterwards. For threads, and for the prepared statements, which
  have connections of their own.

`client` and its kin take `session` unless the test asks for `committed`. Requests never share the test's application
context, so `g` and `db.session` are as fresh in each of them as in production.
"""

from __future__ import annotations

import contextvars
import dataclasses
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import flask_migrate
import psycopg2
import pytest
import redis
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event, text

from shared_accounts import clockwork, create_app
from shared_accounts.auth import passwords, tokens
from shared_accounts.config import Settings, load
from shared_accounts.extensions import db, limiter, statements
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port
from shared_accounts.statements import Statements
from shared_accounts.users.models import User
from tests import factories

ROOT = Path(__file__).parent.parent
TEMPLATE = "migrated"
_SHIPPED_NOBODY = passwords._NOBODY  # noqa: SLF001
LONGEST = (
    "document/test_schemathesis.py",
    "plugin/test_provisioning_worker.py",
    "console/test_looks_chinese.py",
    "console/test_looks_english.py",
    "gateway/test_metrics_live.py",
    "local/test_setup.py",
    "local/test_run.py",
    "gateway/test_ill_database.py",
    "test_tasks.py",
    "gateway/test_idempotency.py",
    "plugin/test_remote.py",
    "gateway/test_stopping.py",
    "console/test_pages.py",
    "gateway/test_key_limits.py",
    "console/test_forms.py",
    "console/test_browser_talk.py",
    "gateway/test_langchain.py",
    "console/test_browser_journeys.py",
    "gateway/test_throttle_live.py",
    "plugin/test_provisioning_live.py",
    "local/test_with_plugin.py",
    "gateway/test_canaries.py",
    "gateway/test_aliases.py",
    "gateway/test_silence.py",
    "gateway/test_failover.py",
    "usage/test_stats.py",
    "gateway/test_hangups.py",
    "gateway/test_pool.py",
)
"""Files whose tests take longest: begun first, or the whole run waits for the last of them alone."""


def pytest_collection(session: pytest.Session) -> None:
    """Begin importing at another module than our neighbours: what one has compiled and kept, the others need not.

    In a fresh copy four processes, all beginning at the first, would each compile everything themselves.
    """
    gc.disable()  # until all is imported, nothing is garbage
    worker, workers = (os.environ.get(f"PYTEST_XDIST_WORKER{of}", "") for of in ("", "_COUNT"))
    is_everything = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not workers or not is_everything or sys.dont_write_bytecode:
        return
    modules = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    first = len(modules) * int(worker.removeprefix("gw")) // int(workers)
    for module in modules[first:] + modules[:first]:
        if (ROOT / module).with_name("__init__.py").exists():
            importlib.import_module(module.removesuffix(".py").replace("/", "."))


def pytest_collection_finish() -> None:
    """Never search for garbage again in what lives as long as the process: six thousand tests and what they import."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    assert [str(path) for path in order if not path.exists()] == []
    items.sort(key=lambda item: order.get(item.path, len(order)))


class Client(FlaskClient):
    """A client whose requests start from an empty context, as they do in a server."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        return contextvars.Context().run(super().open, *args, **kwargs)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """Passwords cost a thousandth of what they cost in production; `real_passwords` is for tests about that."""
    passwords.ROUNDS = 4
    passwords._NOBODY = passwords.hash_password("nobody")  # noqa: SLF001


@pytest.fixture
def real_passwords(quick_passwords: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Passwords cost what they cost in production."""
    monkeypatch.setattr(passwords, "ROUNDS", 12)
    monkeypatch.setattr(passwords, "_NOBODY", _SHIPPED_NOBODY)
    factories._hash.cache_clear()  # noqa: SLF001
    yield
    factories._hash.cache_clear()  # noqa: SLF001


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"), free_port())
    try:
        server.start()
        yield server
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"), free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def environment(postgres: Postgres, redis_server: Redis) -> dict[str, str]:
    """The least a process needs to start; for tests that start one."""
    return {
        "APP_ENV": "development",
        "DATABASE_URL": postgres.url(),
        "REDIS_URL": redis_server.url(),
        "SECRET_KEY": "Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6Ua",
        "JWT_SECRET_KEY": "w2Yk7Qe9Rt4Zs1Xc6Vb3Nm8Lp5Dj0Hg-",
        "PLUGIN_API_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "UPSTREAM_ALLOWED_HOSTS": "127.0.0.1",
        "SUPPLY_CACHE_SECONDS": "0",
        "LOG_LEVEL": "WARNING",
    }


@pytest.fixture(scope="session")
def new_database(postgres: Postgres, environment: dict[str, str]) -> Callable[[str], str]:
    """Make a migrated database of one's own, in the time it takes to copy one; returns its URL."""
    admin = postgres.url("postgres")
    create_database(admin, TEMPLATE)
    with _connection(admin) as connection:
        # A test loses nothing in a crash. (Servers are killed in tests of their own, in databases of their own.)
        connection.cursor().execute(f"alter database {TEMPLATE} set synchronous_commit = off")
    app = create_app(load({**environment, "DATABASE_URL": postgres.url(TEMPLATE)}))
    with app.app_context():
        flask_migrate.upgrade(directory=str(ROOT / "migrations"))
        db.engine.dispose()

    def make(name: str) -> str:
        with _connection(admin) as connection:
            connection.cursor().execute(f"create database {name} template {TEMPLATE}")
            connection.cursor().execute(f"alter database {name} set synchronous_commit = off")
        return postgres.url(name)

    return make


@pytest.fixture(scope="session")
def settings(environment: dict[str, str], new_database: Callable[[str], str]) -> Settings:
    return load({**environment, "DATABASE_URL": new_database("shared_accounts")})


@pytest.fixture(scope="session")
def app(settings: Settings) -> Flask:
    made = create_app(settings)
    made.test_client_class = Client
    # Inside `session` a commit must end a savepoint, not the transaction that will be rolled back.
    db.session.session_factory.configure(join_transaction_mode="create_savepoint")
    # On a busy machine production's quarter of a second would turn a stall into an outage of Redis.
    _have_patience_with_redis(5)
    with made.app_context():
        event.listen(db.engine, "connect", have_patience_with_us)
    return made


@pytest.fixture
def bound(app: Flask, settings: Settings) -> None:
    """Tasks and statements are this application's: another may have been made since, and these are one per process."""
    statements.bind(settings.database_url, size=settings.statement_pool_size, timeout_ms=settings.statement_timeout_ms)
    clockwork.bind(app)


@pytest.fixture
def session(app: Flask, bound: None, clean_redis: None) -> Iterator[Any]:
    """Everything that goes through `db.session` from here on is undone after the test, commits included."""
    with app.app_context():
        engine = db.engine
        with engine.connect() as connection, connection.begin() as transaction:
            # A private name; this is the one place that uses it.
            engines = db._app_engines[app]  # noqa: SLF001
            engines[None] = connection  # type: ignore[assignment]
            try:
                yield db.session
            finally:
                db.session.remove()
                engines[None] = engine
                transaction.rollback()


@pytest.fixture
def committed(app: Flask, bound: None, clean_redis: None) -> Iterator[Any]:
    """Commits are real; every row is deleted after the test."""
    with app.app_context():
        try:
            yield db.session
        finally:
            db.session.remove()
            with db.engine.begin() as connection:
                connection.exec_driver_sql(_emptying())


@cache
def _emptying() -> str:
    """Delete every row, in one round trip; no triggers, for the audit log forgets nothing otherwise."""
    tables = [table.name for table in db.metadata.sorted_tables if table.name != "trust_levels"]
    columns = ("may_share", "max_keys", "requests_per_minute", "max_concurrent")
    return (
        "set local session_replication_role = replica; "
        + "".join(f"delete from {table}; " for table in tables)
        + f"update trust_levels set {', '.join(f'{column} = default' for column in columns)}"
    )


@pytest.fixture
def client(app: Flask, request: pytest.FixtureRequest) -> Client:
    """A stranger's client."""
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "session")
    made: Client = app.test_client()
    return made


@pytest.fixture
def sign_in(app: Flask, client: Client) -> Callable[[User], Client]:
    """Give a user a client of her own, signed in."""

    def sign(user: User) -> Client:
        issued = tokens.issue(user, user_agent="tests", address="127.0.0.1")
        db.session.commit()
        hers: Client = app.test_client()
        hers.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {issued.access_token}"
        return hers

    return sign


@pytest.fixture
def member(sign_in: Callable[[User], Client]) -> Client:
    """The client of an ordinary user who is signed in."""
    return sign_in(factories.user())


@pytest.fixture
def with_settings(app: Flask, settings: Settings) -> Callable[..., Any]:
    """Change settings for a while: `with with_settings(login_limit="1 per minute"): ...`."""

    @contextmanager
    def change(**changes: Any) -> Iterator[None]:
        app.extensions["settings"] = dataclasses.replace(settings, **changes)
        try:
            yield
        finally:
            app.extensions["settings"] = settings

    return change


@pytest.fixture
def clean_redis(app: Flask, redis_server: Redis) -> Iterator[None]:
    """Nothing in Redis, and nobody remembering that it was away."""
    yield
    with redis.Redis.from_url(redis_server.url()) as connection:
        connection.flushdb()
    limiter._storage_dead = False  # noqa: SLF001 - a global that outlives the test
    limiter._fallback_storage.reset()  # noqa: SLF001


@pytest.fixture
def impatient(app: Flask) -> Iterator[None]:
    """The throttle waits for Redis no longer than in production."""
    _have_patience_with_redis(app.config["RATELIMIT_STORAGE_OPTIONS"]["socket_timeout"])
    yield
    _have_patience_with_redis(5)


@pytest.fixture
def frozen() -> Callable[[int | None], Any]:
    """Hold a process still: its sockets stay open and say nothing, which is worse than being gone."""

    @contextmanager
    def freeze(pid: int | None) -> Iterator[None]:
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    return freeze


@pytest.fixture
def count_queries(app: Flask) -> Callable[[], Any]:
    """Collect the statements that PostgreSQL is sent: `with count_queries() as queries: ...`.

    Prepared ones count, and so do savepoints, but not those that stand for a test's commits.
    """

    @contextmanager
    def collect() -> Iterator[list[str]]:
        seen: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if "SAVEPOINT" not in statement:
                seen.append(statement)

        def note_savepoint(_: Any, transaction: Any) -> None:
            if transaction.nested:
                seen.append("SAVEPOINT")

        def note_prepared(name: str, *values: object) -> Any:
            seen.append(f"execute {name}")
            return Statements.rows(statements, name, *values)

        statements.rows = note_prepared  # type: ignore[method-assign]
        event.listen(Engine, "before_cursor_execute", note)
        event.listen(db.session, "after_transaction_create", note_savepoint)
        event.listen(db.session, "after_transaction_end", note_savepoint)
        try:
            yield seen
        finally:
            event.remove(db.session, "after_transaction_end", note_savepoint)
            event.remove(db.session, "after_transaction_create", note_savepoint)
            event.remove(Engine, "before_cursor_execute", note)
            del statements.rows

    return collect


def rows(table: str) -> list[dict[str, Any]]:
    """Everything a table holds, as the database has it."""
    return [dict(row) for row in db.session.execute(text(f"select * from {table}")).mappings()]


def have_patience_with_us(connection: Any, _: object) -> None:
    """Let a test leave its own transaction idle while its threads, on a busy machine, take longer than a request may."""
    with connection.cursor() as cursor:
        cursor.execute("set idle_in_transaction_session_timeout = '60s'")
    connection.commit()


def _have_patience_with_redis(seconds: float) -> None:
    pool = limiter.storage.storage.connection_pool
    pool.connection_kwargs.update(socket_timeout=seconds, socket_connect_timeout=seconds)
    pool.disconnect()
    pool.reset()  # those that exist would keep their old timeout


@contextmanager
def _connection(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()
