"""One plain sentence for each verdict, and what an open one would take."""

from __future__ import annotations

import math

from bench.analysis import power
from bench.analysis.decide import Answer, Reason, log_limit, within
from bench.analysis.ratio import MOST
from bench.metrics import full_name
from bench.verdict.claims import Comparison, Hypothesis, Threshold, Universal
from bench.verdict.evidence import Finding

Needs = tuple[int | None, float | None]  # repeats in all, minutes for those that are still to run


def needed(hypothesis: Hypothesis, finding: Finding) -> Needs:
    """Repeats that would decide with 80 % power if what was seen is true, and the minutes for those still to run."""
    decision = finding.decision
    if decision is None or decision.answer is not Answer.INCONCLUSIVE or decision.reason is not Reason.TOO_FEW:
        return None, None
    total: int | None
    if isinstance(hypothesis, Comparison):
        arms, total = 2, _repeats(hypothesis, finding)
    else:
        arms, total = 1, hypothesis.n if isinstance(hypothesis, Threshold) else getattr(hypothesis, "fewest", 0)
    if total is None:
        return None, None
    total = max(total, finding.n + 1)
    return total, (total - finding.n) * arms * finding.run_s / 60


def _repeats(hypothesis: Comparison, finding: Finding) -> int | None:
    sign = -1.0 if hypothesis.direction == "decreases" else 1.0
    limit = abs(log_limit(hypothesis.direction, finding.d))
    if hypothesis.direction == "stays":  # whichever side it is on: to be told from the limit there is what it takes
        lower = (finding.ratio.log_mean if finding.ratio else math.log(finding.estimate or 1.0)) < 0
        sign, limit = (-1.0, -within(finding.d)[0]) if lower else (1.0, limit)
    if finding.ratio is None:  # one pair shows no spread: what clouds usually show
        return power.repeats_to_decide(sign * math.log(finding.estimate or 1.0), limit, power.sd_of_pairs(power.CV))
    sd = finding.ratio.se * math.sqrt(finding.ratio.n)
    return power.repeats_to_decide(sign * finding.ratio.log_mean, limit, sd)


def sentence(hypothesis: Hypothesis, finding: Finding, needs: Needs) -> str:
    """What was found, in the reader's terms, and what was not counted."""
    decision = finding.decision
    assert decision is not None
    if decision.answer is Answer.NOT_TESTABLE_HERE:
        return f"Not testable here: it needs {finding.missing}. {hypothesis.instead}"
    if decision.reason is Reason.NOT_BUILT:
        return f"Not yet run: {finding.missing}."
    word = str(decision.answer).capitalize()
    if finding.estimate is None:
        text = f"{word}: {finding.missing}" + (f"; it waits for {hypothesis.waits_for}" if hypothesis.waits_for else "")
    elif isinstance(hypothesis, Comparison):
        text = f"{word}: {_compared(hypothesis, finding, finding.estimate)}"
    elif isinstance(hypothesis, Threshold | Universal):
        text = f"{word}: {_counted(hypothesis, finding, finding.estimate)}"
    else:
        says = hypothesis.says.rstrip(".")
        text = f"{word}: {says}: true in {_percent(finding.estimate)} of {finding.n} draws"
    if decision.answer is Answer.INCONCLUSIVE and decision.reason is Reason.TOO_FEW:
        text += f"; {_takes(needs)}"
    return f"{text}.{_aside(finding)}"


def change(ratio: float, *, fine: bool = False) -> str:
    """A ratio as people say it: +12 %, -4.1 %, or x 3.4 from twice on. `fine`: with one digit more from 10 % on.

    Beyond a million times, which is where the interval of two runs that have nothing in common ends, it is no number.
    """
    if not ratio < MOST:
        return "any increase"
    return f"x {ratio:.{3 if fine else 2}g}" if ratio >= 2 else _percent(ratio - 1, "+", fine=fine)


