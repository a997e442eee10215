"""What the tests of provisioning share: our application at work with the played Plug-in API, and real workers.

A module that uses the fixtures imports them by name, and those of `tests.plugin_api` beside them.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import select, text

from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from shared_accounts.outbound.addresses import Guard
from shared_accounts.plugin import bindings, parts, provisioning
from shared_accounts.plugin.client import Counterpart
from shared_accounts.plugin.models import PluginBinding
from tests import factories
from tests.conftest import ROOT

PATIENCE = 90.0
"""Seconds that a worker may take for what it does in one: the machine may be busy."""


@pytest.fixture
def plugin(app, plugin_server, with_settings) -> Iterator[parts.Plugin]:
    """The Plug-in API our application works with."""
    with with_settings(plugin_api_base_url=plugin_server.url, plugin_api_admin_key=plugin_server.admin_key):
        chosen = app.extensions["settings"]
        guard = Guard([*chosen.upstream_allowed_hosts, *parts.allowed(chosen)])
        made = app.extensions["plugin"] = parts.configured(chosen, app.extensions["vault"], guard)
        assert made is not None
        yield made
        app.extensions["plugin"] = None
        made.connection.close()
        made.hurried.close()


@pytest.fixture
def ada(committed) -> int:
    """Somebody, by her id."""
    return factories.user(username="ada").id


@pytest.fixture
def served(plugin, plugin_server, ada) -> int:
    """Ada, with an account of her own there, and so with one here."""
    run(provisioning.provision(plugin, ada))
    plugin_server.add_account(counterpart_of(plugin, ada).api_key)
    run(provisioning.provision(plugin, ada, again=True))
    return ada


@pytest.fixture
def start_worker(environment, settings, plugin_server, tmp_path) -> Iterator[Callable[..., Worker]]:
    """Start workers on the tests' own database and broker, as the Procfile does; they end with the test."""
    told = {
        **environment,
        "DATABASE_URL": settings.database_url,
        "LOG_LEVEL": "INFO",
        "PLUGIN_API_BASE_URL": plugin_server.url,
        "PLUGIN_API_ADMIN_KEY": plugin_server.admin_key,
    }
    started: list[Worker] = []

    def start(**changes: str) -> Worker:
        started.append(Worker({**told, **changes}, tmp_path / f"worker-{len(started)}.log"))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()
        assert "Traceback" not in worker.output(), worker.output()[-4000:]


class Worker:
    """A Celery worker with two processes, in a process group of its own."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "celery", "-A", "celery_worker", "worker", "--pool", "prefork"]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*command, "--concurrency", "2", "--loglevel", "INFO"],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Signal the worker with all its processes."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self._process.wait(30)

    def stop(self) -> None:
        """End it, politely first; twice is harmless."""
        if self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def output(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")


def run(steps: Iterator[None]) -> None:
    """Do what a door does: commit whenever something is to be kept."""
    for _ in steps:
        db.session.commit()


def cut_off(steps: Iterator[None], *, after: int) -> None:
    """Die as a worker does: it has committed so many times, and never comes back."""
    for _ in range(after):
        next(steps)
        db.session.commit()
    steps.close()


def made(plugin_server: Any) -> int:
    """How often the Plug-in API was asked to make a user."""
    return len([one for one in plugin_server.seen("/api/users") if one["method"] == "POST"])


def binding_of(user_id: int) -> PluginBinding:
    """A user's binding as it stands."""
    db.session.rollback()
    found = bindings.of(user_id)
    assert found is not None
    db.session.expunge(found)
    db.session.rollback()  # tests wait, transactions must not
    return found


def counterpart_of(plugin: parts.Plugin, user_id: int) -> Counterpart:
    """Whom we keep at the Plug-in API for a user."""
    sealed = binding_of(user_id).sealed_counterpart
    assert sealed is not None
    return bindings.counterpart(user_id, sealed, plugin.vault)


def accounts_of(user_id: int) -> list[Account]:
    """A user's accounts here."""
    db.session.rollback()
    return list(db.session.scalars(select(Account).where(Account.owner_id == user_id).order_by(Account.id)))


def works(plugin_server: Any, key: str) -> bool:
    """Tell whether the Plug-in API takes a key."""
    return bool(plugin_server.call("GET", "/api/user/me", key=key).ok)


def lapse(user_id: int) -> None:
    """Let the claim on a user's binding run out, as two minutes would."""
    change("update plugin_users set claimed_until = now() - interval '1 second' where user_id = :id", id=user_id)


def change(statement: str, **values: Any) -> None:
    """Change rows behind everybody's back."""
    db.session.rollback()
    db.session.execute(text(statement), values)
    db.session.commit()


def wait_until_ready(*user_ids: int) -> None:
    """Return once each of them has her user there, and nobody is at it any more."""
    deadline = time.monotonic() + PATIENCE
    while (found := _how_far(user_ids)) != [("ready", None, None)] * len(user_ids):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def _how_far(user_ids: tuple[int, ...]) -> list[tuple[Any, ...]]:
    columns = (PluginBinding.state, PluginBinding.problem, PluginBinding.claim)
    db.session.rollback()
    found = db.session.execute(select(*columns).where(PluginBinding.user_id.in_(user_ids))).all()
    db.session.rollback()
    return [tuple(row) for row in found]


def queued(broker: str) -> list[tuple[str, list[int]]]:
    """The tasks that wait in the broker, the oldest first, with their arguments."""
    with redis.Redis.from_url(broker) as connection:
        messages = [json.loads(raw) for raw in reversed(connection.lrange("celery", 0, -1))]
    bodies = [json.loads(base64.b64decode(message["body"])) for message in messages]
    return [(message["headers"]["task"], body[0]) for message, body in zip(messages, bodies, strict=True)]
