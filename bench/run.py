"""Measure this service beside nginx, bare Flask, Portkey and LiteLLM, in one interleaved run.

    ./bench.sh                  everything, within a quarter of an hour (the first time, installing comes on top)
    ./bench.sh --quick          the three scenarios that tell most, within three minutes
    ./bench.sh growth           does cost stay flat with a million keys, ten million lines? (bench/growth.py)

One processor is the gateway's under test, one worker. The main figure is its CPU per good answer (utime + stime of its
process tree): rates on a shared machine swing by 25 %. Our every request authenticates a key, reserves quota, proxies,
settles, writes ledger entry and usage line, all committed before the reply ends; the others do less, as printed.
Compare only figures of one run. docs/benchmarks.md says more.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench import goals, machine, peers, report, seeding
from bench.measure import how_many, measure, settle, warm
from bench.results import OURS, Results
from bench.rig import Gateway, Rig
from bench.scenarios import DEFAULT, MODELS, QUICK, Scenario, chosen
from bench.service import Service
from bench.start import measure_starts

DATABASE = "bench"
BARE = "bare Flask"
ACCOUNTS, MEMBERS = range(1, 21), range(1, 101)  # a pool each for every model: one row must not be the whole story


def main() -> None:
    wanted = arguments()
    scenarios = chosen(wanted.scenarios, waves=1 if wanted.quick else 2)
    for name in wanted.against:
        peers.INSTALL.get(name, lambda: None)()
    wanted.begun = time.monotonic()
    print(f"{machine.describe()}; up to {machine.prepare():,} open files; {machine.load_average()}")
    results = Results()
    with tempfile.TemporaryDirectory() as folder, Rig(Path(folder)) as rig, Service(rig) as service:
        seed(rig, service)
        measure_starts(rig, service, DATABASE, results)
        gateways = [service.gateway(OURS, DATABASE, MEMBERS)]
        gateways += filter(None, (peers.START[name](rig) for name in wanted.against))
        for gateway in gateways:
            warm(rig, gateway, 4 if wanted.quick else 8, streams=gateway.name != BARE)
            settle(gateways)
            results.idle[gateway.name] = gateway.memory_mb()
            print(f"{gateway.name}: answers {gateway.ready_seconds:.1f} s after its start", flush=True)
        compare(Run(rig, service, gateways, results, wanted), scenarios)
        print(f"\n{service.books(DATABASE)}")
    print(f"{time.strftime('%Y-%m-%d %H:%M')}; {machine.load_average()}\n")
    print("\n\n".join(make(results) for make in (report.figures, report.ratios, report.memory, goals.table)))
    print(machine.busy())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three scenarios, one round, within three minutes")
    parser.add_argument("--scenarios", help=f"of these, with commas between: {DEFAULT},burst1,paced200")
    parser.add_argument("--against", default=",".join(peers.START), help="which others (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="at most; slow streams get one less (default: 3, quick: 1)")
    parser.add_argument("--seconds", type=float, help="of each fast measurement (default: 3, quick: 2)")
    parser.add_argument("--minutes", type=float, help="no round begins that would end later (default: 14, quick: 3)")
    wanted = parser.parse_args()
    wanted.against = [name for name in wanted.against.split(",") if name]
    if unknown := set(wanted.against) - set(peers.START):
        parser.error(f"there is no {', '.join(unknown)} to compare with, only {', '.join(peers.START)}")
    for name, usual, quick in (
        ("scenarios", DEFAULT, QUICK), ("rounds", 3, 1), ("seconds", 3.0, 2.0), ("minutes", 14.0, 3.0),
    ):  # fmt: skip
        if getattr(wanted, name) is None:
            setattr(wanted, name, quick if wanted.quick else usual)
    return wanted


def seed(rig: Rig, service: Service) -> None:
    """Twenty shared accounts and a hundred members with quota to spare."""
    service.migrate(DATABASE)
    with closing(service.connect(DATABASE)) as connection:
        seeding.add_accounts(connection, service.vault, ACCOUNTS, models=MODELS, upstream=rig.upstream)
        seeding.add_members(connection, MEMBERS, models=MODELS)
        seeding.tidy(connection)


class Run:
    """What one run has, and how many requests each gateway gets through: probed once."""

    def __init__(
        self, rig: Rig, service: Service, gateways: list[Gateway], results: Results, wanted: argparse.Namespace
    ) -> None:
        self.rig, self.service, self.gateways, self.results, self.wanted = rig, service, gateways, results, wanted
        self._end: float = wanted.begun + 60 * wanted.minutes
        self._requests: dict[tuple[str, str], int] = {}

    def has(self, seconds: float) -> bool:
        """Tell whether so much time is left."""
        return time.monotonic() + seconds < self._end

    def once(self, scenario: Scenario, gateway: Gateway) -> None:
        """Measure one gateway in one scenario."""
        settle(self.gateways)
        key = scenario.name, gateway.name
        if key not in self._requests:
            self._requests[key] = how_many(self.rig, gateway, scenario, self.wanted.seconds)
        longest = (20 if self.wanted.quick else 35) if scenario.slow else 3 * self.wanted.seconds + 5
        database = self.service.database_cpu if gateway.name == OURS else None
        found = measure(self.rig, gateway, scenario, requests=self._requests[key], longest=longest, database=database)
        self.results.add(*key, found)
        print(".", end="", flush=True)

    def round(self, scenarios: list[Scenario], *, first: bool) -> None:
        """Measure everybody in all of them, by turns; the bare upstream in the first round only."""
        for scenario in scenarios:
            for gateway in [self.rig.direct, *self.gateways] if first else self.gateways:
                if gateway.name == BARE and scenario.stream:
                    continue
                if not self.has(0):
                    print(f"\nno time for {scenario.name}, {gateway.name}", end="")
                    continue
                self.once(scenario, gateway)


def compare(run: Run, scenarios: list[Scenario]) -> None:
    """Fast and slow scenarios by turns, the slow ones one round less; a further round begins if it can end in time."""
    took = {False: 0.0, True: 0.0}
    for number in range(run.wanted.rounds):
        for slow in (False, True) if number == 0 or number < run.wanted.rounds - 1 else (False,):
            begun = time.monotonic()
            if run.has(took[slow]):
                run.round([one for one in scenarios if one.slow is slow], first=number == 0)
                took[slow] = time.monotonic() - begun
            else:
                print(f"\nno time for round {number + 1} of the {'slow' if slow else 'fast'} ones", end="")


if __name__ == "__main__":
    main()
