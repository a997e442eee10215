"""One measurement: a load for a few seconds, and what it cost the gateway, the database and the client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from bench.rig import Gateway, Rig
from bench.scenarios import Scenario

Figures = dict[str, float]
DatabaseCpu = Callable[[], dict[str, float]]

_QUIET = 0.05
_LONGEST_WAIT = 10


def warm(rig: Rig, gateway: Gateway, seconds: float, *, streams: bool) -> None:
    """Let compilers, pools and caches come up: so long with whole chats, and as long with streams.

    Whoever gives not one good answer is not measured.
    """
    if not rig.load(gateway, Scenario("warm", False, 8, "mock"), 5000, seconds)["ok"]:
        raise SystemExit(f"{gateway.name} answers nothing right.")
    if streams:
        rig.load(gateway, Scenario("warm", True, 8, "mock-n50-d0", 50), 2000, seconds)


def settle(gateways: Iterable[Gateway]) -> None:
    """Wait until nobody computes: an overloaded gateway works off what its clients have given up."""
    end = time.monotonic() + _LONGEST_WAIT
    while time.monotonic() < end:
        before = sum(one.cpu_seconds() for one in gateways)
        time.sleep(0.3)
        if sum(one.cpu_seconds() for one in gateways) - before <= _QUIET * 0.3 + 0.01:
            return


def measure(
    rig: Rig, gateway: Gateway, scenario: Scenario, *, requests: int, longest: float, database: DatabaseCpu | None
) -> Figures:
    """Load it once; `cpu_ms` and `pg_ms` are per good answer, memory is the most it had."""
    peak, over = [gateway.memory_mb()], threading.Event()
    sampler = threading.Thread(target=_sample, args=(gateway, peak, over))
    if scenario.slow:
        sampler.start()
    spent, computed = database() if database else {}, gateway.cpu_seconds()
    result = rig.load(gateway, scenario, requests, longest)
    computed = gateway.cpu_seconds() - computed
    spent = {name: total - spent.get(name, 0) for name, total in database().items()} if database else {}
    over.set()
    good = max(result["ok"], 1)
    redis = spent.pop("redis", 0)
    return {
        **result,
        "cpu_ms": 1000 * computed / good,
        "pg_ms": 1000 * sum(spent.values()) / good,
        "redis_ms": 1000 * redis / good,
        "chunk_us": 1e6 * computed / result["chunks"] if result["chunks"] else 0.0,
        "busy": computed / result["secs"],
        "memory_mb": max(peak),
    }


def how_many(rig: Rig, gateway: Gateway, scenario: Scenario, seconds: float) -> int:
    """Return how many requests take about so long."""
    if scenario.slow:
        return int(scenario.concurrency * scenario.waves)
    probe = rig.load(gateway, scenario, max(scenario.concurrency, 50), 8)
    return int(max(probe["rps"] * seconds, scenario.concurrency, 50))


def _sample(gateway: Gateway, peak: list[float], over: threading.Event) -> None:
    while not over.wait(0.3):
        peak.append(gateway.memory_mb())
