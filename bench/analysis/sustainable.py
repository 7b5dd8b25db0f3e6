"""Is a rate sustainable? Every criterion with its reason; what is missing never passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.analysis.slope import Slope, theil_sen
from bench.analysis.steady import MISSING_LIMIT, State, Steadiness
from bench.analysis.thresholds import meets, stat_of
from bench.record import Criterion, Run
from bench.record import Outcome as Ended
from bench.scenario.words import Threshold

if TYPE_CHECKING:
    import pandas as pd

SLOPE_LIMIT = 0.01  # of the offered rate: slower growth would take 100 s to put one second behind
BACKLOG_LIMIT_S = 2.0  # of load
OUTPUT_LIMIT = 0.99
GROWTH_LIMIT = 0.10  # of the latency's own level over the window; less is noise of the percentile itself

F64 = npt.NDArray[np.float64]


class Outcome(StrEnum):
    """What a trial at a rate says about that rate."""

    PASS = "pass"  # noqa: S105 -- no password
    FAIL = "fail"
    INVALID = "invalid"  # nothing: the generator or the host fell short


class Reader(StrEnum):
    """Who reads the topic: whether there are backlogs, checkpoints and restarts to judge at all."""

    JOB = "job"
    CONSUMERS = "consumers"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Assessment:
    """All criteria of one trial; `reasons` are the details of those that were not met, or why it is invalid."""

    outcome: Outcome
    criteria: tuple[Criterion, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it did not pass."""
        return tuple(criterion.detail for criterion in self.criteria if not criterion.ok)


@dataclass(frozen=True)
class Series:
    """Samples over time: seconds, and a value with NaN where one is missing."""

    t_s: F64
    value: F64

    @property
    def missing(self) -> float:
        """Share of samples that are not there."""
        return 1.0 - float(np.isfinite(self.value).mean()) if self.value.size else 1.0


