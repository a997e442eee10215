"""How long a worker takes to be ready, and what it occupies when nobody asks it anything."""

from __future__ import annotations

import statistics

from bench.results import Results
from bench.rig import Gateway, Rig
from bench.scenarios import Scenario
from bench.service import Service

STARTS = 3


def measure_starts(rig: Rig, service: Service, database: str, results: Results) -> None:
    """Start gunicorn a few times over, ask each once, and keep the medians."""
    found = [_start(rig, service, database) for _ in range(STARTS)]
    ready, computed, resident, proportional = map(statistics.median, zip(*found, strict=True))
    results.facts |= {"ready": ready, "worker": proportional}
    print(
        f"start: ready {ready:.2f} s after its start ({computed:.2f} s of CPU); then a worker occupies"
        f" {proportional:.0f} MB (PSS; RSS, with libraries that others share: {resident:.0f} MB)",
        flush=True,
    )


def _start(rig: Rig, service: Service, database: str) -> tuple[float, float, float, float]:
    gateway = service.gateway("start", database, range(1, 2))
    computed = gateway.cpu_seconds()
    rig.load(gateway, Scenario("first", False, 1, "mock"), 1, 10)
    resident, proportional = _worker(gateway)
    rig.end(gateway.process)
    return gateway.ready_seconds, computed, resident, proportional


def _worker(gateway: Gateway) -> tuple[float, float]:
    worker = gateway.tree()[-1].memory_full_info()
    return worker.rss / 2**20, worker.pss / 2**20
