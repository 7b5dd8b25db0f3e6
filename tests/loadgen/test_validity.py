"""When a generator may not be believed, and when it must be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.histogram import LogLinearHistogram
from bench.loadgen.schedule import Schedule
from bench.loadgen.sent import Sent, validity


def sent(**changes: Any) -> Sent:
    seconds = pd.DataFrame({"target": 1000.0, "offered": 1000.0, "blocked_s": 0.0}, index=np.arange(1.0, 21.0))
    return replace(
        Sent(
            schedule=Schedule.constant(0, 1000, 20), mode="paced", started_ns=0, workers=2, warmup_s=5, duration_s=20,
            offered_by_worker=(10_000, 10_000), acknowledged_events=20_000, failed={}, errors={},
            without_report=0, flushed_s=20.1,
            seconds=seconds, lateness_ms=LogLinearHistogram("ms").add(np.full(15_000, 0.8)),
            lateness_blocked_ms=LogLinearHistogram("ms"), produce_latency_ms=LogLinearHistogram("ms"), cpu_s=1.0,
            rss_peak_bytes=1, clock_step_ms=0.0, versions={},
        ),
        **changes,
    )  # fmt: skip


def offered(**at: float) -> pd.DataFrame:
    frame = sent().seconds.copy()
    for second, value in at.items():
        frame.loc[float(second[1:]), "offered"] = value
    return frame


def late(share: float, ms: float) -> LogLinearHistogram:
    values = np.full(15_000, 0.8)
    values[: int(share * 15_000)] = ms
    return LogLinearHistogram("ms").add(values)


def test_a_clean_run_is_believed() -> None:
    assert validity(sent()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lateness_ms": late(0.011, 12)}, "lateness p99 1"),
        ({"seconds": offered(s7=920)}, "offered 99.47% of the target"),
        ({"seconds": offered(s7=890)}, "1 of 3 bins"),
        ({"failed": {"MSG_SIZE_TOO_LARGE": 3}}, "3 events were not delivered (3 MSG_SIZE_TOO_LARGE"),
        ({"without_report": 2}, "no delivery report"),
        ({"worker_failures": ("load worker 1 died",)}, "worker 1 died"),
        ({"stopped": True}, "stopped before"),
        ({"clock_step_ms": -1.5}, "clock stepped"),
        ({"lateness_ms": LogLinearHistogram("ms")}, "no event was due"),
    ],
)
def test_what_the_generator_did_not_do_makes_a_run_invalid(change: dict[str, Any], said: str) -> None:
    """Else a starved generator passes as a fast Kafka."""
    with_reasons = " | ".join(validity(sent(**change)))
    assert said in with_reasons


@pytest.mark.parametrize(
    "change",
    [
        {"lateness_ms": late(0.009, 12)},
        {"seconds": offered(s3=0)},  # warm-up
        {"seconds": offered(s7=990, s8=1010)},
    ],
)
def test_what_is_within_the_rules_is_believed(change: dict[str, Any]) -> None:
    assert validity(sent(**change)) == []


def test_back_pressure_never_invalidates() -> None:
    """A broker that stops for five seconds is the finding, not a fault of the generator."""
    seconds = offered(s8=0, s9=0, s10=0, s11=3000, s12=2000)
    seconds.loc[8.0:12.0, "blocked_s"] = 1.0
    blocked = LogLinearHistogram("ms").add(np.full(5_000, 3_000.0))
    assert validity(sent(seconds=seconds, lateness_blocked_ms=blocked)) == []


def test_a_looser_latency_objective_allows_more_lateness() -> None:
    assert validity(sent(lateness_ms=late(0.02, 30)), latency_slo_ms=500) == []
    assert validity(sent(lateness_ms=late(0.02, 60)), latency_slo_ms=500)
