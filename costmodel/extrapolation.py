"""How far a measurement reaches: sizes beyond it rest on CPU per event staying as it was, and how well that held.

A bill multiplies: so many CPU-seconds per million events at the measured rate, as many at any other. Where a study has
put that rule to the test (`bench.analysis.prediction`), its error stands beside every size that rests on it; where none
has, that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.analysis.prediction import WITHIN, Prediction
from costmodel.numbers import digits
from costmodel.usage import Usage

RECORDED = Path(__file__).resolve().parents[1] / "studies" / "prediction"
JOB = "processing.cpu_s_per_million_events"
CPU = ("broker.cpu_s_per_million_events", JOB)


@dataclass(frozen=True)
class Foretold:
    """A prediction that was put to the test, and the study that did it."""

    study: str
    prediction: Prediction

    @property
    def times(self) -> float:
        """How far beyond the largest load it was fitted to it held; 1 where it was not shown to: off, or held back."""
        found = self.prediction
        return found.cpus / max(found.fitted) if found.off <= WITHIN and not found.held_back else 1.0

    def sentence(self) -> str:
        """What stands beside a size that rests on measured CPU."""
        found = self.prediction
        study = f"({self.study}, {found.ratio.n} repetitions)"
        if found.held_back:
            return f"sizes from CPU per event: their test says nothing, CPU was not what held its drains back {study}"
        if found.off > WITHIN:
            off = f"off by up to {found.off:.0%} {study}"
            return f"sizes from CPU per event: not shown to hold within {WITHIN:.0%}, {off}"
        within = f"predicted within {found.off:.0%} up to {self.times:.2g} times as much CPU"
        return f"sizes of Flink from CPU per event: {within} {study}; of brokers by the same rule, not tested on them"


NEVER = (
    "sizes from CPU per event: their prediction was never tested here (`streamgauge run prediction`, then "
    "`streamgauge gallery --keep results/prediction`)"
)


@cache
def recorded(folder: Path = RECORDED) -> Foretold | None:
    """What the recorded study says of predictions; None where there is none, or where it does not say."""
    if not folder.is_dir():
        return None
    from bench.analysis.prediction import predict  # with it come the readers of runs, which no usage file needs
    from bench.study import recall

    found = predict(recall(folder, judged=False).runs)
    return None if found is None else Foretold(f"{folder.parent.name}/{folder.name}", found)


@dataclass(frozen=True)
class Support:
    """Up to which rate (MB/s, raw) a usage's sizes are supported by measurements. 0: by none.

    `tested_mb_s`: up to where the rule that carries them further was tested; never less than `measured_mb_s`.
    """

    measured_mb_s: float
    tested_mb_s: float
    sentences: tuple[str, ...]

    def of(self, mb_s: float, role: str = "flink") -> str:
        """What a size at this rate rests on, in a word: measured, tested, computed. Brokers were never tested."""
        if mb_s <= self.measured_mb_s:
            return "measured"
        return "tested" if role == "flink" and mb_s <= self.tested_mb_s else "computed"


def measured(usage: Usage) -> list[str]:
    """Paths of what CPU per event was measured, where it is known at what rate; none where sizes rest on no run."""
    if usage.ingest.measured_at_mb_s is None:
        return []
    return [path for path, number in usage.numbers() if path in CPU and number.basis == "measured"]


def support(usage: Usage, test: Foretold | None) -> Support:
    """The range, and how it came about."""
    paths, at = measured(usage), usage.ingest.measured_at_mb_s
    if not paths or at is None:
        return Support(0.0, 0.0, ("No size here is supported by a measurement: CPU per event is assumed or given.",))
    reach = float(at.value)
    first = f"Measured at {reach:.3g} MB/s: {', '.join(paths)}."
    if test is None:
        return Support(reach, reach, (first, f"Beyond it computed; {NEVER}."))
    further = reach * test.times if JOB in paths else reach  # drains of a job say nothing of brokers
    if further <= reach:
        return Support(reach, reach, (first, f"Beyond it computed; {test.sentence()}."))
    return Support(reach, further, (first, f"Tested up to {further:.3g} MB/s: {test.sentence()}. Beyond it computed."))


@dataclass(frozen=True)
class Beside:
    """What must stand beside every size that measured CPU was carried to."""

    measured_at_eps: float
    times: float  # the priced events a second over the measured ones: CPU is per event, whatever its size
    test: Foretold | None

    def sentence(self) -> str:
        """With how far it was carried; beyond what was tested that is said too."""
        told = f"Priced at {self.times:.3g} times the measured rate ({digits(self.measured_at_eps)} events/s)"
        if self.test is None:
            return f"{told}; {NEVER}."
        beyond = "" if self.times <= self.test.times else ", and never tested beyond that"
        return f"{told}; {self.test.sentence()}{beyond}."


def beside(usage: Usage, folder: Path = RECORDED) -> Beside | None:
    """None where no size is carried beyond what was measured: at the measured rate, or where nothing was."""
    at, eps = usage.ingest.measured_at_mb_s, usage.ingest.measured_at_eps
    if at is None or eps is None or not measured(usage) or usage.ingest.mb_s.value <= at.value:
        return None
    return Beside(float(eps), float(usage.ingest.mb_s.value / at.value), recorded(folder))


def to_json(found: Beside) -> dict[str, Any]:
    """For `cost --json`: `tested` is null where no study has put it to the test."""
    test = found.test
    about = {"measured_at_eps": found.measured_at_eps, "times": found.times, "sentence": found.sentence()}
    if test is None:
        return {**about, "tested": None}
    low, high = test.prediction.ratio.interval()
    return {**about, "tested": {
        "study": test.study, "times": test.times, "off": test.prediction.off,
        "predicted_over_measured": test.prediction.ratio.value, "low": low, "high": high,
        "n": test.prediction.ratio.n,
    }}  # fmt: skip
