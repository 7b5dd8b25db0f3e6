"""What a larger share of a core was predicted to carry, and what it did: the test that sizes from CPU rest on."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from bench.analysis.prediction import QUOTA, WITHIN, Prediction, predict, predicted_eps
from bench.record import Run
from reports import wording
from reports.details import bare
from reports.evidence import Evidence, machine
from reports.report import (
    Column,
    Line,
    Number,
    OverTime,
    Paragraph,
    Section,
    Source,
    Table,
    TimePanel,
    Tone,
    Words,
    said,
)


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
    blocks = (_verdict(found), _table(found), _figure(found, evidence.runs))
    return Section("prediction", "Does part of a core tell what a whole one carries?", blocks)


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
    if found.off <= WITHIN:
        return Paragraph((*words, f". That is within the {limit} that sizing can live with."), Tone.GOOD)
    if low - 1 > WITHIN or high - 1 < -WITHIN:
        return Paragraph((*words, f": further off than {limit}, so that sizes from CPU per event mislead."), Tone.BAD)
    return Paragraph((*words, f": whether it is within {limit} is open."), Tone.UNSURE)


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
        f"The fit, mean of the repetitions': {wording.digits(found.cpu_s_per_million_events)} CPU-seconds per million "
        f"events and {wording.digits(found.fixed_cpus)} of a core whatever the rate."
    )
    return Table("prediction", "Drains by quota, means of the repetitions", columns, tuple(rows), note)


def _figure(found: Prediction, runs: Sequence[Run]) -> OverTime:
    quotas = tuple(each.cpus for each in found.drains[0])
    lines = [
        Line(f"repetition {at}", quotas, tuple(each.rate_eps for each in drains), _source(f"drained, repetition {at}"))
        for at, drains in enumerate(found.drains, 1)
    ]
    fit = tuple(_predicted(found, quota) for quota in quotas)
    lines.append(Line("predicted from the smaller ones", quotas, fit, _source("predicted")))
    panel = TimePanel("drain rate", "events/s by cores", "events/s", tuple(lines))
    return OverTime(
        key="prediction",
        title="Drained under each quota, and predicted from the smaller ones",
        alt=(f"{found.sentence()}",),
        note=(f"Each repetition predicts for itself; the line is their mean. {_machine(runs)}",),
        rows=((panel,),),
        axis="cores",
    )


def _predicted(found: Prediction, quota: float) -> float:
    return fmean(predicted_eps(drains[:-1], quota) for drains in found.drains)


def _machine(runs: Sequence[Run]) -> str:
    return f"{machine(runs)}."


def _number(value: float, unit: str, of: str) -> Number:
    return wording.number(value, unit, _source(of))


def _bare(value: float, unit: str, of: str) -> Number:
    return bare(wording.number(value, unit, _source(of)), 1.0)


def _share(value: float, of: str) -> Number:
    return Number(value, f"{value:+.1%}", "share", _source(of))


def _source(of: str) -> Source:
    return Source("derived", "prediction", of)
