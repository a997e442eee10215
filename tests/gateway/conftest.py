"""One gunicorn with two workers for the whole session, on a database of its own; a scene of its own for each test.

The deadlines are short and the caches of the workers long: what must bite on the next request has to bite although
somebody remembers otherwise. Nobody cleans up: each scene has a model, users and keys of its own, and at its end
every pool of the whole database is proved.
"""

from __future__ import annotations

import http.client
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from flask import Flask
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.local.servers import free_port
from shared_accounts.quotas import proof
from tests import factories
from tests.books import at_hand, opened
from tests.conftest import ROOT
from tests.gateway.scene import Scene, wait_until
from tests.gateway.server import Server
from tests.upstream import Act, Upstream

BEHAVIOUR = {
    "SUPPLY_CACHE_SECONDS": "5",
    "UPSTREAM_CONNECT_TIMEOUT": "1",
    "UPSTREAM_FIRST_BYTE_TIMEOUT": "1.5",
    "UPSTREAM_GAP_TIMEOUT": "1.5",
    "UPSTREAM_TOTAL_TIMEOUT": "5",
    "COOLDOWN_SECONDS": "1",
    "LEASE_SECONDS": "4",
    "HEARTBEAT_SECONDS": "1",
    "MAX_BODY_BYTES": "300000",
    "UPSTREAM_ALLOWED_HOSTS": "127.0.0.1,localhost",
}
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def gateway_environment(environment: dict[str, str], new_database: Callable[[str], str]) -> dict[str, str]:
    """What every gunicorn here starts with."""
    return {**environment, **BEHAVIOUR, "DATABASE_URL": new_database("gateway")}


@pytest.fixture(scope="session")
def books(app: Flask, gateway_environment: dict[str, str]) -> Flask:
    """The tables of the gateway's database, as the test's process sees them."""
    return opened(app, gateway_environment)


@pytest.fixture(scope="session")
def server(gateway_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The gunicorn that most tests share."""
    made = Server(gateway_environment, tmp_path_factory.mktemp("gunicorn") / "log", workers=2)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def forgetful(gateway_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A worker that reads the rules for models at every request; shared, too, so nobody may kill it."""
    environment = {**gateway_environment, "SUPPLY_CACHE_SECONDS": "0"}
    made = Server(environment, tmp_path_factory.mktemp("gunicorn") / "log")
    try:
        made.start()
        yield made
    finally:
        made.stop()
    _assert_no_traces(made.output())


@pytest.fixture(scope="module")
def start_servers(
    gateway_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Start gunicorns that tests may kill: `start_servers(workers=1, LEASE_SECONDS=2)`; they end with the module."""
    started: list[Server] = []

    def start(*, workers: int = 1, **settings: object) -> Server:
        environment = {**gateway_environment, **{name: str(value) for name, value in settings.items()}}
        log = tmp_path_factory.mktemp("gunicorn") / "log"
        started.append(Server(environment, log, workers=workers))
        started[-1].start()
        return started[-1]

    yield start
    with ThreadPoolExecutor() as pool:  # to drain takes each of them a second
        list(pool.map(Server.stop, started))
    for one in started:
        _assert_no_traces(one.output())


@pytest.fixture
def database(app: Flask, books: Flask) -> Iterator[Flask]:
    """`db.session` and the prepared statements speak to the gateway's database for the length of a test."""
    with at_hand(app, books):
        yield books


@pytest.fixture
def scene(database: Flask, server: Server) -> Iterator[Scene]:
    """A model, somebody who shares and somebody who calls; in the end nothing is open and every pool is proved."""
    said = len(server.output())
    yield Scene(server, f"model-{next(_numbers)}")
    wait_until(lambda: _count_open() == 0, "an exchange stays open")
    assert proof.verify() == []
    _assert_no_traces(server.output()[said:])


@pytest.fixture(scope="session")
def demo() -> Iterator[str]:
    """The demo upstream, without its pauses; returns its `base_url`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, "-m", "shared_accounts.local.demo", str(port), "--gap", "0"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            wait_until(lambda: _lists_models(url), "the demo does not answer", 60)
            yield url
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def demo_key(books: Flask, demo: str) -> str:
    """The key of somebody with an account at the demo, of her own."""
    with books.app_context():
        user = factories.user(username="owner of a demo")
        factories.account(user, base_url=demo, secret="demo", models=["demo"], sharing="dedicated")
        _, made = factories.api_key(user)
        db.session.remove()
    return made


@pytest.fixture
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    """One connection to one of the workers, kept for all that a test asks on it."""
    made = server.connect()
    yield made
    made.close()


@pytest.fixture
def upstream() -> Iterator[Callable[..., Upstream]]:
    """Start upstreams: `upstream(refuses(500), answers())`; they end with the test."""
    started: list[Upstream] = []

    def start(*acts: Act, **options: object) -> Upstream:
        started.append(Upstream(*acts, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.stop()


def _lists_models(url: str) -> bool:
    try:
        return requests.get(f"{url}/models", headers={"Authorization": "Bearer demo"}, timeout=5).ok
    except requests.ConnectionError:
        return False


def _count_open() -> int:
    db.session.rollback()
    return db.session.scalar(text("select count(*) from usage_log where state = 'open'")) or 0


def _assert_no_traces(output: str) -> None:
    """Whatever a test did, it must not have met a mistake of ours."""
    assert not re.search(r"Traceback|unexpected error|Exception ignored", output), output[-4000:]