def _percent(share: float, sign: str = "", *, fine: bool = False) -> str:
    """One digit behind the point below 10 %, none above: no more than a handful of runs can tell."""
    return f"{share:{sign}.{1 if fine or abs(share) < 0.0995 else 0}%}".replace("%", " %").replace(".0 %", " %")


def label(metric: str, stat: str = "value") -> str:
    """e2e_latency_ms, p99 -> "e2e latency p99"."""
    plain = metric
    for suffix in ("_ms", "_bytes", "_eps", "_share", "_s"):
        plain = plain.removesuffix(suffix)
    plain = plain.replace("_", " ").replace("cpu s per", "CPU-seconds per")
    return full_name(plain, stat)


def _compared(hypothesis: Comparison, finding: Finding, estimate: float) -> str:
    assert finding.decision is not None
    between = [(path, hypothesis.changed[path], was) for path, was in hypothesis.base.items()]
    arms = ", ".join(f"{path} {now} instead of {was}" for path, now, was in between if now != was)
    named = label(hypothesis.metric, hypothesis.stat)
    if finding.ratio is None:
        return f"{named} {change(estimate)} with {arms}, in a single pair of runs, which has no interval"
    stays = hypothesis.direction == "stays"
    refuted = finding.decision.answer is (Answer.SUPPORTED if stays else Answer.REFUTED)  # by one-sided tests
    low, high = finding.ratio.interval(0.90 if refuted else 0.95)
    fine = high - low < 0.03 * estimate  # whole percents would make one of a narrow interval's ends and its middle
    ends = f"{change(low, fine=fine)} to {change(high, fine=fine)}"
    seen = f"{named} {change(estimate, fine=fine)} with {arms} ({90 if refuted else 95} % interval {ends}, "
    seen += f"{finding.ratio.how})"
    claimed = change(1 - finding.d if hypothesis.direction == "decreases" else 1 + finding.d)
    if stays:
        claimed = f"{_percent(finding.d)} either way"
    ending = {
        Reason.NONE: f"within the {claimed} claimed" if stays else f"at least the {claimed} claimed",
        Reason.LARGER: f"more than the {claimed} claimed",
        Reason.NO_DIFFERENCE: f"no difference as large as {claimed}",
        Reason.SMALLER: f"less than the {claimed} claimed",
        Reason.OPPOSITE: f"the opposite of the {claimed} claimed",
    }
    shares = {"decreases": (-finding.d,), "increases": (finding.d,)}.get(hypothesis.direction, (-finding.d, finding.d))
    still_open = f"not told apart from {claimed}"
    if not any(low <= 1 + share <= high for share in shares):  # what is printed is one interval, what decides a family
        still_open = f"clear of {claimed} by itself, not as one of several questions (Holm's correction)"
    return f"{seen}, {ending.get(finding.decision.reason, still_open)}"


def _counted(hypothesis: Threshold | Universal, finding: Finding, estimate: float) -> str:
    says = hypothesis.says.rstrip(".")
    wanted = f"{hypothesis.k} of {hypothesis.n}" if isinstance(hypothesis, Threshold) else ""
    asked = f", {wanted} asked for" if wanted not in says else ""
    return f"{says}: so in {round(estimate * finding.n)} of {finding.n} runs{asked}"


def _takes(needs: Needs) -> str:
    repeats, minutes = needs
    if repeats is None:
        return "more repeats would hardly decide it, what was seen is too near the limit"
    more = max(1, math.ceil(minutes or 0))
    return f"needs {repeats} repeats in all, about {more} more minute{'' if more == 1 else 's'}"


def _aside(finding: Finding) -> str:
    parts = []
    if finding.left_out:
        runs = "run was" if finding.left_out == 1 else "runs were"
        parts.append(f"{finding.left_out} {runs} left out: {finding.left_out_for}")
    if finding.unknown:
        parts.append(f"{finding.unknown} could not be judged: the metric is missing")
    return f" ({'; '.join(parts)}.)" if parts else ""
