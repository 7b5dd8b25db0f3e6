"""A search as the report tells it: every attempt in the table, and latency by rate in a figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fixtures

from bench.record import Measurement
from bench.run import Attempt, Search
from reports import figures, render
from reports.report import Intervals, tables, walk

RATES = (20_000.0, 40_000.0, 80_000.0, 56_000.0, 48_000.0, 48_000.0, 50_400.0)


def attempt(number: int, rate_eps: float) -> Attempt:
    waits = {"p50": rate_eps / 4000, "p99": rate_eps / 100 + number}
    metrics = {} if rate_eps > 60_000 else {"e2e_latency_ms": Measurement(waits["p50"], "ms", waits, 10_000)}
    outcome = "pass" if rate_eps < 50_000 else "fail"
    return Attempt(number, rate_eps, "ramp", outcome, "", 20.0, "2026-11-24T12:00:00Z", (), metrics)


def test_latency_by_rate_is_drawn_from_the_attempts_and_none_is_lost(tmp_path: Path) -> None:
    """A rate without its latency is half an answer; an attempt that failed unseen makes the rate look easy."""
    attempts = tuple(attempt(number, rate) for number, rate in enumerate(RATES))
    found = Search("found", "48,000 events/s.", (), 48_000.0, 48_000.0, 50_400.0, attempts)
    run = replace(fixtures.steady(tmp_path, 6, 0, 0), search=found)
    report = fixtures.story(tmp_path, [run], {}).report
    capacity = next(section for section in report.sections if section.key == "capacity")
    curve = next(node for node in walk(capacity) if isinstance(node, Intervals))
    assert [panel.name for panel in curve.panels] == ["end-to-end latency p50", "end-to-end latency p99"]
    tail = {arm.at: arm for arm in curve.panels[1].arms}
    assert sorted(tail) == sorted({rate for rate in RATES if rate < 60_000})  # where there is a latency
    assert tail[48_000.0].runs == (484.0, 485.0)
    assert tail[48_000.0].value == 484.5
    assert len(next(tables(capacity)).rows) == len(RATES)
    assert "Latency by rate" in render.markdown(report)
    assert 'aria-label="end-to-end latency p50' in figures.svg(curve, narrow=True)
