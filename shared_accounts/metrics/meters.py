"""Kinds of metrics: each reserves a cell for every combination of its labels, so no label can grow without bound.

A value that a label does not list counts as `other`. Counting costs a look-up and an addition.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, product

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from shared_accounts.metrics.board import Board, Reading

OTHER = "other"
PREFIX = "shared_accounts_"


class _Meter:
    def __init__(self, board: Board, name: str, says: str, width: int = 1, **labels: Sequence[str]) -> None:
        self.name, self.says, self.labels = PREFIX + name, says, list(labels)
        self._board = board
        self._values = [set(values) for values in labels.values()]
        combinations = list(product(*labels.values()))
        # Labels are part of the name: a release that lists others must not read these cells as its own.
        first = board.reserve(f"{name}{labels}{width}", width * len(combinations))
        self._places = {one: first + width * place for place, one in enumerate(combinations)}

    def _place(self, values: tuple[str, ...]) -> int:
        place = self._places.get(values)
        return self._places[self._listed(values)] if place is None else place

    def _listed(self, values: tuple[str, ...]) -> tuple[str, ...]:
        known = zip(values, self._values, strict=True)
        return tuple(value if value in listed else OTHER for value, listed in known)


class Counter(_Meter):
    """How often something happened; never goes down, whichever worker dies."""

    def add(self, *values: str, by: int = 1) -> None:
        """Count one more; the values are the labels', in their order."""
        self._board.cells[self._place(values)] += by

    def family(self, reading: Reading) -> Metric:
        """Return the sum over all workers; what has never happened is left out."""
        found = CounterMetricFamily(self.name, self.says, labels=self.labels)
        for values, place in self._places.items():
            if total := reading.ever[place]:
                found.add_metric(values, total)
        return found


class Gauge(_Meter):
    """How much of something there is at this moment; a worker that is gone has none."""

    def set(self, amount: int, *values: str) -> None:
        """Say how much there is in this worker."""
        self._board.cells[self._place(values)] = amount

    def clear(self) -> None:
        """Say that there is none in this worker, whatever the last owner of its row had."""
        for place in self._places.values():
            self._board.cells[place] = 0

    def now(self, reading: Reading) -> int:
        """Return how much there is in all workers that live, whatever the labels."""
        return sum(reading.now[place] for place in self._places.values())

    def family(self, reading: Reading) -> Metric:
        """Return the sum over the workers that live."""
        found = GaugeMetricFamily(self.name, self.says, labels=self.labels)
        for values, place in self._places.items():
            found.add_metric(values, reading.now[place])
        return found


class Histogram(_Meter):
    """How long things took: a count per bucket, and their sum. `scale` of what is observed make one second."""

    def __init__(
        self, board: Board, name: str, says: str, *, scale: int, bounds: Sequence[int], **labels: Sequence[str]
    ) -> None:
        super().__init__(board, name, says, len(bounds) + 2, **labels)
        self._scale, self._bounds = scale, list(bounds)

    def observe(self, amount: int, *values: str) -> None:
        """Count one that took so long."""
        cells, place = self._board.cells, self._place(values)
        cells[place + bisect_left(self._bounds, amount)] += 1
        cells[place + len(self._bounds) + 1] += amount

    def quantiles(self, reading: Reading, *parts: float) -> list[float | None]:
        """Return the bounds, in seconds, below which these parts of all lie, whatever the labels; none if unknown."""
        width = len(self._bounds) + 1
        counts = [sum(reading.ever[place + one] for place in self._places.values()) for one in range(width)]
        sums, bounds = list(accumulate(counts)), [bound / self._scale for bound in self._bounds]
        if not sums[-1]:
            return [None] * len(parts)
        return [next((b for b, n in zip(bounds, sums, strict=False) if n >= part * sums[-1]), None) for part in parts]

    def family(self, reading: Reading) -> Metric:
        """Return the sum over all workers; what has never happened is left out."""
        found = HistogramMetricFamily(self.name, self.says, labels=self.labels)
        names = [*(str(bound / self._scale) for bound in self._bounds), "+Inf"]
        for values, place in self._places.items():
            counts = reading.ever[place : place + len(names)]
            if any(counts):
                buckets = list(zip(names, accumulate(counts), strict=True))
                found.add_metric(values, buckets, reading.ever[place + len(names)] / self._scale)
        return found
