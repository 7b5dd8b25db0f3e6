"""The registry and its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.metrics import METRICS, Effect, markdown

ROOT = Path(__file__).parents[1]

# the machine interface: scripts of users read these names
STABLE = """offered_eps acknowledged_eps acknowledged_events schedule_lateness_ms produce_latency_ms e2e_latency_ms
backlog_events backlog_slope_eps sustainable_rate_eps drain_eps broker_cpu_s_per_million_events
flink_cpu_s_per_million_events generator_cpu_s_per_million_events consumer_cpu_s_per_million_events broker_rss_bytes
flink_rss_bytes generator_rss_bytes busy_share backpressured_share watermark_lag_ms wire_bytes_per_event
disk_bytes_per_event batch_records checkpoint_duration_ms checkpoint_size_bytes s3_requests late_events lost_events
duplicated_events recovery_s"""


def test_stable_names_exist() -> None:
    """Prevents a renamed metric from reading as missing in somebody's script."""
    assert set(STABLE.split()) <= set(METRICS)


def test_the_page_is_what_the_registry_says() -> None:
    """Prevents a report from printing a number that the documentation defines otherwise (`python -m bench.metrics`)."""
    assert (ROOT / "docs" / "metrics.md").read_text() == markdown()


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name: str) -> None:
    """Prevents a number without unit, definition or source, or with a unit that its name contradicts."""
    metric = METRICS[name]
    assert metric.unit and metric.source and metric.definition.endswith(".")
    units = {"_eps": "events/s", "_ms": "ms", "_bytes": "bytes", "_share": "share", "_s": "s"}
    for suffix, unit in units.items():
        if name.endswith(suffix):
            assert metric.unit == unit
            break
    assert f"`{name}`" in markdown()


def test_a_fifth_of_a_small_latency_is_not_an_effect() -> None:
    """Prevents 2 ms of p99 from becoming a verdict: 20 % or 5 ms, whichever is more."""
    effect = METRICS["e2e_latency_ms"].min_effect["p99"]
    assert effect.share_of(10.0) == 0.5
    assert effect.share_of(100.0) == 0.2
    assert Effect(0.05).share_of(0.0) == 0.05
