"""The histogram behind every latency in a report."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.histogram import LogLinearHistogram


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_percentiles_are_within_one_percent_of_the_sorted_sample(scale: float) -> None:
    """Prevents a p99 that is an artefact of the buckets, in ms as in ns."""
    values = np.random.default_rng(1).lognormal(2.0, 1.5, 200_000) * scale
    got = LogLinearHistogram().add(values).percentiles()
    for name, p in (("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9)):
        assert got[name] == pytest.approx(np.percentile(values, p), rel=0.01)
    assert got["max"] == values.max()


@pytest.mark.parametrize(
    ("n", "reaches"),
    [
        (19, "max"),
        (99, "p50"),
        (100, "p90"),
        (999, "p95"),
        (1_000, "p99"),
        (9_999, "p99"),
        (10_000, "p99.9"),
        (99_999, "p99.9"),
        (100_000, "p99.99"),
    ],
)
def test_percentiles_reach_only_as_far_as_ten_samples_beyond(n: int, reaches: str) -> None:
    """Prevents a p99.9 that is one lucky or unlucky event."""
    named = list(LogLinearHistogram().add(np.arange(1, n + 1)).percentiles())
    assert (named[-2] if len(named) > 1 else named[0]) == reaches
    assert named[-1] == "max"


def test_rows_of_one_window_are_one_sample() -> None:
    """Prevents a p99 from 10,000 rows that were all emitted at three instants."""
    histogram = LogLinearHistogram().add(np.linspace(1, 2, 10_000))
    assert set(histogram.percentiles(independent_n=100)) == {"p50", "p90", "max"}


def test_non_positive_values_are_counted_not_dropped() -> None:
    """Prevents a clock that runs backwards from making latencies look better, or from vanishing."""
    histogram = LogLinearHistogram().add([-5.0] * 60 + [0.0] * 20 + [10.0] * 20)
    assert (histogram.n, histogram.n_nonpositive, histogram.min) == (100, 80, -5.0)
    assert histogram.mean == pytest.approx(-1.0)
    assert histogram.percentile(50) == 0.0
    assert histogram.percentile(90) == pytest.approx(10.0, rel=0.01)


def test_a_missing_sample_is_refused_and_nothing_is_added() -> None:
    """Prevents a NaN from being filed as some latency."""
    histogram = LogLinearHistogram().add([1.0])
    for bad in (float("nan"), float("inf"), -float("nan")):
        with pytest.raises(ValueError, match="NaN or infinite"):
            histogram.add([2.0, bad])
    assert histogram.n == 1


def test_units_do_not_mix() -> None:
    """Prevents nanoseconds merged into milliseconds."""
    with pytest.raises(ValueError, match="ns into ms"):
        LogLinearHistogram("ms").merge(LogLinearHistogram("ns").add([1]))


@given(st.lists(st.lists(st.integers(-10, 10**12), max_size=30), max_size=5))
def test_merging_parts_equals_adding_all(parts: list[list[int]]) -> None:
    """Prevents workers' histograms from giving another percentile than one worker's would."""
    merged = LogLinearHistogram("ns")
    for part in parts:
        merged = merged + LogLinearHistogram("ns").add(np.array(part, dtype=np.int64))
    whole = LogLinearHistogram("ns").add(np.array([value for part in parts for value in part], dtype=np.int64))
    assert merged == whole
    buckets, counts, exact = merged.to_arrays()
    assert LogLinearHistogram.from_arrays(buckets, counts, exact, "ns") == merged


def test_histograms_of_another_width_are_refused() -> None:
    """Prevents percentiles read from buckets that mean something else."""
    buckets, counts, exact = LogLinearHistogram().add([1.0, 2.0]).to_arrays()
    with pytest.raises(ValueError, match="sub-bucket bits"):
        LogLinearHistogram.from_arrays(buckets, counts, exact | {"bits": 5.0})


def test_five_seconds_of_stall_show_in_the_tail() -> None:
    """Prevents coordinated omission from hiding a stall: each event of the stall is late by what was left of it."""
    stalled = np.arange(5_000, 0, -1.0)
    got = LogLinearHistogram().add(np.full(55_000, 10.0)).add(stalled).percentiles()
    assert got["max"] == 5_000
    assert got["p99"] == pytest.approx(4_400, rel=0.01)
