"""A real gunicorn with real workers on a port of its own, started the way the Procfile starts it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from shared_accounts.local.servers import free_port
from tests.conftest import ROOT

_SLOWEST_START = 60.0


class Server:
    """One gunicorn; `environment` is what its settings are read from."""

    def __init__(self, environment: Mapping[str, str], log: Path, *, workers: int = 1, app: str = "wsgi:app") -> None:
        self.port = free_port()
        self.workers = workers
        self._app = app
        self._log = log
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GUNICORN")},
            **environment,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": str(workers),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def master(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Return once every worker answers."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", self._app]
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once somebody answers and every worker is there."""
        deadline = time.monotonic() + _SLOWEST_START
        while not (len(self.pids()) == self.workers and self._answers()):
            assert self.master.poll() is None, self.output()[-2000:]
            assert time.monotonic() < deadline, self.output()[-2000:]
            time.sleep(0.05)

    def pids(self) -> list[int]:
        """The workers' process ids, oldest first."""
        try:
            return [child.pid for child in psutil.Process(self.master.pid).children() if child.status() != "zombie"]
        except psutil.NoSuchProcess:
            return []

    def send(self, number: signal.Signals) -> None:
        """Signal the master."""
        self.master.send_signal(number)

    def stop(self) -> None:
        """Stop it, politely first; twice is harmless."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait(10)

    def output(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def connect(self) -> http.client.HTTPConnection:
        """A connection of one's own: every request on it meets the same worker."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def raw(self) -> socket.socket:
        """A bare connection, for what no client library would do."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
