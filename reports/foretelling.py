"""What a larger share of a core was predicted to carry, and what it did: the test that sizes from CPU rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from bench.analysis.intervals import mean_interval
from bench.analysis.prediction import QUOTA, WITHIN, Prediction, predict, predicted_eps
from bench.record import Run
from reports import wording
from reports.details import bare
from reports.evidence import FEWEST, Evidence, machine
from reports.report import (
    Column,
    Estimated,
    IntervalPanel,
    Intervals,
    Number,
    Paragraph,
    Section,
    Source,
    Table,
    Tone,
    Words,
    said,
)

_DOTS = "Small dots: single repetitions, each of which predicts for itself."


def section(evidence: Evidence) -> Section | None:
    """Of a study whose knob is the quota of a TaskManager; None for any other."""
    if not any(QUOTA in run.knobs for run in evidence.runs):
        return None
    found = predict(evidence.runs)
    if found is None:
        block: Any = said(
            "Nothing is predicted yet: it takes three quotas, each finished in two repetitions.", Tone.UNSURE
        )
        return Section("prediction", "Does part of a core tell what a whole one carries?", (block,))
    blocks = (_verdict(found), *_held_back(found), _table(found), _figure(found, evidence.runs))
    return Section("prediction", "Does part of a core tell what a whole one carries?", blocks)


def answers(evidence: Evidence) -> Iterator[Paragraph]:
    """What a study of quotas was run for, for the top of its page."""
    found = predict(evidence.runs) if any(QUOTA in run.knobs for run in evidence.runs) else None
    if found is not None:
        yield _verdict(found)


def _verdict(found: Prediction) -> Paragraph:
    low, high = found.ratio.interval()
    ends = [_share(end - 1, f"{name} - 1") for end, name in ((low, "low"), (high, "high"))]
    quotas = wording.listed([f"{quota:g}" for quota in found.fitted])
    words: Words = (
        f"From {quotas} of a core, {found.cpus:g} was predicted to drain ",
        _number(found.predicted_eps, "events/s", "predicted_eps"), " and drained ",
        _number(found.measured_eps, "events/s", "measured_eps"), ": ", _share(found.ratio.value - 1, "ratio - 1"),
        " (95 % interval ", ends[0], " to ", ends[1], ", ", _number(found.ratio.n, "", "repetitions"), " repetitions)",
    )  # fmt: skip
    limit = wording.percent(WITHIN)
    if found.off <= WITHIN and not found.held_back:
        return Paragraph((*words, f". That is within the {limit} that sizing can live with."), Tone.GOOD)
    if low - 1 > WITHIN or high - 1 < -WITHIN:
        return Paragraph((*words, f": further off than {limit}, so that sizes from CPU per event mislead."), Tone.BAD)
    return Paragraph((*words, f": whether it is within {limit} is open."), Tone.UNSURE)


def _held_back(found: Prediction) -> Iterator[Paragraph]:
    if found.held_back:
        quotas = wording.listed([f"{quota:g}" for quota in found.held_back])
        yield said(
            f"Under {quotas} the job did not use up its quota: something else held it back (the broker's core, a busy "
            "machine), and of that CPU predicts nothing. Run it again on a quiet machine.",
            Tone.WARNING,
        )


def _table(found: Prediction) -> Table:
    rows: list[tuple[Words, ...]] = []
    for drains in zip(*found.drains, strict=True):
        quota = drains[0].cpus
        rate, cpu = fmean(each.rate_eps for each in drains), fmean(each.cpu_s_per_million_events for each in drains)
        told = _predicted(found, quota)
        rows.append((
            (f"{quota:g}",), (_bare(rate, "events/s", f"drained {quota:g}"),),
            (_bare(told, "events/s", f"predicted {quota:g}"),), ("held out" if quota == found.cpus else "fitted",),
            (_bare(cpu, "CPU-s", f"cpu {quota:g}"),),
        ))  # fmt: skip
    columns = (
        Column("cores"), Column("drained", "events/s", numeric=True), Column("by the fit", "events/s", numeric=True),
        Column(""), Column("Flink CPU", "CPU-s/1M events", numeric=True),
    )  # fmt: skip
    note = (
        "The fit, mean of the repetitions': a TaskManager takes "
        f"{wording.digits(found.cpu_s_per_million_events)} CPU-seconds per million events and "
        f"{wording.digits(found.fixed_cpus)} of a core whatever the rate. In Flink's CPU is the JobManager's, which no "
        "quota limits."
    )
    return Table("prediction", "Drains by quota, means of the repetitions", columns, tuple(rows), note)


def _figure(found: Prediction, runs: Sequence[Run]) -> Intervals:
    """Every repetition's drains as dots below their mean, and beside the held-out ones what was predicted for them."""
    columns: list[tuple[str, list[float]]] = [
        (f"{drains[0].cpus:g} of a core", [each.rate_eps for each in drains])
        for drains in zip(*found.drains, strict=True)
    ]
    told = [predicted_eps(drains[:-1], found.cpus) for drains in found.drains]
    columns = [*columns[:-1], (f"{found.cpus:g}, predicted", told), (f"{found.cpus:g}, drained", columns[-1][1])]
    arms = []
    for name, values in columns:
        mean, low, high = mean_interval(values)
        shown = (low, high) if len(values) >= FEWEST else (None, None)
        arms.append(Estimated(name, None, mean, *shown, tuple(values), _source(name)))
    return Intervals(
        key="prediction",
        title="Drained under each quota, and predicted from the smaller ones",
        alt=(found.sentence(),),
        note=(f"Large marks: means, with 95 % intervals from {FEWEST} repetitions on. {_DOTS} {machine(runs)}.",),
        axis="quota of the TaskManager",
        panels=(IntervalPanel("drain rate", "events/s", tuple(arms)),),
    )


def _predicted(found: Prediction, quota: float) -> float:
    return fmean(predicted_eps(drains[:-1], quota) for drains in found.drains)


def _number(value: float, unit: str, of: str) -> Number:
    return wording.number(value, unit, _source(of))


def _bare(value: float, unit: str, of: str) -> Number:
    return bare(wording.number(value, unit, _source(of)), 1.0)


def _share(value: float, of: str) -> Number:
    return Number(value, f"{value:+.1%}", "share", _source(of))


def _source(of: str) -> Source:
    return Source("derived", "prediction", of)
