"""What it should cost, and does. Ratios to others in the same run travel between machines, milliseconds don't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import OURS, Results


@dataclass(frozen=True)
class Goal:
    """At most `must`, better `aim`."""

    name: str
    must: float
    aim: float
    found: Callable[[Results], float | None]
    unit: str = ""


def _cpu(scenario: str, other: str, figure: str = "cpu_ms") -> Callable[[Results], float | None]:
    return lambda results: results.ratio(scenario, other, figure)


def _ours(scenario: str, figure: str) -> Callable[[Results], float | None]:
    return lambda results: results.get(scenario, OURS, figure)


def _fact(name: str) -> Callable[[Results], float | None]:
    return lambda results: results.facts.get(name)


GOALS = (
    Goal("whole, c=64: CPU to LiteLLM's", 1 / 30, 1 / 45, _cpu("json64", "LiteLLM")),
    Goal("whole, c=64: CPU to Portkey's", 0.45, 0.3, _cpu("json64", "Portkey")),
    Goal("whole, c=64: CPU to nginx's", 25, 15, _cpu("json64", "nginx")),
    Goal("burst, c=64: CPU to LiteLLM's", 1 / 80, 1 / 140, _cpu("burst64", "LiteLLM")),
    Goal("burst, c=64: CPU to Portkey's", 0.4, 0.25, _cpu("burst64", "Portkey")),
    Goal("CPU per chunk, 1,000 paced streams, to nginx's", 3.5, 2.4, _cpu("paced1000", "nginx", "chunk_us")),
    Goal("CPU per chunk, 1,000 paced streams, to Portkey's", 0.5, 0.35, _cpu("paced1000", "Portkey", "chunk_us")),
    Goal("memory at 1,000 streams, to Portkey's", 0.4, 0.25, _cpu("slow1000", "Portkey", "memory_mb")),
    Goal("memory at 1,000 streams, to LiteLLM's", 0.3, 0.2, _cpu("slow1000", "LiteLLM", "memory_mb")),
    Goal("memory per further stream", 30, 20, lambda results: results.kb_per_stream(OURS), " KB"),
    Goal("first byte later by, 1,000 slow streams, p50", 2, 1, lambda r: r.added("slow1000", OURS, "ttfb_p50"), " ms"),
    Goal("gateway's CPU per request, c=64", 0.30, 0.22, _ours("json64", "cpu_ms"), " ms"),
    Goal("PostgreSQL's CPU per request, c=64", 0.12, 0.12, _ours("json64", "pg_ms"), " ms"),
    Goal("a worker is ready after", 2, 2, _fact("ready"), " s"),
    Goal("an idle worker's memory", 120, 120, _fact("worker"), " MB"),
)
ELSEWHERE = (
    "growth to 1,000,000 keys, 10,000 accounts, 10,000,000 lines within 15 %: ./bench.sh growth",
    "no charge lost or doubled after kill -9: ./chaos.sh",
)


def table(results: Results) -> str:
    """Put goals and findings side by side."""
    lines = [f"{'goal (ours to theirs)':<50}{'must':>10}{'aim':>10}{'measured':>11}"]
    for goal in GOALS:
        found = goal.found(results)
        verdict = "not measured" if found is None else ("ok" if found <= goal.must else "MISSED")
        if found is not None and found <= goal.aim:
            verdict = "ok, aim met"
        shown = "-" if found is None else _figure(found, goal)
        lines.append(
            f"{goal.name:<50}{_figure(goal.must, goal):>10}{_figure(goal.aim, goal):>10}{shown:>11}  {verdict}"
        )
    return "\n".join([*lines, *(f"measured elsewhere: {one}" for one in ELSEWHERE)])


def _figure(value: float, goal: Goal) -> str:
    if not goal.unit and 0 < goal.must < 0.1:
        return f"1/{1 / value:.0f}"
    shown = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return shown + (goal.unit or ("x" if goal.must > 1 else ""))
