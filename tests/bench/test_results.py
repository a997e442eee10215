from __future__ import annotations

from collections import defaultdict

import pytest

from bench import goals, report
from bench.results import DIRECT, OURS, Results


def cell(**figures):
    return defaultdict(float, {"ok": 10, "cpu_ms": 0.2, "memory_mb": 100.0, "ttfb_p50": 1.0, **figures})


@pytest.fixture
def results():
    made = Results()
    made.idle = {OURS: 80.0, "nginx": 10.0}
    for cpu in (0.1, 0.2, 0.9):
        made.add("json64", OURS, cell(cpu_ms=cpu, pg_ms=0.1))
    made.add("json64", "nginx", cell(cpu_ms=0.02))
    made.add("slow1000", DIRECT, cell(ttfb_p50=200.0))
    made.add("slow1000", OURS, cell(ttfb_p50=201.5, memory_mb=100.0))
    made.add("slow1000", OURS, cell(ttfb_p50=201.5, memory_mb=130.0))
    return made


def test_a_ratio_is_of_medians(results):
    assert results.ratio("json64", "nginx") == pytest.approx(10)


def test_nothing_is_compared_with_who_was_not_there(results):
    assert results.ratio("json64", "LiteLLM") is None
    assert results.added("json64", OURS, "ttfb_p50") is None


def test_a_price_per_good_answer_is_not_compared_when_many_were_bad(results):
    results.add("burst64", OURS, cell(errors=2))
    results.add("burst64", "nginx", cell())

    assert results.ratio("burst64", "nginx") is None
    assert results.ratio("burst64", "nginx", "memory_mb") == pytest.approx(1)


def test_delay_is_what_the_upstream_alone_would_not_have_taken(results):
    assert results.added("slow1000", OURS, "ttfb_p50") == pytest.approx(1.5)


def test_memory_is_the_least_of_the_rounds_and_a_stream_costs_what_it_grew_by(results):
    assert results.get("slow1000", OURS, "memory_mb") == 100
    assert results.kb_per_stream(OURS) == pytest.approx(20 * 1024 / 1000)

    results.add("slow2000", OURS, cell(memory_mb=110.0))

    assert results.kb_per_stream(OURS) == pytest.approx(10 * 1024 / 1000)


def test_a_goal_is_met_missed_or_not_measured(results):
    table = {line.split("  ")[0]: line for line in goals.table(results).splitlines()}

    assert table["whole, c=64: CPU to nginx's"].endswith("10x  ok, aim met")
    assert table["first byte later by, 1,000 slow streams, p50"].endswith("1.5 ms  ok")
    assert table["whole, c=64: CPU to LiteLLM's"].endswith("-  not measured")

    results.add("json64", "nginx", cell(cpu_ms=0.0001))
    results.add("json64", "nginx", cell(cpu_ms=0.0001))

    assert goals.table(results).splitlines()[3].endswith("MISSED")


def test_the_tables_name_everybody_measured(results):
    assert "nginx" in report.figures(results)
    assert "10.00" in report.ratios(results)
    assert "80.0" in report.memory(results)
