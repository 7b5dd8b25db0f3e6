"""Predictions of a size nobody measured: a job whose law is known is found out, and one that lies is not believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.analysis.prediction import CPU, QUOTA, RATE, Drained, fit, held_out, predict, predicted_eps
from bench.record import Measurement, Outcome, Run
from tests.test_verdict import run as a_run

QUOTAS = (0.25, 0.5, 0.75, 1.0)
FIXED, PER_MILLION = 0.04, 18.0  # of a core whatever the rate; CPU-seconds per million events beside it


def drains(noise: float = 0.0, seed: int = 1, last: float = 1.0) -> list[Drained]:
    """A job that follows the law, under each quota; `last`: how much faster the largest is than that."""
    rng, found = np.random.default_rng(seed), []
    for quota in QUOTAS:
        rate = (quota - FIXED) / PER_MILLION * 1e6 * float(np.exp(noise * rng.standard_normal()))
        rate *= last if quota == QUOTAS[-1] else 1
        found.append(Drained(quota, rate, quota / rate * 1e6))
    return found


def runs(repetitions: list[list[Drained]]) -> list[Run]:
    found = []
    for repetition, each in enumerate(repetitions):
        for order, drain in enumerate(each):
            metrics = {
                RATE: Measurement(drain.rate_eps, "events/s"),
                CPU: Measurement(drain.cpu_s_per_million_events, "s"),
            }
            found.append(replace(
                a_run(6, repetition, metrics), trial_id=f"{repetition}{order}", order=10 * repetition + order,
                knobs={QUOTA: drain.cpus},
            ))  # fmt: skip
    return found


def test_a_job_that_follows_the_law_is_predicted_to_the_event() -> None:
    assert fit(drains()[:3]) == pytest.approx((FIXED, PER_MILLION))
    assert predicted_eps(drains()[:3], 1.0) == pytest.approx(drains()[3].rate_eps)
    with pytest.raises(ValueError, match="at least two quotas"):
        fit(drains()[:1])


def test_a_job_manager_without_a_quota_does_not_bias_the_prediction() -> None:
    """Its CPU counted as the TaskManager's, a whole core was predicted to carry a tenth less than it does."""
    beside = [replace(each, cpu_s_per_million_events=(each.cpus + 0.1) / each.rate_eps * 1e6) for each in drains()]
    found = held_out([beside, beside])

    assert found is not None and found.held_back == ()
    assert found.ratio.value == pytest.approx(1.0)
    assert (found.fixed_cpus, found.cpu_s_per_million_events) == pytest.approx((FIXED, PER_MILLION))


def test_the_held_out_quota_is_not_among_what_is_fitted() -> None:
    """A prediction that has seen its answer is a repetition of it."""
    honest = held_out([drains(), drains()])
    slower = held_out([drains(last=0.5), drains(last=0.5)])

    assert honest is not None and slower is not None
    assert honest.predicted_eps == pytest.approx(slower.predicted_eps)
    assert (honest.fitted, honest.cpus, honest.times) == (QUOTAS[:3], 1.0, 4.0)
    assert slower.ratio.value == pytest.approx(2.0) and slower.off == pytest.approx(1.0)
    assert "+100.0%" in slower.sentence() and "not shown to be within 15%" in slower.sentence()
    assert "as it has to within 15%" in honest.sentence()


def test_a_drain_that_something_else_held_back_is_told() -> None:
    """A core that waits for the broker would be called a prediction that failed, or worse: one that held by chance."""
    waiting = [replace(each, rate_eps=each.rate_eps / 2) if each.cpus == 1.0 else each for each in drains()]
    honest, held = held_out([drains(), drains()]), held_out([waiting, waiting])

    assert honest is not None and honest.held_back == ()
    assert held is not None and held.held_back == (1.0,)
    assert "tests nothing: under 1 of a core" in held.sentence() and "within" not in held.sentence()


def test_the_interval_covers_what_it_has_to_under_noise() -> None:
    """5 repetitions with the noise of a quiet machine: the truth, 1, lies in the 95 % interval in about 95 %."""
    covered = 0
    for study in range(300):
        found = held_out([drains(noise=0.02, seed=1000 * study + repetition) for repetition in range(5)])
        assert found is not None
        low, high = found.ratio.interval()
        covered += low <= 1 <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_only_whole_repetitions_of_a_study_about_quotas_predict() -> None:
    whole = runs([drains(0.01, seed) for seed in range(3)])
    crashed = [replace(one, outcome=Outcome.CRASHED) if one.trial_id == "12" else one for one in whole]
    found, without = predict(whole), predict(crashed)

    assert found is not None and found.ratio.n == 3
    assert without is not None and without.ratio.n == 2  # the repetition that lacks a quota says nothing
    assert predict(crashed[:8]) is None
    assert predict([one for one in whole if one.knobs[QUOTA] != 0.5 and one.knobs[QUOTA] != 0.75]) is None
    assert predict([replace(one, knobs={**one.knobs, "topic.partitions": 6}) for one in whole]) is None
    assert predict([]) is None
