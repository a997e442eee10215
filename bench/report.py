"""The tables at the end of a run."""

from __future__ import annotations

from bench.results import DIRECT, OURS, Results

_COLUMNS = (
    ("req/s", "rps", 9, 0), ("CPU ms", "cpu_ms", 9, 3), ("PG ms", "pg_ms", 7, 3), ("us/chunk", "chunk_us", 9, 1),
    ("p50 ms", "lat_p50", 9, 2), ("p99 ms", "lat_p99", 9, 2), ("+p50", "+ttfb_p50", 9, 2),
    ("+p99", "+ttfb_p99", 9, 2), ("lag p50", "lag_p50", 9, 2), ("lag p99", "lag_p99", 9, 2),
    ("core", "busy", 6, 2), ("MB", "memory_mb", 6, 0),
)  # fmt: skip
_NOT_FOR_DIRECT = {"cpu_ms", "pg_ms", "chunk_us", "busy", "memory_mb"}


def figures(results: Results) -> str:
    """Everything measured, a line per scenario and gateway; `direct` is the upstream without any gateway.

    `+p50` and `+p99` are by how many milliseconds the first byte comes later than without a gateway.
    """
    head = f"{'scenario':<10}{'gateway':<16}" + "".join(f"{title:>{width}}" for title, _, width, _ in _COLUMNS)
    lines, before = [f"{head}  rounds  errors  unfinished"], ""
    for scenario, gateway, rounds in results.cells():
        row = f"{scenario if scenario != before else '':<10}{gateway:<16}"
        for _, figure, width, digits in _COLUMNS:
            value = _value(results, scenario, gateway, figure)
            shown = "-" if not value or (gateway == DIRECT and figure in _NOT_FOR_DIRECT) else f"{value:.{digits}f}"
            row += f"{shown:>{width}}"
        errors, unfinished = (results.total(scenario, gateway, one) for one in ("errors", "unfinished"))
        lines.append(f"{row}{rounds:>8}{errors:>8.0f}{unfinished:>12.0f}")
        before = scenario
    return "\n".join(lines)


def ratios(results: Results) -> str:
    """Ours to theirs: CPU per request, CPU per chunk, memory."""
    others = [
        name for name in dict.fromkeys(gateway for _, gateway, _ in results.cells()) if name not in (OURS, DIRECT)
    ]
    lines = [f"{'ours to theirs':<22}" + "".join(f"{name:>14}" for name in others)]
    for scenario in dict.fromkeys(scenario for scenario, _, _ in results.cells()):
        kinds = {"CPU": "cpu_ms"} if scenario.startswith("json") else {"CPU": "cpu_ms", "CPU/chunk": "chunk_us"}
        if scenario.startswith("slow"):
            kinds["memory"] = "memory_mb"
        for kind, figure in kinds.items():
            found = [results.ratio(scenario, other, figure) for other in others]
            if any(found):
                lines.append(f"{scenario:<11}{kind:<11}" + "".join(f"{_ratio(one):>14}" for one in found))
    return "\n".join(lines)


def memory(results: Results) -> str:
    """Idle, with a thousand streams open, per further stream; and how much later the first byte comes then."""
    titles = ("idle MB", "at 1,000", "KB/stream", "+p50 ms", "+p99 ms")
    lines = [f"{'memory, delay':<16}" + "".join(f"{title:>11}" for title in titles)]
    for name, idle in results.idle.items():
        found = (
            idle,
            results.get("slow1000", name, "memory_mb"),
            results.kb_per_stream(name),
            results.added("slow1000", name, "ttfb_p50"),
            results.added("slow1000", name, "ttfb_p99"),
        )
        lines.append(f"{name:<16}" + "".join(f"{'-' if one is None else f'{one:.1f}':>11}" for one in found))
    return "\n".join(lines)


def _value(results: Results, scenario: str, gateway: str, figure: str) -> float | None:
    if figure.startswith("+"):
        return results.added(scenario, gateway, figure[1:])
    return results.get(scenario, gateway, figure)


def _ratio(value: float | None) -> str:
    if value is None:
        return "-"
    return f"1/{1 / value:.1f}" if 0 < value < 0.1 else f"{value:.2f}"
