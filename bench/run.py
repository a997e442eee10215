"""Measure the gateway beside a plain nginx proxy, in one interleaved run.

    ./bench.sh [--rounds 3] [--seconds 3] [--scenarios json64,json1,burst64,slow1000]

CPU 0 serves the gateway under test (one worker), CPU 1 the mock upstream, the load program, PostgreSQL and
Redis. The main figure is the gateway's CPU per good answer (utime + stime of its process tree): rates on a shared
machine swing by 25 %. Every request authenticates a key, reserves quota, proxies, settles, writes the ledger entry
and the usage line, all committed before the reply ends. Compare only figures of one run; the ratio to nginx is
what travels between machines.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import flask_migrate
import psutil
import psycopg2
from cryptography.fernet import Fernet

from shared_accounts import create_app
from shared_accounts.config import MICRO, load
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port
from tests import factories

HERE = Path(__file__).parent
ROOT = HERE.parent
GATEWAY_CPU, OTHER_CPU = "0", "1"
MODELS = ("mock", "mock-n50-d0", "mock-n50-d20", "mock-n25-d200")
USERS = 100


@dataclass(frozen=True)
class Scenario:
    stream: bool
    concurrency: int
    model: str
    chunks: int = 50
    per_second: int = 0
    """How fast connections are opened; 0 is at once."""


SCENARIOS = {
    "json1": Scenario(False, 1, "mock"),
    "json16": Scenario(False, 16, "mock"),
    "json64": Scenario(False, 64, "mock"),
    "json256": Scenario(False, 256, "mock"),
    "burst1": Scenario(True, 1, "mock-n50-d0"),
    "burst64": Scenario(True, 64, "mock-n50-d0"),
    "paced200": Scenario(True, 200, "mock-n50-d20", per_second=200),
    "slow200": Scenario(True, 200, "mock-n25-d200", 25, per_second=100),
    "slow1000": Scenario(True, 1000, "mock-n25-d200", 25, per_second=200),
    "slow2000": Scenario(True, 2000, "mock-n25-d200", 25, per_second=400),
}


@dataclass
class Gateway:
    name: str
    port: int
    process: subprocess.Popen[bytes]
    headers: tuple[str, ...] = ()

    def tree(self) -> list[psutil.Process]:
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def cpu_seconds(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self.tree())

    def memory_mb(self) -> float:
        return sum(one.memory_full_info().pss for one in self.tree()) / 2**20


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mock_port = free_port()
        self.postgres = Postgres(folder / "postgres-home", free_port())
        self.redis = Redis(folder / "redis-home", free_port())
        self.started: list[subprocess.Popen[bytes]] = []

    def build(self) -> None:
        for name in ("mock", "load"):
            subprocess.run(["cc", "-O2", "-o", self.folder / name, HERE / f"{name}.c"], check=True)
        self.spawn("mock", [self.folder / "mock", self.mock_port], cpu=OTHER_CPU)

    def nginx(self) -> Gateway | None:
        if shutil.which("nginx") is None:
            print("nginx is not installed: no floor to compare with")
            return None
        port = free_port()
        conf = (HERE / "nginx.conf").read_text()
        (self.folder / "nginx.conf").write_text(
            conf.replace("MOCK_PORT", str(self.mock_port)).replace("NGINX_PORT", str(port))
        )
        process = self.spawn("nginx", ["nginx", "-p", self.folder, "-c", "nginx.conf"], cpu=GATEWAY_CPU)
        return Gateway("nginx", port, process)

    def ours(self) -> Gateway:
        for part in (self.postgres, self.redis):
            part.start()
        create_database(self.postgres.url("postgres"), "shared_accounts")
        env = {
            **os.environ,
            "APP_ENV": "development",
            "DATABASE_URL": self.postgres.url(),
            "REDIS_URL": self.redis.url(),
            "SECRET_KEY": "Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6Ua",
            "JWT_SECRET_KEY": "w2Yk7Qe9Rt4Zs1Xc6Vb3Nm8Lp5Dj0Hg-",
            "PLUGIN_API_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "UPSTREAM_ALLOWED_HOSTS": "127.0.0.1",
            "WEB_CONCURRENCY": "1",
            "PORT": str(free_port()),
            "LOG_LEVEL": "ERROR",
        }
        keys = self.seed(env)
        (self.folder / "keys").write_text("\n".join(keys))
        process = self.spawn("gunicorn", [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"],
                             cpu=GATEWAY_CPU, env=env)  # fmt: skip
        return Gateway("shared_accounts", int(env["PORT"]), process, (f"Authorization: Bearer {keys[0]}",))

    def bare(self) -> Gateway:
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "--http-parser", "fast", "--no-control-socket"]
        command += ["-b", f"127.0.0.1:{port}", "bench.bare:app"]
        return Gateway("bare Flask", port, self.spawn("bare", [*command], cpu=GATEWAY_CPU))

    def seed(self, env: dict[str, str]) -> list[str]:
        """Twenty accounts of one contributor, and members who draw on them with quota to spare."""
        app = create_app(load(env))
        with app.app_context():
            flask_migrate.upgrade(directory=str(ROOT / "migrations"))
            owner = factories.user()
            for _ in range(20):
                factories.account(
                    owner, models=MODELS, base_url=f"http://127.0.0.1:{self.mock_port}/v1", allowance_tokens=10**12
                )
            members = [factories.user() for _ in range(USERS)]  # a pool each: one row must not be the whole story
            for member in members:
                for model in MODELS:
                    factories.quota_pool(member, balance=10**6 * MICRO, model_group=model)
            return [factories.api_key(member)[1] for member in members]

    def spawn(
        self, name: str, command: list[object], *, cpu: str, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                ["taskset", "-c", cpu, *map(str, command)], cwd=ROOT, env=env, stdout=log, stderr=log
            )
        self.started.append(process)
        return process

    def load(self, gateway: Gateway, scenario: Scenario, requests: int, seconds: float) -> dict[str, float]:
        command = ["taskset", "-c", OTHER_CPU, self.folder / "load", "-p", gateway.port, "-u", "/v1/chat/completions"]
        command += ["-c", scenario.concurrency, "-n", requests, "-m", scenario.model, "-e", scenario.chunks]
        command += ["-T", seconds]
        for header in gateway.headers:
            command += ["-H", header, "-K", self.folder / "keys"]
        command += ["-s"] if scenario.stream else []
        command += ["-r", scenario.per_second] if scenario.per_second else []
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        if done.stderr:
            print(done.stderr[:500], file=sys.stderr)
        result: dict[str, float] = json.loads(done.stdout)
        return result

    def measure(self, gateway: Gateway, scenario: Scenario, seconds: float) -> dict[str, float]:
        if scenario.per_second:
            requests = scenario.concurrency * 2
        else:
            probe = self.load(gateway, scenario, max(2 * scenario.concurrency, 100), 20)
            requests = int(max(probe["rps"] * seconds, 2 * scenario.concurrency, 50))
        peak, over = [gateway.memory_mb()], threading.Event()
        sampler = threading.Thread(target=self.sample, args=(gateway, peak, over))
        if scenario.per_second:
            sampler.start()
        cpu, database = gateway.cpu_seconds(), self.database_cpu()
        result = self.load(gateway, scenario, requests, 90)
        cpu, database = gateway.cpu_seconds() - cpu, self.database_cpu() - database
        over.set()
        answered = max(result["ok"], 1)
        return {
            **result,
            "cpu_ms": 1000 * cpu / answered,
            "pg_ms": 1000 * database / answered,
            "chunk_us": 1e6 * cpu / result["chunks"] if result["chunks"] else 0.0,
            "memory_mb": max(peak),
        }

    def sample(self, gateway: Gateway, peak: list[float], over: threading.Event) -> None:
        while not over.wait(0.3):
            peak.append(gateway.memory_mb())

    def database_cpu(self) -> float:
        top = psutil.Process(self.postgres.pid)
        return sum(sum(one.cpu_times()[:2]) for one in [top, *top.children(recursive=True)])

    def stop(self) -> None:
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        self.redis.stop()
        self.postgres.destroy()


def await_port(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nothing answers on port {port}")


COLUMNS = (
    ("req/s", "rps", "9.0f"), ("CPU ms", "cpu_ms", "8.3f"), ("PG ms", "pg_ms", "7.3f"), ("p50 ms", "lat_p50", "8.2f"),
    ("p99 ms", "lat_p99", "9.2f"), ("us/chunk", "chunk_us", "9.1f"), ("first p50", "ttfb_p50", "10.2f"),
    ("MB", "memory_mb", "7.0f"), ("errors", "errors", "7.0f"), ("unfin.", "unfinished", "7.0f"),
)  # fmt: skip


def report(results: dict[tuple[str, str], list[dict[str, float]]]) -> None:
    print(f"{'scenario':10}{'gateway':17}" + "".join(f"{title:>{int(float(form[:-1]))}}" for title, _, form in COLUMNS))
    medians: dict[tuple[str, str], dict[str, float]] = {}
    for (scenario, name), rounds in results.items():
        row = {key: statistics.median(one[key] for one in rounds) for _, key, _ in COLUMNS}
        medians[scenario, name] = row
        print(f"{scenario:10}{name:17}" + "".join(f"{row[key]:{form}}" for _, key, form in COLUMNS))
    for scenario, name in results:
        for other in ("nginx", "bare Flask"):
            if name == "shared_accounts" and (scenario, other) in medians:
                ours, theirs = medians[scenario, name]["cpu_ms"], medians[scenario, other]["cpu_ms"]
                print(f"{scenario}: {ours / theirs:.1f} x {other}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--scenarios", default="json64,json1,burst64,slow1000")
    wanted = parser.parse_args()
    results: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            bench.build()
            gateways = [one for one in (bench.nginx(), bench.bare(), bench.ours()) if one]
            for gateway in gateways:
                await_port(gateway.port)
                for model in MODELS[: 1 if gateway.name == "bare Flask" else 2]:
                    warm = Scenario(model != "mock", 8, model)
                    bench.load(gateway, warm, 300, 60)
                print(f"{gateway.name}: idle at {gateway.memory_mb():.0f} MB", flush=True)
            for _ in range(wanted.rounds):
                for name in wanted.scenarios.split(","):
                    for gateway in gateways:
                        if gateway.name == "bare Flask" and SCENARIOS[name].stream:
                            continue
                        found = bench.measure(gateway, SCENARIOS[name], wanted.seconds)
                        results[name, gateway.name].append(found)
                        print(".", end="", flush=True)
            print()
            proved(bench)
        finally:
            bench.stop()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    report(results)


def proved(bench: Bench) -> None:
    """The figures count only if the books are right."""
    with psycopg2.connect(bench.postgres.url()) as connection, connection.cursor() as cursor:
        cursor.execute(
            """select (select count(*) from usage_log where state = 'open'),
                (select coalesce(sum(reserved), 0) from quota_pools),
                (select sum(charged) from usage_log) + (select sum(amount) from ledger_entries where kind = 'spend')"""
        )
        open_lines, reserved, astray = cursor.fetchone() or (None, None, None)
        print(f"open lines {open_lines}, reserved {reserved}, charged but not in the ledger {astray}")
    connection.close()


if __name__ == "__main__":
    main()
