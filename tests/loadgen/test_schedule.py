"""Due times: the reference that every latency counts from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.errors import ScenarioError
from bench.loadgen.schedule import Schedule, Segment
from bench.loadgen.sender import Share
from bench.loadgen.shapes import plan

T0_NS = 1_790_000_000_000_000_000
RATES = st.just(0.0) | st.floats(0.01, 1e6)
SEGMENTS = st.lists(st.builds(Segment, st.floats(0.5, 60), RATES, RATES), min_size=1, max_size=5)


@given(rate=st.floats(0.1, 5e6), i=st.integers(0, 10**9))
def test_constant_rate_never_drifts(rate: float, i: int) -> None:
    """A sum of rounded gaps would drift by seconds in an hour and move the latency with it."""
    assume(i / rate < 10 * 365 * 86_400)  # nanoseconds since the epoch end in the year 2262
    due = Schedule.constant(T0_NS, rate, 60).due_ns(np.array([i]))[0]
    assert abs((int(due) - T0_NS) - i * 1e9 / rate) <= max(1.0, i * 1e9 / rate * 1e-12)


@given(segments=SEGMENTS)
def test_due_times_are_the_inverse_of_the_rates_integral(segments: list[Segment]) -> None:
    """A wrong shape would be measured against a target that was never offered."""
    schedule = Schedule(T0_NS, tuple(segments))
    if schedule.events < 2:
        return
    seq = np.unique(np.linspace(0, schedule.events - 1, 500).astype(np.int64))
    due_s = (schedule.due_ns(seq) - T0_NS) / 1e9
    assert (np.diff(due_s) >= 0).all()
    starts = np.concatenate(([0], np.cumsum([s.seconds for s in segments])))
    for t, i in zip(due_s, seq, strict=True):
        integral = 0.0
        for s, start in zip(segments, starts, strict=False):
            inside = min(max(t - start, 0), s.seconds)
            integral += inside * (s.from_eps + (s.to_eps - s.from_eps) * inside / s.seconds / 2)
        assert abs(integral - i) <= 1e-3 + 2e-6 * max(s.to_eps + s.from_eps for s in segments) + 1e-9 * i


@given(segments=SEGMENTS)
def test_a_schedule_survives_json(segments: list[Segment]) -> None:
    """The oracle recomputes due times from the stored schedule."""
    schedule = Schedule(T0_NS, tuple(segments))
    assert Schedule.from_json(schedule.to_json()) == schedule


@given(events=st.integers(0, 1000), workers=st.integers(1, 9))
def test_workers_together_send_exactly_the_schedule(events: int, workers: int) -> None:
    """A gap or an overlap between workers would be counted as loss or duplication by Kafka."""
    shares = [Share(k, workers) for k in range(workers)]
    union = np.concatenate([s.seqs(0, s.of(events)) for s in shares])
    assert sorted(union.tolist()) == list(range(events))


def test_poisson_arrivals_are_poisson_and_recomputable() -> None:
    """Evenly spaced 'random' arrivals would never queue: the burst is the point of the shape."""
    schedule = Schedule(T0_NS, (Segment(30, 2_000, 2_000),), poisson_seed=5)
    seq = np.arange(schedule.events)
    due = schedule.due_ns(seq)
    assert abs(len(seq) - 60_000) < 5 * 60_000**0.5
    gaps = np.diff(due) / 1e9
    assert (gaps >= 0).all()
    assert abs(gaps.std() / gaps.mean() - 1) < 0.02  # exponential
    per_second = np.bincount(((due - T0_NS) // 10**9).astype(int))
    assert 0.5 < per_second.var() / per_second.mean() < 1.7
    part = np.array([59_000, 17, 4_100, 17])
    assert np.array_equal(Schedule.from_json(schedule.to_json()).due_ns(part), due[part])
    assert schedule.due_ns(np.array([schedule.events]))[0] >= T0_NS + 30 * 10**9


@given(segments=SEGMENTS, t=st.lists(st.floats(0, 300), min_size=1, max_size=8))
def test_due_before_counts_what_is_due(segments: list[Segment], t: list[float]) -> None:
    """It is the target that the offered events of each second are held against."""
    schedule = Schedule(T0_NS, tuple(segments))
    for moment, count in zip(t, schedule.due_before(np.array(t)).tolist(), strict=True):
        around = schedule.due_ns(np.array([max(count - 1, 0), count]))
        limit = T0_NS + round(moment * 1e9)
        assert count == 0 or around[0] < limit
        assert count == schedule.events or around[1] >= limit


@pytest.mark.parametrize(
    ("shape", "rates"),
    [
        ({"steps": [{"for_s": 5, "rate_eps": 10}, {"for_s": 5, "rate_eps": 30}]}, {2: 10, 7: 30, 15: 30}),
        ({"ramp": {"from_eps": 0, "to_eps": 100, "over_s": 10}}, {1: 10, 5: 50, 12: 100, 19: 100}),
        ({"spike": {"base_eps": 10, "peak_eps": 80, "at_s": 2, "for_s": 3}}, {5.9: 10, 6.1: 80, 8.9: 80, 9.1: 10}),
        ({"diurnal": {"low_eps": 10, "high_eps": 50, "period_s": 8}}, {0: 10, 2: 30, 4: 50, 8: 10, 12: 50}),
    ],
)
def test_shapes_have_the_rates_that_were_asked_for(shape: dict[str, Any], rates: dict[float, float]) -> None:
    """A spike that comes in the warm-up is cut away with it."""
    mode, schedule = plan({"rate_eps": None, "shape": shape}, duration_s=20, warmup_s=4, seed=1)
    assert mode == "paced"
    assert schedule.seconds == pytest.approx(20)
    assert schedule.rate_eps(np.array(list(rates))).tolist() == pytest.approx(list(rates.values()), rel=0.005)


def test_a_load_that_sends_nothing_is_refused() -> None:
    with pytest.raises(ScenarioError, match="not one event"):
        plan({"shape": {"steps": [{"for_s": 5, "rate_eps": 0}]}}, duration_s=20, warmup_s=4, seed=1)
    with pytest.raises(ScenarioError, match="no load to drive"):
        plan({"rate_eps": "search"}, duration_s=20, warmup_s=4, seed=1)
