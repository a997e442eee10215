"""Does a request cost the same with a million keys, ten thousand accounts, ten million lines in the log?

    ./bench.sh growth [--keys 1000,1000000] [--accounts 10,10000] [--lines 0,10000000] [--rounds 5] [--home FOLDER]

The smallest of each make one database; each larger size is a copy of it, grown in that respect alone. All lie in one
PostgreSQL, each has a gateway of its own, and they are measured by turns at 64 requests at once. Seeding ten million
lines takes ten to twenty minutes and 10 GB; with `--home` the databases are kept, and the next run begins at once.

A thousand keys are in use everywhere, chosen from all. `all awake` uses a hundred thousand instead: nearly every
request is then the first for a minute on its key, which notes when the key was last used, and finds nothing in a cache.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import machine, seeding
from bench.measure import Figures, how_many, measure, settle, warm
from bench.results import Results
from bench.rig import Gateway, Rig
from bench.scenarios import SCENARIOS
from bench.service import Service

ACTIVE, MOST_ACTIVE = 1_000, 100_000
SCENARIO = SCENARIOS["json64"]
WITHIN = 0.15


@dataclass(frozen=True)
class Size:
    """One database: so many of everything."""

    name: str
    keys: int
    accounts: int
    lines: int

    @property
    def database(self) -> str:
        """The name of its database tells what lies in it, so that a kept one is never taken for another."""
        return f"k{self.keys}_a{self.accounts}_l{self.lines}"


def main() -> None:
    wanted = arguments()
    print(f"{machine.describe()}; up to {machine.prepare():,} open files; {machine.load_average()}", flush=True)
    all_sizes = sizes(wanted)
    results = Results()
    with tempfile.TemporaryDirectory() as folder, Rig(Path(folder)) as rig, Service(rig, wanted.home) as service:
        for size in all_sizes:
            make(rig, service, size, all_sizes[0])
        gateways = [start(rig, service, size, ACTIVE) for size in all_sizes]
        if (largest := max(all_sizes, key=lambda size: size.keys)).keys > ACTIVE:
            gateways.append(start(rig, service, largest, MOST_ACTIVE))
        compare(rig, service, gateways, results, wanted)
        for size in all_sizes:
            print(f"{size.name}: {service.books(size.database)}")
    print(f"{time.strftime('%Y-%m-%d %H:%M')}; {machine.load_average()}\n\n{table(results, gateways)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, sizes_of in (("keys", "1000,1000000"), ("accounts", "10,10000"), ("lines", "0,10000000")):
        parser.add_argument(f"--{name}", default=sizes_of, help="sizes, the smallest first (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement (default: %(default)s)")
    parser.add_argument(
        "--home", type=lambda name: Path(name).resolve(), help="keep the databases here, and take those found here"
    )
    return parser.parse_args()


def sizes(wanted: argparse.Namespace) -> list[Size]:
    """Return the smallest first, and then one for each larger size."""
    keys, accounts, lines = (list(map(int, one.split(","))) for one in (wanted.keys, wanted.accounts, wanted.lines))
    if keys[0] < ACTIVE:
        raise SystemExit(f"{ACTIVE:,} keys are in use everywhere: begin with as many.")
    return [
        Size("smallest", keys[0], accounts[0], lines[0]),
        *(Size(f"{n:,} keys", n, accounts[0], lines[0]) for n in keys[1:]),
        *(Size(f"{n:,} accounts", keys[0], n, lines[0]) for n in accounts[1:]),
        *(Size(f"{n:,} lines", keys[0], accounts[0], n) for n in lines[1:]),
    ]


def make(rig: Rig, service: Service, size: Size, smallest: Size) -> None:
    """Make one database, unless it is there: the smallest from nothing, the others from a copy of it."""
    begun, half = time.monotonic(), f"half_{size.database}"
    if service.has(size.database):
        service.migrate(size.database)
        with closing(service.connect(size.database)) as connection:
            seeding.point(connection, rig.upstream)
    else:
        seeding.check_space(service.postgres.home, lines=size.lines - smallest.lines, members=size.keys - smallest.keys)
        service.drop(half)
        if size is smallest:
            service.migrate(half)
            grow(rig, service, half, Size("nothing", 0, 0, 0), size)
        else:
            service.copy(smallest.database, half)
            grow(rig, service, half, smallest, size)
        service.rename(half, size.database)
        print(f"{size.name}: seeded in {time.monotonic() - begun:.0f} s", flush=True)


def grow(rig: Rig, service: Service, database: str, now: Size, then: Size) -> None:
    """Add what is missing."""
    models = (SCENARIO.model,)
    with closing(service.connect(database)) as connection:
        accounts = range(now.accounts + 1, then.accounts + 1)
        seeding.add_accounts(connection, service.vault, accounts, models=models, upstream=rig.upstream)
        seeding.add_members(connection, range(now.keys + 1, then.keys + 1), models=models)
        seeding.add_lines(connection, range(now.lines + 1, then.lines + 1))
        seeding.tidy(connection)


def start(rig: Rig, service: Service, size: Size, active: int) -> Gateway:
    """Start a gateway over one database and warm it; these keys, of all, will be in use."""
    name = size.name if active == ACTIVE else f"{size.name}, all awake"
    members = random.Random(size.name).sample(range(1, size.keys + 1), min(active, size.keys))
    gateway = service.gateway(name, size.database, members)
    warm(rig, gateway, 4, streams=False)
    return gateway


def compare(rig: Rig, service: Service, gateways: list[Gateway], results: Results, wanted: argparse.Namespace) -> None:
    """Measure all of them by turns."""
    requests = min(how_many(rig, one, SCENARIO, wanted.seconds) for one in gateways)
    for _ in range(wanted.rounds):
        for gateway in gateways:
            settle(gateways)
            found = measure(rig, gateway, SCENARIO, requests=requests, longest=60, database=service.database_cpu)
            results.add(SCENARIO.name, gateway.name, found)
            print(".", end="", flush=True)
    print()


def table(results: Results, gateways: list[Gateway]) -> str:
    """The costs of each size, and how they compare with the smallest's."""
    lines = [f"{'per request':<30}{'gateway ms':>12}{'PG ms':>9}{'ratio':>9}{'PG ratio':>10}{'both':>8}"]
    first: Figures = {}
    for gateway in gateways:
        found = {one: results.get(SCENARIO.name, gateway.name, one) or 0.0 for one in ("cpu_ms", "pg_ms")}
        found["both"] = sum(found.values())
        first = first or found
        ratios = [found[one] / first[one] for one in ("cpu_ms", "pg_ms", "both")]
        verdict = "within 15 %" if all(ratio <= 1 + WITHIN for ratio in ratios) else "MORE THAN 15 %"
        lines.append(
            f"{gateway.name:<30}{found['cpu_ms']:>12.3f}{found['pg_ms']:>9.3f}"
            f"{ratios[0]:>9.2f}{ratios[1]:>10.2f}{ratios[2]:>8.2f}  {verdict if found is not first else ''}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
