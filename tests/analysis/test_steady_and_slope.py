"""When a trial may begin to count, and whether its backlog grows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.slope import theil_sen
from bench.analysis.steady import State, assess, still_warming, warmup_end

RNG = np.random.default_rng(7)
STEADY = 100 + RNG.normal(0, 2, 60)


def test_warm_up_is_cut_where_it_ends() -> None:
    """Prevents the JIT's first seconds from counting as the system's latency."""
    assert warmup_end(np.concatenate([np.linspace(1_000, 100, 15), STEADY])) == 15
    assert warmup_end(STEADY) <= 10


def test_a_warm_up_left_in_the_window_is_seen_and_a_hiccup_is_none() -> None:
    """Prevents the first ten seconds of catching up from counting as the steady rate, because the rest is steady."""
    warming = np.concatenate([np.full(15, 130.0), STEADY])
    assert still_warming(warming, assess(warming).warmup) > 0.1
    made_up = np.concatenate([[50.0, 150.0], STEADY])
    assert abs(still_warming(made_up, 5)) < 0.02
    assert still_warming(warming, 0) == 0.0


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.linspace(100, 140, 60), "differs from the middle third"),
        (STEADY[:15], "15 samples"),
        (np.repeat([5.0, 0.0, 7.0], 20), "in which there was nothing"),
        (np.where(np.arange(60) % 8 == 0, np.nan, STEADY), "missing"),
        (np.full(60, np.nan), "missing"),
        (np.concatenate([STEADY[:40], STEADY[:20] * 1.08]), "differs"),
    ],
)
def test_what_is_not_steady_is_extended_once_and_then_given_up(values: npt.NDArray[np.float64], why: str) -> None:
    """Prevents a trend, a short series or a silent probe from passing as steady, and a trial from running for ever."""
    first, second = assess(values), assess(values, extended=True)
    assert (first.state, second.state) == (State.EXTEND, State.NONE)
    assert why in first.reason


def test_noise_around_a_level_is_steady_even_with_a_sample_missing() -> None:
    """Prevents good runs from being thrown away: one lost sample in sixty, and a constant series, are fine."""
    holed = STEADY.copy()
    holed[10] = np.nan
    assert assess(STEADY).state is assess(holed).state is assess(np.zeros(60)).state is State.STEADY


def test_a_growing_backlog_is_seen_through_outliers() -> None:
    """Prevents one full garbage collection from hiding, or inventing, a growing backlog."""
    t_s = np.arange(30.0)
    backlog = 500 * t_s + RNG.normal(0, 50, 30)
    backlog[[4, 17, 28]] = 80_000
    found = theil_sen(t_s, backlog)
    assert found is not None
    assert found.low <= 500 <= found.high
    assert found.high < 600
    flat = theil_sen(t_s, np.where(np.arange(30) % 7 == 0, 3_000.0, 20.0))
    assert flat is not None and (flat.per_s, flat.high) == (0.0, 0.0)


def test_missing_samples_are_left_out_and_too_few_give_no_slope() -> None:
    """Prevents NaN from becoming a slope of nothing."""
    t_s, backlog = np.arange(30.0), 5 * np.arange(30.0)
    backlog[5:10] = np.nan
    found = theil_sen(t_s, backlog)
    assert found is not None and found.n == 25 and found.per_s == pytest.approx(5)
    assert theil_sen(t_s[:7], backlog[:7]) is None
    assert theil_sen(t_s, np.full(30, np.nan)) is None
    assert theil_sen(np.zeros(30), t_s) is None


def test_correlated_samples_widen_the_bounds() -> None:
    """Prevents a burst that lingers for seconds from being taken for thirty independent proofs."""
    t_s = np.arange(30.0)
    wander = np.cumsum(RNG.normal(0, 100, 30))
    smooth, shuffled = theil_sen(t_s, wander), theil_sen(t_s, RNG.permutation(wander))
    assert smooth is not None and shuffled is not None
    assert smooth.effective_n < shuffled.effective_n
    assert smooth.high - smooth.low > shuffled.high - shuffled.low


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=60),
    st.floats(-1e3, 1e3),
    st.floats(0.1, 100),
)
def test_slope_follows_units_and_trends(values: list[float], trend: float, scale: float) -> None:
    """Prevents a slope that depends on the unit or the origin: slope(a x + b t) = a slope(x) + b."""
    t_s, x = np.arange(float(len(values))), np.array(values)
    plain, changed = theil_sen(t_s, x), theil_sen(t_s, scale * x + trend * t_s)
    assert plain is not None and changed is not None
    tolerance = 1e-6 * (1 + abs(scale * plain.per_s) + abs(trend) + scale * float(np.abs(x).max()))
    assert changed.per_s == pytest.approx(scale * plain.per_s + trend, abs=tolerance)


def test_a_long_series_is_thinned_not_refused() -> None:
    """Prevents an hour of samples from taking minutes and gigabytes."""
    t_s = np.arange(20_000.0)
    found = theil_sen(t_s, 3 * t_s + RNG.normal(0, 1_000, t_s.size))
    assert found is not None and found.n == 20_000
    assert found.per_s == pytest.approx(3, rel=0.01)
