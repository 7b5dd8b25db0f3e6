"""What a job carries on a larger share of a core, predicted from smaller ones: the rule that fleets are sized by.

A bill multiplies CPU-seconds per million events, measured at one size, by the rate at another. Here the rule is put to
the test: from drains under small CPU quotas it predicts the drain under a larger one, which was measured too and held
out. Each repetition predicts for itself, so that its neighbours in time are all it rests on; the repetitions give the
interval of predicted over measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.cells import latest
from bench.analysis.ratio import Ratio, paired
from bench.record import Outcome, Run

QUOTA = "cluster.limits.task_manager_cpus"
RATE, CPU = "drain_eps", "flink_cpu_s_per_million_events"
# Of a quota, below which something else held the drain back: all of it, but for what lies between two samples. The
# JobManager, which no quota limits, is counted with Flink: what it takes hides as much that a TaskManager left unused
USED = 0.97
WITHIN = 0.15  # what a prediction may be off by to be of use for sizing


@dataclass(frozen=True)
class Drained:
    """One drain under a quota of `cpus`: events a second, CPU-seconds of Flink per million events."""

    cpus: float
    rate_eps: float
    cpu_s_per_million_events: float

    @property
    def used(self) -> float:
        """Of the quota, at most: a JobManager, which has none, is counted with Flink and lifts it, often above 1."""
        return self.rate_eps * self.cpu_s_per_million_events / 1e6 / self.cpus


@dataclass(frozen=True)
class Prediction:
    """Events a second at `cpus`, predicted from the quotas `fitted`, and measured; geometric means of repetitions.

    `ratio`: predicted over measured, paired by repetition. `fixed_cpus`: what a TaskManager takes of a core whatever
    the rate; `cpu_s_per_million_events`: what it takes beside that.
    """

    fitted: tuple[float, ...]
    cpus: float
    predicted_eps: float
    measured_eps: float
    fixed_cpus: float
    cpu_s_per_million_events: float
    ratio: Ratio
    drains: tuple[tuple[Drained, ...], ...]  # one tuple a repetition, by quota

    @property
    def times(self) -> float:
        """How far it reached: the held-out quota over the smallest."""
        return self.cpus / min(self.fitted)

    @property
    def off(self) -> float:
        """The most that predicted and measured differ by within the 95 % interval, as a share of the measured."""
        low, high = self.ratio.interval()
        return max(abs(low - 1), abs(high - 1))

    @property
    def held_back(self) -> tuple[float, ...]:
        """Quotas that the drains did not use up, so that something else was the limit: of them CPU predicts nothing."""
        by_quota = zip(*self.drains, strict=True)
        return tuple(of[0].cpus for of in by_quota if float(np.mean([each.used for each in of])) < USED)

    def sentence(self) -> str:
        """What a reader takes away."""
        low, high = (end - 1 for end in self.ratio.interval())
        from_ = ", ".join(f"{quota:g}" for quota in self.fitted)
        verdict = "as it has to within" if self.off <= WITHIN else "which is not shown to be within"
        verdict = f"{verdict} {WITHIN:.0%}"
        if self.held_back:
            idle = ", ".join(f"{quota:g}" for quota in self.held_back)
            verdict = f"which tests nothing: under {idle} of a core something else held the job back"
        return (
            f"From {from_} of a core, {self.cpus:g} was predicted to drain {self.predicted_eps:,.0f} events/s and "
            f"drained {self.measured_eps:,.0f}: {self.ratio.value - 1:+.1%} (95 % interval {low:+.1%} to {high:+.1%}, "
            f"{self.ratio.n} repetitions), {verdict}."
        )


def fit(drains: Sequence[Drained]) -> tuple[float, float]:
    """(CPU that is taken whatever the rate, in cores; CPU-seconds per million events beside it), by least squares.

    CPU per million events = per event + fixed x seconds per million events: a drain that takes four times as long pays
    for four times as many heartbeats. The left side is the quota x those seconds: what a TaskManager takes that uses up
    its quota. What Flink was seen to take has the JobManager in it, which the quota does not limit: a whole core was
    predicted to carry too little by that. ValueError with fewer than two quotas.
    """
    if len({each.cpus for each in drains}) < 2:
        raise ValueError("a prediction needs at least two quotas to fit")
    seconds = np.array([1e6 / each.rate_eps for each in drains])
    cpu = np.array([each.cpus for each in drains]) * seconds
    fixed, per_event = np.polyfit(seconds, cpu, 1)
    return float(fixed), float(per_event)


def predicted_eps(drains: Sequence[Drained], cpus: float) -> float:
    """Events a second under a quota of `cpus`, from drains under smaller ones, which used up what they were given."""
    fixed, per_event = fit(drains)
    return (cpus - fixed) / per_event * 1e6


def predict(runs: Sequence[Run]) -> Prediction | None:
    """From drains of one load whose only knob is the quota: the largest is held out; None where that is not there.

    Needs three quotas and two repetitions in which every one of them finished.
    """
    by_repetition: dict[int, dict[float, Drained]] = {}
    quotas: set[float] = set()
    for run in latest(runs):
        rate, cpu = run.metrics.get(RATE), run.metrics.get(CPU)
        if list(run.knobs) != [QUOTA]:
            return None
        quota = float(run.knobs[QUOTA])  # type: ignore[arg-type]
        quotas.add(quota)
        if run.outcome is Outcome.FINISHED and rate is not None and cpu is not None:
            by_repetition.setdefault(run.repetition, {})[quota] = Drained(quota, rate.value, cpu.value)
    whole = [tuple(of[q] for q in sorted(quotas)) for _, of in sorted(by_repetition.items()) if len(of) == len(quotas)]
    if len(quotas) < 3 or len(whole) < 2:
        return None
    return held_out(whole)


def held_out(repetitions: Sequence[Sequence[Drained]]) -> Prediction | None:
    """The largest quota of each repetition from its others; None where two repetitions or a prediction are missing."""
    measured = [drains[-1].rate_eps for drains in repetitions]
    cpus = repetitions[0][-1].cpus
    predicted = [predicted_eps(drains[:-1], cpus) for drains in repetitions]
    ratio = paired(measured, predicted)
    if ratio is None:
        return None
    fits = [fit(drains[:-1]) for drains in repetitions]
    fixed, per_event = (float(np.mean(each)) for each in zip(*fits, strict=True))
    return Prediction(
        fitted=tuple(each.cpus for each in repetitions[0][:-1]),
        cpus=cpus,
        predicted_eps=ratio.base_mean * ratio.value,
        measured_eps=ratio.base_mean,
        fixed_cpus=fixed,
        cpu_s_per_million_events=per_event,
        ratio=ratio,
        drains=tuple(tuple(each) for each in repetitions),
    )
