"""From an interval to a word: supported, refuted (and how), or inconclusive. Three-valued on purpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from bench.analysis.ratio import Ratio, holm

Direction = Literal["increases", "decreases", "stays"]  # the last: by less than d either way


class Answer(StrEnum):
    """What may be said about a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE_HERE = "not testable here"


class Reason(StrEnum):
    """Why refuted, or why not decided."""

    NONE = ""
    NO_DIFFERENCE = "no difference"
    SMALLER = "smaller than claimed"
    OPPOSITE = "opposite"
    LARGER = "larger than claimed"
    COUNTER_EXAMPLE = "counter-example"
    NOT_MET = "threshold not met"
    UNLIKELY = "unlikely over the draws"
    TOO_FEW = "too few repeats"
    MISSING = "missing data"
    NOT_BUILT = "not yet run"
    NOT_COMPARABLE = "not comparable"
    ELSEWHERE = "decided elsewhere"


@dataclass(frozen=True)
class Decision:
    """A word and why."""

    answer: Answer
    reason: Reason = Reason.NONE


def log_limit(direction: Direction, d: float) -> float:
    """The claimed effect on the log scale: +5 % is log 1.05, -5 % is log 0.95. Of what stays, the upper of `within`."""
    if d < 0 or (direction == "decreases" and d >= 1):
        raise ValueError(f"{direction} by {d:.0%} is not a change")
    return float(np.log1p(-d) if direction == "decreases" else np.log1p(d))


def within(d: float) -> tuple[float, float]:
    """What stays within 25 % lies between log 0.75 and log 1.25: as wide as the sentence says, on either side."""
    return (float(np.log1p(-d)) if d < 1 else -math.inf), float(np.log1p(d))


def comparison(
    ratio: Ratio, direction: Direction, d: float, *, may_support: bool = True, may_refute: bool = True
) -> Decision:
    """Judges "the change moves the metric in `direction` by at least d" (a share).

    Supported: the 95 % interval lies beyond d. Refuted: the 90 % interval's bound on the claimed side falls short of d
    (one-sided 5 %); then, if it is short of d on the other side too, it is no difference (two one-sided tests, TOST),
    unless the 95 % interval excludes zero on the claimed side, which is a difference smaller than claimed; wholly on
    the other side it is the opposite.
    `may_support` and `may_refute` are what a correction for many hypotheses leaves of it. "stays" is the claim that
    there is no such effect either way: supported by two one-sided tests, refuted where the 95 % interval lies beyond d.
    """
    if direction == "stays":
        return _equivalence(ratio, within(d), may_support=may_support, may_refute=may_refute)
    limit = log_limit(direction, d)
    sign = 1.0 if direction == "increases" else -1.0
    limit *= sign
    low95, _ = _towards(sign, ratio.log_interval(0.95))
    low90, high90 = _towards(sign, ratio.log_interval(0.90))
    if low95 >= limit:
        return Decision(Answer.SUPPORTED) if may_support else Decision(Answer.INCONCLUSIVE, Reason.TOO_FEW)
    if high90 >= limit or not may_refute:
        return Decision(Answer.INCONCLUSIVE, Reason.TOO_FEW)
    if low90 > -float(np.log1p(d)):  # of a claimed -25 % too: +30 % is no equal, though it is 1 / 0.75 on a log scale
        return Decision(Answer.REFUTED, Reason.SMALLER if low95 > 0 else Reason.NO_DIFFERENCE)
    return Decision(Answer.REFUTED, Reason.OPPOSITE if high90 < 0 else Reason.SMALLER)


def _equivalence(ratio: Ratio, limits: tuple[float, float], *, may_support: bool, may_refute: bool) -> Decision:
    least, most = limits
    low90, high90 = ratio.log_interval(0.90)
    low95, high95 = ratio.log_interval(0.95)
    if may_support and least < low90 and high90 < most:
        return Decision(Answer.SUPPORTED)
    if may_refute and (low95 >= most or high95 <= least):
        return Decision(Answer.REFUTED, Reason.LARGER)
    return Decision(Answer.INCONCLUSIVE, Reason.TOO_FEW)


def comparisons(cases: Sequence[tuple[Ratio, Direction, float]]) -> list[Decision]:
    """The same for several hypotheses of one claim, Holm-corrected: false "supported" stays within 2.5 % of studies."""
    support, refute = [], []
    for ratio, direction, d in cases:
        limit = log_limit(direction, d)
        if direction == "stays":
            least, most = within(d)
            support.append(max(ratio.p_above(least), ratio.p_below(most)))
            refute.append(min(1.0, 2 * min(ratio.p_above(most), ratio.p_below(least))))
            continue
        up = direction == "increases"
        support.append(ratio.p_above(limit) if up else ratio.p_below(limit))
        refute.append(ratio.p_below(limit) if up else ratio.p_above(limit))
    supported, refuted = holm(support, 0.025), holm(refute, 0.05)
    return [
        comparison(*case, may_support=yes, may_refute=no)
        for case, yes, no in zip(cases, supported, refuted, strict=True)
    ]


def threshold(passes: Sequence[bool], k: int, n: int) -> Decision:
    """Judges "k of n valid runs meet it", as soon as nothing can change it; more than n runs keep the proportion."""
    total = max(n, len(passes))
    needed = int(np.ceil(k / n * total - 1e-9))
    met = sum(passes)
    if met >= needed:
        return Decision(Answer.SUPPORTED)
    if met + total - len(passes) < needed:
        return Decision(Answer.REFUTED, Reason.NOT_MET)
    return Decision(Answer.INCONCLUSIVE, Reason.TOO_FEW)


def universal(holds: Sequence[bool], fewest: int = 5) -> Decision:
    """Judges "always": refuted by a counter-example reproduced in a second run, supported so far by `fewest` runs."""
    against = len(holds) - sum(holds)
    if against >= 2:
        return Decision(Answer.REFUTED, Reason.COUNTER_EXAMPLE)
    if against == 0 and len(holds) >= fewest:
        return Decision(Answer.SUPPORTED)
    return Decision(Answer.INCONCLUSIVE, Reason.TOO_FEW)


def probability(p: float) -> Decision:
    """A cost claim by the share of draws in which it is true. Not a confidence level."""
    if p >= 0.95:
        return Decision(Answer.SUPPORTED)
    if p <= 0.05:
        return Decision(Answer.REFUTED, Reason.UNLIKELY)
    return Decision(Answer.INCONCLUSIVE)


def _towards(sign: float, interval: tuple[float, float]) -> tuple[float, float]:
    low, high = sorted((sign * interval[0], sign * interval[1]))
    return low, high
