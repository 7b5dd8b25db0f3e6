"""From what the evidence says to verdicts: one correction per claim, one sentence per hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.analysis import decide
from bench.analysis.cells import latest
from bench.analysis.decide import Answer, Reason
from bench.record import Run
from bench.verdict import wording
from bench.verdict.claims import Claim, Comparison, Hypothesis
from bench.verdict.evidence import Evidence, Finding, look


@dataclass(frozen=True)
class Verdict:
    """One hypothesis judged. `quoted` is the claim verbatim, `sentence` one plain sentence for a reader.

    `estimate`, `low`, `high`: a ratio (changed over base) with its 95 % interval, a share of runs that met the
    conditions, or a probability over draws, as `kind` says; None where there is nothing. `n`: pairs, runs or draws.
    `left_out`: runs of its cells that are no evidence (not finished, or with wrong outputs).
    """

    claim: str
    hypothesis: str
    primary: bool  # this one is the claim's verdict
    quoted: str
    verdict: Answer
    reason: Reason
    kind: str
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    left_out: int
    sentence: str
    needs_repeats: int | None = None
    needs_minutes: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For `run --json`: plain strings, numbers and null."""
        return {name: str(value) if isinstance(value, str) else value for name, value in asdict(self).items()}


def judge(claims: Iterable[Claim], evidence: Evidence | Sequence[Run]) -> list[Verdict]:
    """A verdict for each hypothesis, each claim's primary one first. Missing data is inconclusive, never a pass."""
    known = evidence if isinstance(evidence, Evidence) else Evidence(evidence)
    return [verdict for claim in claims for verdict in _judge(claim, known)]


def _judge(claim: Claim, evidence: Evidence) -> list[Verdict]:
    runs = _best_scenario(claim, evidence.runs)
    ordered = sorted(claim.hypotheses, key=lambda h: not h.primary)
    first, *others = [(hypothesis, look(hypothesis, runs, evidence)) for hypothesis in ordered]
    decided = [*_corrected([first]), *_corrected(others)]
    return [_verdict(claim, hypothesis, finding) for hypothesis, finding in decided]


def _corrected(found: Sequence[tuple[Hypothesis, Finding]]) -> list[tuple[Hypothesis, Finding]]:
    """The comparisons among them decided as one family: Holm's correction over those that have an estimate."""
    family = [
        (finding.ratio, hypothesis.direction, finding.d)
        for hypothesis, finding in found
        if finding.decision is None and finding.ratio and isinstance(hypothesis, Comparison)
    ]
    decisions = iter(decide.comparisons(family))
    return [
        (hypothesis, finding if finding.decision else replace(finding, decision=next(decisions)))
        for hypothesis, finding in found
    ]


def _best_scenario(claim: Claim, runs: Sequence[Run]) -> list[Run]:
    """Runs of one scenario only: the first that the claim names and that ran, else the first that ran."""
    ran = list(dict.fromkeys(run.scenario for run in runs))
    best = next((name for name in claim.decided_by if name in ran), ran[0] if ran else "")
    return [run for run in latest(runs) if run.scenario == best]


def _verdict(claim: Claim, hypothesis: Hypothesis, finding: Finding) -> Verdict:
    assert finding.decision is not None
    repeats, minutes = wording.needed(hypothesis, finding)
    return Verdict(
        claim=claim.claim,
        hypothesis=hypothesis.name,
        primary=hypothesis.primary,
        quoted=claim.sentence,
        verdict=finding.decision.answer,
        reason=finding.decision.reason,
        kind=finding.kind,
        estimate=finding.estimate,
        low=finding.low,
        high=finding.high,
        n=finding.n,
        left_out=finding.left_out,
        sentence=wording.sentence(hypothesis, finding, (repeats, minutes)),
        needs_repeats=repeats,
        needs_minutes=minutes,
    )
