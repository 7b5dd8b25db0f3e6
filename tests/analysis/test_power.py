"""What `plan` promises."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis import power
from bench.analysis.decide import Answer, comparison
from bench.analysis.intervals import estimate, mean_interval
from bench.analysis.ratio import paired
from bench.metrics import METRICS


def test_the_method_s_own_figures() -> None:
    """Prevents `plan` from promising what the method does not: CV 3.7 %, d = 5 %."""
    assert power.half_width(power.sd_of_pairs(0.037), 5) == pytest.approx(0.065, abs=0.001)
    assert power.decidable_effect(0.037, 5, 0.05) == pytest.approx(0.14, abs=0.01)
    assert power.decidable_effect(0.037, 8, 0.05) == pytest.approx(0.11, abs=0.01)
    assert power.decidable_effect(0.037, 1, 0.05) == float("inf")


@pytest.mark.parametrize("n", [3, 5, 8, 20])
def test_the_power_promised_is_the_power_found(n: int) -> None:
    """Prevents an hour spent on repeats that could not have decided."""
    cv, d = 0.037, 0.05
    effect = power.decidable_effect(cv, n, d)
    rng = np.random.default_rng(n)
    supported = 0
    for _ in range(2_000):
        base, changed = rng.lognormal(0, cv, n), rng.lognormal(np.log1p(effect), cv, n)
        found = paired(list(base), list(changed))
        assert found is not None
        supported += comparison(found, "increases", d).answer is Answer.SUPPORTED
    assert supported / 2_000 == pytest.approx(0.80, abs=0.03)


def test_repeats_for_a_precision_reach_it_and_not_one_too_many() -> None:
    """Prevents `--precision 5%` from stopping too early."""
    n = power.repeats_for_precision(0.037, 0.05)
    assert n is not None
    sd = power.sd_of_pairs(0.037)
    assert power.half_width(sd, n) <= np.log1p(0.05) < power.half_width(sd, n - 1)
    assert power.repeats_for_precision(0.5, 0.001) is None


def test_an_effect_at_the_limit_is_never_decided() -> None:
    """Prevents "needs 40,000 repeats" from being printed as advice."""
    limit = float(np.log1p(0.05))
    assert power.repeats_to_decide(limit, limit, 0.05) is None
    assert power.repeats_to_decide(limit + 1e-6, limit, 0.05) is None
    more, less = power.repeats_to_decide(0.12, limit, 0.05), power.repeats_to_decide(0.0, limit, 0.05)
    assert more is not None and less is not None
    assert power.power_to_support(0.12, limit, 0.05, more) >= 0.8 > power.power_to_support(0.12, limit, 0.05, more - 1)


def test_one_run_has_no_interval() -> None:
    """Prevents an interval of width zero around a single number."""
    assert mean_interval([3.0]) == (3.0, None, None)
    found = estimate("drain_eps", "events/s", [1.0, 2.0, 3.0])
    assert found.low is not None and found.high is not None
    assert (found.low, found.high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3)
    with pytest.raises(ValueError, match="no runs"):
        mean_interval([])


def test_an_interval_ends_where_the_metric_does() -> None:
    """Prevents a report that allows for minus 226,716 events/s or a task that is busy 254 % of the time."""
    assert estimate("drain_eps", "events/s", [171_616.0, 270_206.0], METRICS["drain_eps"].within).low == 0
    busy = estimate("busy_share", "share", [0.5, 1.01], METRICS["busy_share"].within)
    assert (busy.low, busy.high) == (0.0, 1.01)
    slope = estimate("backlog_slope_eps", "events/s", [-5.0, 5.0], METRICS["backlog_slope_eps"].within)
    assert slope.low is not None and slope.low < -5 and slope.high == -slope.low


def test_variation_is_pooled_over_cells_whatever_their_levels() -> None:
    """Prevents `plan` from taking the difference between settings for noise, or one cell for the whole host."""
    rng = np.random.default_rng(2)
    cells = [list(level * rng.lognormal(0, 0.05, 4)) for level in np.geomspace(1, 1e6, 400)]
    assert power.pooled_cv(cells) == pytest.approx(0.05, rel=0.05)
    assert power.pooled_cv([[3.0], [0.0, 1.0], []]) is None
