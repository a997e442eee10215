"""The whole service on one machine: its servers and processes, how they start and what counts as ready."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

import requests

from shared_accounts.local import home, with_plugin
from shared_accounts.local.plan import REPOSITORY, Plan
from shared_accounts.local.process import Process
from shared_accounts.local.servers import Postgres, Redis, create_database
from shared_accounts.local.supervisor import Signals, Supervisor, say

_CELERY = ("-m", "celery", "-A", "celery_worker")
# Alone here: looking for other workers would only cost a second.
_WORKER = ("worker", "--loglevel", "INFO", "--concurrency", "2", "--without-mingle", "--without-gossip")


class LocalService:
    """Everything `./run.sh` runs. Whatever happens, `stop` leaves nothing behind."""

    def __init__(self, plan: Plan, signals: Signals) -> None:
        self.plan = plan
        # A server the operator named is used as it is: neither started nor stopped.
        self.postgres = None if plan.settings.get("DATABASE_URL") else Postgres(plan.home, plan.ports["POSTGRES_PORT"])
        self.redis = None if plan.settings.get("REDIS_URL") else Redis(plan.home, plan.ports["REDIS_PORT"])
        self._environment = self._compose()
        # Worker and beat say at this level that they are ready; their logs stay in files.
        heard = {**self._environment, "LOG_LEVEL": "INFO"}
        self.migrate = self._python("migrate", ["-m", "flask", "--app", "wsgi", "db", "upgrade"])
        self.bootstrap = self._python("bootstrap", ["-m", "flask", "--app", "wsgi", "users", "bootstrap"])
        self.web = self._python("web", ["-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"])
        self.worker = self._python("worker", [*_CELERY, *_WORKER], environment=heard)
        beat = ["beat", "--loglevel", "INFO", "--schedule", str(plan.home / "beat" / "schedule")]
        self.beat = self._python("beat", [*_CELERY, *beat], environment=heard)
        self.demo = self._python("demo", ["-m", "shared_accounts.local.demo", str(plan.ports["DEMO_PORT"])])
        self.plugin = self._plugin_server() if with_plugin.PORT in plan.ports else None
        self._upstreams = [self.demo, self.plugin] if self.plugin else [self.demo]
        servers = [[server.process] for server in (self.redis, self.postgres) if server]
        # Those who use the servers first; the upstreams after web, for they are what web is still streaming from.
        clients = [self.beat, self.worker, self.web]
        self._stages = [[self.migrate, self.bootstrap], clients, self._upstreams, *servers]
        self._supervisor = Supervisor(self._stages, signals, on_restart=self._tell_pids)
        self._facts: dict[str, str | None] = {}

    def start(self) -> None:
        """Return when everything answers; a taken port is refused before anything has been started."""
        settings = self.plan.settings
        self._end_leftovers()
        self.plan.require_free_ports()
        self._start_servers()
        say("Bringing the database up to date ...")
        self._supervisor.complete(self.migrate)
        self._supervisor.complete(self.bootstrap)
        processes = [*self._upstreams, self.web, self.worker, self.beat]
        say(f"Starting {', '.join(process.name for process in processes)} ...")
        for process in processes:
            process.start()
            self._supervisor.watch(process)
        self._supervisor.wait_for(lambda: _answers(f"{self.plan.demo_url}/models", key="demo"), self.demo)
        if self.plugin:
            me, key = f"{settings['PLUGIN_API_BASE_URL']}/api/user/me", settings["PLUGIN_API_ADMIN_KEY"]
            self._supervisor.wait_for(lambda: _answers(me, key=key), self.plugin)
        self._supervisor.wait_for(lambda: _answers(f"{self.plan.url}/readyz"), self.web)
        # `celery inspect ping` takes seconds and starts an application of its own; both say when they are ready.
        self._supervisor.wait_for(lambda: " ready." in self.worker.output(), self.worker)
        self._supervisor.wait_for(lambda: "beat: Starting" in self.beat.output(), self.beat)

    def announce(self, api_key: str | None) -> None:
        """Write `ready.json`, kept true from now on; other programs may rely on what it says."""
        settings = self.plan.settings
        self._facts = {
            "console_url": f"{self.plan.url}/",
            "base_url": f"{self.plan.url}/v1",
            "admin_username": settings["ADMIN_USERNAME"],
            "admin_password": settings["ADMIN_PASSWORD"],
            "api_key": api_key,
            "demo_base_url": self.plan.demo_url,
            "database_url": self._environment["DATABASE_URL"],
            "redis_url": self._environment["REDIS_URL"],
        }
        if self.plugin:
            self._facts["plugin_api_base_url"] = settings["PLUGIN_API_BASE_URL"]
        self._tell_pids()

    def run(self) -> None:
        """Keep everything running until somebody asks to stop."""
        self._supervisor.run()

    def stop(self) -> None:
        """Stop in order; safe at any moment of the start, and twice."""
        (self.plan.home / "ready.json").unlink(missing_ok=True)
        self._supervisor.stop()

    def _compose(self) -> Mapping[str, str]:
        servers = {}
        if self.postgres:
            servers["DATABASE_URL"] = self.postgres.url()
        if self.redis:
            servers["REDIS_URL"] = self.redis.url()
        ports = {name: str(port) for name, port in self.plan.ports.items()}
        return {**os.environ, **self.plan.settings, **ports, **servers}

    def _python(self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Process:
        return Process(
            name=name,
            command=[sys.executable, *arguments],
            directory=REPOSITORY,
            log=self.plan.home / "logs" / f"{name}.log",
            lock=self.plan.home / "run" / f"{name}.pid",
            environment=environment or self._environment,
            patience=self.plan.graceful_timeout + 10,
        )

    def _plugin_server(self) -> Process:
        # The admin's key comes by the environment: a command line is everybody's to read.
        port, kept = str(self.plan.ports[with_plugin.PORT]), str(self.plan.home / "plugin.pickle")
        return self._python("plugin", ["-m", "shared_accounts.local.plugin_server", "--port", port, "--keep", kept])

    def _end_leftovers(self) -> None:
        for stage in self._stages:
            for process in stage:
                if not process.gone:
                    say(f"Stopping the {process.name} that an earlier start left running ...")
                    process.end_leftover()

    def _start_servers(self) -> None:
        if self.postgres:
            say("Starting PostgreSQL ...")
            self.postgres.start()
            self._supervisor.watch(self.postgres.process)
            create_database(self.postgres.url("postgres"), "shared_accounts")
        if self.redis:
            say("Starting Redis ...")
            self.redis.start()
            self._supervisor.watch(self.redis.process)

    def _tell_pids(self) -> None:
        if not self._facts:
            return
        processes = {"web": self.web, "worker": self.worker, "beat": self.beat, "demo": self.demo}
        pids = {name: process.pid for name, process in processes.items()}
        if self.plugin:
            pids["plugin"] = self.plugin.pid
        pids["postgres"] = self.postgres.pid if self.postgres else None
        pids["redis"] = self.redis.pid if self.redis else None
        home.write_private(self.plan.home / "ready.json", json.dumps({**self._facts, "pids": pids}, indent=2) + "\n")


def _answers(url: str, *, key: str = "") -> bool:
    try:
        with requests.Session() as http:
            http.trust_env = False
            return http.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=3).ok
    except requests.RequestException:
        return False
