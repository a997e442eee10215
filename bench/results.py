"""What was measured, and the questions asked of it."""

from __future__ import annotations

import statistics
from collections import defaultdict

from bench.measure import Figures

OURS, DIRECT = "shared_accounts", "direct"
_MOSTLY = 0.9
_WHATEVER_ENDED = {"chunk_us", "memory_mb"}
"""What a gateway's figures tell even when it could not finish in time."""


class Results:
    """The figures of all rounds; where there are several the median counts."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[str, str], list[Figures]] = defaultdict(list)
        self.idle: dict[str, float] = {}
        self.facts: dict[str, float] = {}
        """What is measured once: start, idle worker."""

    def add(self, scenario: str, gateway: str, figures: Figures) -> None:
        """Keep what one round found."""
        self._rounds[scenario, gateway].append(figures)

    def cells(self) -> list[tuple[str, str, int]]:
        """Return scenario, gateway and rounds of everything measured, scenario by scenario."""
        order = list(dict.fromkeys(scenario for scenario, _ in self._rounds))
        found = [(scenario, gateway, len(rounds)) for (scenario, gateway), rounds in self._rounds.items()]
        return sorted(found, key=lambda one: order.index(one[0]))

    def get(self, scenario: str, gateway: str, figure: str) -> float | None:
        """Return a median; of memory the least, for processes keep what they once had."""
        rounds = self._rounds.get((scenario, gateway))
        if not rounds:
            return None
        values = [one[figure] for one in rounds]
        return min(values) if figure == "memory_mb" else statistics.median(values)

    def total(self, scenario: str, gateway: str, figure: str) -> float:
        """Return the sum over all rounds: of errors, none should be overlooked."""
        return sum(one[figure] for one in self._rounds[scenario, gateway])

    def ratio(self, scenario: str, other: str, figure: str = "cpu_ms") -> float | None:
        """Return ours over theirs."""
        if figure not in _WHATEVER_ENDED and not (
            self.mostly_good(scenario, OURS) and self.mostly_good(scenario, other)
        ):
            return None
        ours, theirs = self.get(scenario, OURS, figure), self.get(scenario, other, figure)
        return ours / theirs if ours and theirs else None

    def mostly_good(self, scenario: str, gateway: str) -> bool:
        """Tell whether nine of ten answers were right and in time: otherwise a price per good answer says nothing."""
        good, bad = (
            sum(self.total(scenario, gateway, one) for one in ones) for ones in (("ok",), ("errors", "unfinished"))
        )
        return good > 0 and good >= _MOSTLY * (good + bad)

    def added(self, scenario: str, gateway: str, figure: str) -> float | None:
        """Return how many milliseconds a gateway adds to what the upstream itself takes."""
        if not self.mostly_good(scenario, gateway):
            return None
        with_it, without = self.get(scenario, gateway, figure), self.get(scenario, DIRECT, figure)
        return None if with_it is None or without is None else with_it - without

    def kb_per_stream(self, gateway: str) -> float | None:
        """Return what each further stream occupies, from the fewest to the most measured."""
        levels = [(n, self.get(f"slow{n}", gateway, "memory_mb")) for n in (200, 1000, 2000)]
        known = [(n, megabytes) for n, megabytes in levels if megabytes is not None]
        if not known:
            return None
        (few, least), (many, most) = known[0] if len(known) > 1 else (0, self.idle[gateway]), known[-1]
        return (most - least) / (many - few) * 1024
