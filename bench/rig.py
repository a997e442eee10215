"""What every gateway stands between: a mock upstream behind it, a load program before it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from bench.machine import GATEWAY_CPU
from bench.scenarios import Scenario
from shared_accounts.local.servers import free_port

HERE = Path(__file__).parent
ROOT = HERE.parent
_PATIENCE = 120


@dataclass
class Gateway:
    """Something that passes chats on: a running process, and how it wants to be asked."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    headers: tuple[str, ...] = ()
    keys: Path | None = None
    """A file of API keys, of which each request takes one by chance in place of the one in `headers`."""
    ready_seconds: float = 0.0
    """From its start to its first good answer."""

    def tree(self) -> list[psutil.Process]:
        """Return it and everything it started."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return what its processes have computed so far."""
        return sum(sum(one.cpu_times()[:2]) for one in self.tree())

    def memory_mb(self) -> float:
        """Return what its processes occupy; pages they share count once."""
        return sum(one.memory_full_info().pss for one in self.tree()) / 2**20


class Rig:
    """The mock upstream, the load program and the gateways started with it; ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mock_port = free_port()
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        for name in ("mock", "load"):
            subprocess.run(["cc", "-O2", "-w", "-o", self.folder / name, HERE / f"{name}.c"], check=True)
        mock = self.spawn("mock", [self.folder / "mock", self.mock_port])
        self.direct = Gateway("direct", self.mock_port, mock)
        await_answer(self.direct, "/v1/models")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):
            self.end(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Stop one of the processes, by force if it does not go."""
        if process not in self._started:
            return
        self._started.remove(process)
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def upstream(self) -> str:
        """The base URL of the mock upstream."""
        return f"http://127.0.0.1:{self.mock_port}/v1"

    def spawn(
        self, name: str, command: list[object], *, env: dict[str, str] | None = None, cwd: Path = ROOT
    ) -> subprocess.Popen[bytes]:
        """Start a process beside us; what it says goes to a file."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([str(word) for word in command], cwd=cwd, env=env, stdout=log, stderr=log)
        self._started.append(process)
        return process

    def gateway(
        self,
        name: str,
        port: int,
        command: list[object],
        *,
        health: str,
        headers: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> Gateway:
        """Start a gateway on the processor that is its alone, and wait until it answers."""
        process = self.spawn(name, ["taskset", "-c", GATEWAY_CPU, *command], env=env, cwd=cwd)
        gateway = Gateway(name, port, process, headers)
        gateway.ready_seconds = await_answer(gateway, health)
        return gateway

    def load(self, gateway: Gateway, scenario: Scenario, requests: int, seconds: float) -> dict[str, float]:
        """Send so many requests, for at most so long; every answer is checked to its last chunk."""
        command: list[object] = [self.folder / "load", "-p", gateway.port, "-u", "/v1/chat/completions"]
        command += ["-c", scenario.concurrency, "-n", requests, "-m", scenario.model, "-T", max(1, round(seconds))]
        for header in gateway.headers:
            command += ["-H", header]
        command += ["-K", gateway.keys] if gateway.keys else []
        command += ["-s", "-e", scenario.chunks] if scenario.stream else []
        command += ["-r", scenario.per_second] if scenario.per_second else []
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.stderr:
            print(f"\n{gateway.name}, {scenario.name}: {done.stderr.splitlines()[0][:200]}", file=sys.stderr)
        result: dict[str, float] = json.loads(done.stdout)
        return result


def await_answer(gateway: Gateway, path: str) -> float:
    """Ask until the answer is 200; returns how many seconds that took."""
    started = time.perf_counter()
    while (waited := time.perf_counter() - started) < _PATIENCE:
        if gateway.process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.perf_counter() - started
        connection.close()
        time.sleep(0.005)
    raise TimeoutError(f"{gateway.name} did not answer within {waited:.0f} s")
