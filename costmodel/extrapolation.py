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

from bench.analysis.prediction import Prediction
from costmodel.usage import Usage

RECORDED = Path(__file__).resolve().parents[1] / "studies" / "prediction"
CPU = ("broker.cpu_s_per_million_events", "processing.cpu_s_per_million_events")


@dataclass(frozen=True)
class Foretold:
    """A prediction that was put to the test, and the study that did it."""

    study: str
    prediction: Prediction

    def sentence(self) -> str:
        """What stands beside a size that rests on measured CPU."""
        found = self.prediction
        return (
            f"sizes from CPU per event: predicted within {found.off:.0%} up to {found.times:.2g} times as much CPU "
            f"({self.study}, {found.ratio.n} repetitions)"
        )


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

    def of(self, mb_s: float) -> str:
        """What a size at this rate rests on, in a word: measured, tested, computed."""
        return "measured" if mb_s <= self.measured_mb_s else "tested" if mb_s <= self.tested_mb_s else "computed"


def support(usage: Usage, test: Foretold | None) -> Support:
    """The range, and how it came about."""
    at = usage.ingest.measured_at_mb_s
    measured = [path for path, number in usage.numbers() if path in CPU and number.basis == "measured"]
    if at is None or not measured:
        return Support(0.0, 0.0, ("No size here is supported by a measurement: CPU per event is assumed or given.",))
    reach = float(at.value)
    first = f"Measured at {reach:.3g} MB/s: {', '.join(measured)}."
    if test is None:
        return Support(reach, reach, (first, f"Beyond it computed; {NEVER}."))
    further = reach * test.prediction.times
    return Support(reach, further, (first, f"Tested up to {further:.3g} MB/s: {test.sentence()}. Beyond it computed."))


def beside(usage: Usage, test: Foretold | None) -> str | None:
    """What must stand beside a bill whose size rests on CPU per event; None where the rate is the measured one."""
    at = usage.ingest.measured_at_mb_s
    if at is not None and usage.ingest.mb_s.value <= at.value:
        return None
    return NEVER if test is None else test.sentence()


def to_json(test: Foretold | None) -> dict[str, Any] | None:
    """For `--json`."""
    if test is None:
        return None
    found = test.prediction
    low, high = found.ratio.interval()
    return {"study": test.study, "times": found.times, "off": found.off, "ratio": found.ratio.value, "low": low,
            "high": high, "n": found.ratio.n}  # fmt: skip
