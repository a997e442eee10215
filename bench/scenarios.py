"""What is asked of every gateway.

The mock upstream reads from the model's name what to answer: `mock-n50-d20` is fifty chunks, 20 ms apart; without a
delay all fifty come in one write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MODELS = ("mock", "mock-n50-d0", "mock-n50-d20", "mock-n25-d200")


@dataclass(frozen=True)
class Scenario:
    """So many at once of one kind; where the upstream sets the pace, `waves` times as many in all."""

    name: str
    stream: bool
    concurrency: int
    model: str
    chunks: int = 0
    per_second: int = 0
    """How fast connections are opened; 0 is at once. Slow streams that all begin at once would be their own queue."""
    waves: float = 2

    @property
    def slow(self) -> bool:
        """Whether the upstream sets the pace."""
        return self.per_second > 0


def _chats(concurrency: int) -> Scenario:
    return Scenario(f"json{concurrency}", False, concurrency, "mock")


def _bursts(concurrency: int) -> Scenario:
    return Scenario(f"burst{concurrency}", True, concurrency, "mock-n50-d0", 50)


def _paced(concurrency: int) -> Scenario:
    return Scenario(f"paced{concurrency}", True, concurrency, "mock-n50-d20", 50, per_second=concurrency)


def _slow(concurrency: int) -> Scenario:
    return Scenario(f"slow{concurrency}", True, concurrency, "mock-n25-d200", 25, per_second=max(concurrency // 4, 100))


SCENARIOS = {
    one.name: one
    for one in (
        *map(_chats, (1, 16, 64, 256)),
        *map(_bursts, (1, 64)),
        *map(_paced, (200, 1000)),
        *map(_slow, (200, 1000, 2000)),
    )
}
DEFAULT = "json1,json16,json64,json256,burst64,paced1000,slow200,slow1000,slow2000"
QUICK = "json64,burst64,slow1000"


def chosen(names: str, *, waves: float) -> list[Scenario]:
    """Return these scenarios, the fast ones first; refuses a name that is none."""
    unknown = [name for name in names.split(",") if name not in SCENARIOS]
    if unknown:
        raise SystemExit(f"No such scenario: {', '.join(unknown)}. There are {', '.join(SCENARIOS)}.")
    found = [replace(SCENARIOS[name], waves=waves) for name in names.split(",")]
    return sorted(found, key=lambda one: one.slow)
