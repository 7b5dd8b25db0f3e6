"""Which runs may speak on a hypothesis, paired how, and what they say: numbers and a decision, no words yet."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from bench.analysis import decide, ratio
from bench.analysis.decide import Answer, Decision, Reason
from bench.analysis.intervals import Estimate
from bench.analysis.thresholds import meets, stat_of
from bench.environment import COMPARED
from bench.metrics import full_name
from bench.record import Knob, Outcome, Run
from bench.scenario.words import parse_threshold
from bench.verdict.claims import Comparison, Cost, Hypothesis, Planned, Range, Threshold, Universal


@dataclass(frozen=True)
class Evidence:
    """What may speak: runs, estimates made elsewhere (bills) by name, and what the host of the runs `has`."""

    runs: Sequence[Run] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    has: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Finding:
    """What the evidence says on one hypothesis. `decision` is None while a comparison waits for its correction."""

    decision: Decision | None = None
    kind: str = ""  # of the estimate: ratio, share of runs, probability
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0  # pairs, runs or draws
    left_out: int = 0  # runs of its cells that are no evidence
    left_out_for: str = ""  # "2 invalid, 1 crashed"
    unknown: int = 0  # runs or pairs that lack the metric
    missing: str = ""  # what is not there, when there is no estimate
    run_s: float = 0.0  # how long a run takes
    ratio: ratio.Ratio | None = None
    d: float = 0.0  # the least effect claimed, a share


class _MissingError(Exception):
    """Something without which there is no estimate. Never leaves this module."""

    def __init__(self, what: str, reason: Reason = Reason.MISSING) -> None:
        super().__init__(what)
        self.reason = reason


def look(hypothesis: Hypothesis, runs: Sequence[Run], evidence: Evidence) -> Finding:
    """What the evidence says. `runs` are of one scenario, each trial once. Never raises on what is missing."""
    lacking = [need for need in hypothesis.needs if need not in evidence.has]
    if lacking:
        return Finding(Decision(Answer.NOT_TESTABLE_HERE, Reason.ELSEWHERE), missing=" and ".join(lacking))
    if isinstance(hypothesis, Planned):
        return Finding(Decision(Answer.INCONCLUSIVE, Reason.NOT_BUILT), missing=f"it waits for {hypothesis.waits_for}")
    cell = [] if isinstance(hypothesis, Cost) else of_cell(hypothesis, runs)  # no run speaks on a bill, nor is left out
    speaking = [run for run in cell if is_evidence(run)]
    try:
        if isinstance(hypothesis, Cost):
            return _draws(hypothesis, evidence.estimates)
        _refuse_mixed(speaking)
        if isinstance(hypothesis, Comparison):
            finding = _compared(hypothesis, speaking)
        else:
            finding = _counted(hypothesis, speaking)
    except _MissingError as missing:
        finding = Finding(Decision(Answer.INCONCLUSIVE, missing.reason), missing=str(missing))
    others = Counter("with wrong outputs" if run.outcome is Outcome.FINISHED else str(run.outcome)
                     for run in cell if not is_evidence(run))  # fmt: skip
    how = ", ".join(f"{count} {outcome}" for outcome, count in others.most_common())
    return replace(finding, left_out=others.total(), left_out_for=how)


def of_cell(hypothesis: Hypothesis, runs: Sequence[Run]) -> list[Run]:
    """The runs that a hypothesis is about, whatever became of them."""
    arms = [hypothesis.base, hypothesis.changed] if isinstance(hypothesis, Comparison) else [{}]
    return [run for run in runs if _in_cell(run, hypothesis) and any(_set_to(run, arm) for arm in arms)]


def differing_fields(runs: Sequence[Run]) -> list[str]:
    """Checked fields of the environment that are not the same in all runs, the backend among them."""
    fields = [name for name in COMPARED if len({str(run.environment.get(name)) for run in runs}) > 1]
    apart = len({run.backend for run in runs}) > 1 and "backend" not in fields
    return [*fields, "backend"] if apart else fields


def _refuse_mixed(speaking: Sequence[Run]) -> None:
    if differing := differing_fields(speaking):
        what = f"the runs are from different environments ({', '.join(differing)})"
        raise _MissingError(what, Reason.NOT_COMPARABLE)


def is_evidence(run: Run) -> bool:
    """Finished, and its outputs agree with the oracle: a job that answers wrongly has no latency."""
    return run.outcome is Outcome.FINISHED and all(check.ok for check in run.checks)


def _draws(hypothesis: Cost, estimates: Mapping[str, Estimate]) -> Finding:
    found = estimates.get(hypothesis.probability)
    if found is None or found.kind != "probability" or not 0 <= found.value <= 1:
        told = "bills decide this and not runs, and none were simulated here: `streamgauge cost --claims` does"
        raise _MissingError(f"there is no probability {hypothesis.probability}: {told}")
    return Finding(decide.probability(found.value), "probability", found.value, found.low, found.high, found.n)


def _counted(hypothesis: Threshold | Universal, speaking: Sequence[Run]) -> Finding:
    if not speaking:
        raise _MissingError("there is no finished run of its cell")
    conditions = [parse_threshold(text) for text in hypothesis.holds]
    answers = [_all(meets(run, condition) for condition in conditions) for run in speaking]
    known = [answer for answer in answers if answer is not None]
    if not known:
        names = ", ".join(dict.fromkeys(condition.metric for condition in conditions))
        raise _MissingError(f"{names} cannot be judged in any of {len(speaking)} runs, something is missing there")
    if isinstance(hypothesis, Threshold):
        decision = decide.threshold(known, hypothesis.k, hypothesis.n)
    else:
        decision = decide.universal(known, hypothesis.fewest)
    share = sum(known) / len(known)
    run_s = median(run.duration_s for run in speaking)
    unknown = len(answers) - len(known)
    return Finding(decision, "share of runs", share, n=len(known), unknown=unknown, run_s=run_s)


def _compared(hypothesis: Comparison, speaking: Sequence[Run]) -> Finding:
    pairs = _pairs(hypothesis, speaking)
    metric, stat = hypothesis.metric, hypothesis.stat
    values = [(stat_of(a, metric, stat), stat_of(b, metric, stat)) for a, b in pairs]
    whole = [(x, y) for x, y in values if x is not None and y is not None]
    named = full_name(metric, stat)
    if not whole:
        raise _MissingError(f"{named} is missing in all {len(pairs)} pairs")
    base, changed = [x for x, _ in whole], [y for _, y in whole]
    if min(*base, *changed) <= 0:
        raise _MissingError(f"{named} is not positive in some runs, so that a ratio means nothing")
    measured = ratio.paired(base, changed, stat)
    finding = Finding(
        kind="ratio", n=len(whole), unknown=len(values) - len(whole), ratio=measured,
        run_s=median(run.duration_s for pair in pairs for run in pair),
    )  # fmt: skip
    if measured is None:  # one pair: a difference without any idea of its spread
        open_ = Decision(Answer.INCONCLUSIVE, Reason.TOO_FEW)
        d = hypothesis.effect.share_of(base[0])
        return replace(finding, decision=open_, estimate=changed[0] / base[0], d=d)
    low, high = measured.interval(0.95)
    d = hypothesis.effect.share_of(measured.base_mean)
    return replace(finding, estimate=measured.value, low=low, high=high, d=d)


def _pairs(hypothesis: Comparison, speaking: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Neighbours in time, one of each arm: the same repetition with everything else the same."""

    def rest(run: Run) -> tuple[tuple[str, str], ...]:
        others = {path: str(value) for path, value in run.knobs.items() if path not in hypothesis.base}
        return tuple(sorted({**others, "load": run.load}.items()))

    arms = [[run for run in speaking if _set_to(run, arm)] for arm in (hypothesis.base, hypothesis.changed)]
    for runs, arm in zip(arms, (hypothesis.base, hypothesis.changed), strict=True):
        if not runs:
            settings = ", ".join(f"{path} = {value}" for path, value in arm.items())
            raise _MissingError(f"there is no finished run with {settings}")
    base, changed = arms
    both = [cell for cell in dict.fromkeys(map(rest, base)) if cell in set(map(rest, changed))]
    if not both:
        raise _MissingError("no two runs differ in nothing else")
    if len(both) > 1:
        paths = sorted({path for a, b in itertools.pairwise(both) for path, _ in set(a) ^ set(b)})
        raise _MissingError(f"several cells fit, and the claim does not say which ({', '.join(paths)})")
    partner = {run.repetition: run for run in changed if rest(run) == both[0]}
    pairs = [(run, partner[run.repetition]) for run in base if rest(run) == both[0] and run.repetition in partner]
    if not pairs:
        raise _MissingError("no repetition finished in both arms")
    return pairs


def _in_cell(run: Run, hypothesis: Hypothesis) -> bool:
    if hypothesis.loads and run.load not in hypothesis.loads:
        return False
    return all(_fits(_lookup(run, path), wanted) for path, wanted in hypothesis.where.items())


def _fits(value: Any, wanted: Knob | Range) -> bool:
    if not isinstance(wanted, Range):
        return bool(value == wanted)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (wanted.min is None or value >= wanted.min) and (wanted.max is None or value <= wanted.max)


def _set_to(run: Run, arm: Mapping[str, Knob]) -> bool:
    return all(_lookup(run, path) == value for path, value in arm.items())


def _lookup(run: Run, path: str) -> Any:
    """A knob, or else what the settings say at a dotted path; None where there is nothing."""
    if path in run.knobs:
        return run.knobs[path]
    here: Any = run.settings
    for word in path.split("."):
        here = here.get(word) if isinstance(here, Mapping) else None
    return here


def _all(answers: Iterable[bool | None]) -> bool | None:
    """False if any is, else unknown if any is."""
    seen = list(answers)
    if False in seen:
        return False
    return None if None in seen else True
