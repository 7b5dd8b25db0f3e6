"""Due times: the reference that every latency counts from."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.loadgen.schedule import Schedule, Segment
from bench.loadgen.sender import Share

T0_NS = 1_790_000_000_000_000_000
RATES = st.floats(0, 1e6)
SEGMENTS = st.lists(st.builds(Segment, st.floats(0.5, 60), RATES, RATES), min_size=1, max_size=5)


@given(rate=st.floats(0.1, 5e6), i=st.integers(0, 10**9))
def test_constant_rate_never_drifts(rate: float, i: int) -> None:
    """A sum of rounded gaps would drift by seconds in an hour and move the latency with it."""
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
