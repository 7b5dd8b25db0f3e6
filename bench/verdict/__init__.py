"""Claims + evidence -> verdicts. A claim is a file under scenarios/claims; evidence is runs and estimates.

    claims = load_claims(["over-partitioning-inflates-storage"])
    for verdict in judge(claims, Evidence(runs)):
        print(verdict.answer, verdict.sentence)

Nothing here raises on missing data, and missing data is never a pass.
"""

from __future__ import annotations

from bench.analysis.decide import Answer, Reason
from bench.verdict.claims import Claim, Comparison, Cost, Hypothesis, Planned, Threshold, Universal, load_claims
from bench.verdict.evidence import Evidence, of_cell
from bench.verdict.judging import Verdict, judge

__all__ = [
    "Answer",
    "Claim",
    "Comparison",
    "Cost",
    "Evidence",
    "Hypothesis",
    "Planned",
    "Reason",
    "Threshold",
    "Universal",
    "Verdict",
    "judge",
    "load_claims",
    "of_cell",
]