NONE = Series(np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Observed:
    """What a trial at a constant rate showed in its measured window. None and NaN are missing.

    `generator`: "" if it proved itself, else why not. `output_share`: output over what the oracle expects; where nobody
    reads, acknowledged over offered. `latency`: p99 of each second (ms) by due time. `slo`: thresholds, whether met.
    """

    offered_eps: float | None
    generator: str | None
    backlog: Series = NONE
    output_share: float | None = None
    latency: Series = NONE
    slo: Mapping[str, bool | None] = field(default_factory=dict)
    reader: Reader = Reader.JOB
    checkpoints_failed: float | None = None
    restarts: float | None = None
    steady: Steadiness | None = None
    wrong: tuple[str, ...] = ()  # what the oracle says against the outputs


def assess(seen: Observed) -> Assessment:
    """Sustainable is all of: generator valid, backlog not growing and small, outputs complete, latency within its limit
    and not growing, steady, no failed checkpoint, no restart. Each is judged, so that a reader sees every reason.
    """
    generator = _generator(seen)
    criteria = [generator]
    if seen.reader is not Reader.NOBODY:
        criteria += [_slope(seen), _final_backlog(seen)]
    criteria += [_outputs(seen), *_slo(seen), _latency_growth(seen)]
    if seen.steady is not None:
        steady = seen.steady.state is State.STEADY
        criteria.append(Criterion("steady state", steady, seen.steady.reason or "steady"))
    if seen.reader is Reader.JOB:
        criteria += [_none("failed checkpoints", seen.checkpoints_failed), _none("restarts", seen.restarts)]
    if not generator.ok:
        return Assessment(Outcome.INVALID, tuple(criteria))
    return Assessment(Outcome.PASS if all(c.ok for c in criteria) else Outcome.FAIL, tuple(criteria))


def of_run(
    run: Run,
    series: Mapping[str, pd.DataFrame],
    thresholds: Sequence[Threshold],
    *,
    from_s: float,
    to_s: float,
    generator: str | None = None,
) -> Assessment:
    """The assessment of a recorded run: its metrics, and of its series `backlog_events` and `e2e_latency_ms`.

    `e2e_latency_ms` is the p99 of each second; `from_s` and `to_s` bound the measured window on the series' clock.
    `generator`: why it proved nothing, "" if it kept its schedule; None: not told apart, so that any invalid run says
    nothing about its rate. One that crashed failed at it.
    """
    if run.outcome is Ended.CRASHED:
        return Assessment(Outcome.FAIL, (Criterion("run", ok=False, detail=f"crashed: {run.reason}"),))
    told = Ended.FINISHED if generator is None else Ended.INVALID
    if run.outcome not in (Ended.FINISHED, told):
        return Assessment(Outcome.INVALID, (Criterion("run", ok=False, detail=f"{run.outcome}: {run.reason}"),))

    def value(name: str) -> float | None:
        return stat_of(run, name, "value")

    def part(name: str) -> Series:
        if name not in series:
            return NONE
        t_s, values = (series[name][column].to_numpy(dtype=float) for column in ("t_s", "value"))
        inside = (t_s >= from_s) & (t_s <= to_s)
        return Series(t_s[inside], values[inside])

    reader = Reader.JOB if run.settings.get("pipeline") else Reader.CONSUMERS
    offered, acknowledged = value("offered_eps"), value("acknowledged_eps")
    share = value("output_share")
    if reader is Reader.CONSUMERS and not run.settings.get("consumers"):
        reader = Reader.NOBODY
        share = acknowledged / offered if acknowledged is not None and offered else None
    seen = Observed(
        offered_eps=offered,
        generator=generator or "",  # not told: else the run would be invalid
        backlog=part("backlog_events"),
        output_share=share,
        latency=part("e2e_latency_ms"),
        slo={str(threshold): meets(run, threshold) for threshold in thresholds},
        reader=reader,
        checkpoints_failed=value("checkpoints_failed"),
        restarts=value("restarts"),
        wrong=tuple(check.sentence for check in run.checks if not check.ok),
    )
    return assess(seen)


def _generator(seen: Observed) -> Criterion:
    if seen.generator is None or seen.offered_eps is None:
        return Criterion("generator", ok=False, detail="nothing says whether the generator kept its schedule")
    return Criterion("generator", seen.generator == "", seen.generator or "kept its schedule")


def _slope(seen: Observed) -> Criterion:
    name = "backlog slope"
    if (missing := seen.backlog.missing) > MISSING_LIMIT:
        return Criterion(name, ok=False, detail=f"{missing:.0%} of the backlog's samples are missing")
    slope: Slope | None = theil_sen(seen.backlog.t_s, seen.backlog.value)
    if slope is None or not seen.offered_eps:
        return Criterion(name, ok=False, detail=f"{seen.backlog.value.size} samples of the backlog give no slope")
    if not np.isfinite(slope.high):
        return Criterion(name, ok=False, detail=f"{_together(slope, 'backlog')} put no bound on its growth")
    share = slope.high / seen.offered_eps
    detail = f"backlog grows by at most {slope.high:.0f} events/s, {share:.1%} of the load (limit {SLOPE_LIMIT:.0%})"
    return Criterion(name, share < SLOPE_LIMIT, detail)


def _final_backlog(seen: Observed) -> Criterion:
    name = "final backlog"
    last = float(seen.backlog.value[-1]) if seen.backlog.value.size else float("nan")
    if not np.isfinite(last) or not seen.offered_eps:
        return Criterion(name, ok=False, detail="the last sample of the backlog is missing")
    behind_s = last / seen.offered_eps
    return Criterion(name, behind_s < BACKLOG_LIMIT_S, f"{behind_s:.2f} s of load behind (limit {BACKLOG_LIMIT_S:g} s)")


def _outputs(seen: Observed) -> Criterion:
    name = "outputs"
    if seen.wrong:
        return Criterion(name, ok=False, detail=f"the oracle disagrees: {'; '.join(seen.wrong)}")
    if seen.output_share is None or not np.isfinite(seen.output_share):
        return Criterion(name, ok=False, detail="nothing says how much of the output arrived")
    detail = f"{seen.output_share:.2%} of the expected output arrived (limit {OUTPUT_LIMIT:.0%})"
    return Criterion(name, seen.output_share >= OUTPUT_LIMIT, detail)


def _slo(seen: Observed) -> list[Criterion]:
    words = {True: "met", False: "not met", None: "cannot be judged, something is missing"}
    return [Criterion("threshold", met is True, f"{text}: {words[met]}") for text, met in seen.slo.items()]


def _together(slope: Slope, what: str) -> str:
    return f"{slope.n} samples of the {what} that move together (worth {max(slope.effective_n, 1.0):.0f} independent)"


def _latency_growth(seen: Observed) -> Criterion:
    name = "latency growth"
    slope = theil_sen(seen.latency.t_s, seen.latency.value)
    if seen.latency.missing > MISSING_LIMIT or slope is None:
        return Criterion(name, ok=False, detail="too few samples of the latency to see whether it grows")
    level = float(np.nanmedian(seen.latency.value))
    if not np.isfinite(slope.low):
        detail = f"{_together(slope, 'latency')} do not show it to grow, at a level of {level:.0f} ms"
        return Criterion(name, ok=True, detail=detail)
    grown = slope.low * float(np.ptp(seen.latency.t_s))  # at least this much over the window
    detail = f"latency grows by at least {max(grown, 0.0):.0f} ms over the window at a level of {level:.0f} ms"
    return Criterion(name, grown <= GROWTH_LIMIT * max(level, 0.0), detail)


def _none(name: str, count: float | None) -> Criterion:
    if count is None or not np.isfinite(count):
        return Criterion(name, ok=False, detail=f"nothing says how many {name} there were")
    return Criterion(name, count == 0, f"{count:g} {name}")
