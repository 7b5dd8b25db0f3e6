"""Searches for the sustainable rate, told: how each ended, and every rate it tried with why it passed or failed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bench.analysis.search import Status
from bench.record import Attempt, Run, Search
from reports import wording
from reports.evidence import Arm, machine, run_id, run_name
from reports.report import (
    Column,
    Estimated,
    IntervalPanel,
    Intervals,
    Paragraph,
    Section,
    Source,
    Table,
    Tone,
    Words,
    said,
)

_TONES = {
    Status.FOUND: Tone.GOOD,
    Status.BLURRED: Tone.GOOD,
    Status.AT_LEAST: Tone.GOOD,
    Status.NOT_FOUND: Tone.BAD,
    Status.OUT_OF_TIME: Tone.UNSURE,
}
_SHOWN = (("e2e_latency_ms", "p50"), ("e2e_latency_ms", "p99"), ("backlog_events", "value"), ("busy_share", "value"))


def answers(arm: Arm) -> Iterator[Paragraph]:
    """What each search of an arm found."""
    return (_answer(run, run.search) for run in arm.runs if run.search is not None)


def told(arm: Arm) -> Iterator[Any]:
    """What each search of an arm found, and its attempts."""
    for run in arm.runs:
        if run.search is None:
            continue
        yield _answer(run, run.search)
        if run.search.thresholds:
            limits = wording.listed(list(run.search.thresholds))
            yield said(f"Beside keeping up, a rate had to meet: {limits}.")
        if run.search.attempts:
            if (drawn := _curve(run)) is not None:
                yield drawn
            yield _attempts(run)
            yield _criteria(run)


def _answer(run: Run, search: Search) -> Paragraph:
    tone = _TONES[Status(search.status)] if search.status in set(Status) else Tone.UNSURE
    name = run_name(run)
    return Paragraph((f"{name[:1].upper()}{name[1:]}: {search.sentence}",), tone)


_CURVE_NOTE = "A dot an attempt, the line through their means. Attempts without a latency are in the table only. "


def _curve(run: Run) -> Intervals | None:
    """Latency at each rate that was tried, a dot an attempt; None where no attempt has a latency."""
    assert run.search is not None
    panels = []
    for stat in ("p50", "p99"):
        tried: dict[float, list[float]] = {}
        for one in run.search.attempts:
            found = one.metrics.get("e2e_latency_ms")
            if found is not None and found.percentiles and math.isfinite(found.percentiles.get(stat, math.nan)):
                tried.setdefault(one.rate_eps, []).append(found.percentiles[stat])
        arms = tuple(
            Estimated(f"{wording.digits(rate)} events/s", rate, sum(seen) / len(seen), None, None, tuple(seen),
                      Source("run", run_id(run), f"attempts at {rate:g} e2e_latency_ms {stat}"))
            for rate, seen in sorted(tried.items())
        )  # fmt: skip
        if arms:
            panels.append(IntervalPanel(f"end-to-end latency {stat}", "ms", arms))
    if not panels:
        return None
    told = (f"{panel.name} at {arm.arm}: {wording.digits(arm.value)} ms" for panel in panels for arm in panel.arms)
    return Intervals(
        key=f"rate-latency-{run_id(run).replace('/', '-')}",
        title=f"Latency by rate, {run_name(run)}",
        alt=(". ".join(told) + ".",),
        note=(_CURVE_NOTE, f"{machine([run])}."),
        axis="rate, events/s",
        panels=tuple(panels),
    )  # fmt: skip


def _attempts(run: Run) -> Table:
    assert run.search is not None
    columns = (
        Column("attempt", numeric=True), Column("rate", "events/s", numeric=True), Column("why this rate"),
        Column("outcome"), Column("latency p50", "ms", numeric=True), Column("p99", "ms", numeric=True),
        Column("backlog at the end", "events", numeric=True), Column("busiest task", "%", numeric=True),
        Column("took", "s", numeric=True), Column("because"),
    )  # fmt: skip
    rows = tuple(_row(run, one) for one in run.search.attempts)
    return Table(f"search-{run_id(run).replace('/', '-')}", "Every rate that was tried, in order", columns, rows)


_PURPOSES = {"ramp": "doubling", "bisect": "halving the gap", "confirm": "confirming", "above": "5 % above must fail"}


def _row(run: Run, one: Attempt) -> tuple[Words, ...]:
    def number(value: float | None, part: str) -> Words:
        if value is None or not math.isfinite(value):
            return ()
        return (wording.number(value, "", Source("run", run_id(run), f"attempt {one.number + 1} {part}")),)

    measured = []
    for name, stat in _SHOWN:
        found = one.metrics.get(name)
        value = None if found is None else found.value if stat == "value" else (found.percentiles or {}).get(stat)
        if value is not None and name == "busy_share":
            value *= 100
        measured.append(number(value, f"{name} {stat}"))
    return (
        number(one.number + 1, "number"),
        number(one.rate_eps, "rate_eps"),
        (_PURPOSES.get(one.purpose, one.purpose),),
        (one.outcome,),
        *measured,
        number(one.took_s, "took_s"),
        (one.reason or "every criterion was met",),
    )


def _criteria(run: Run) -> Section:
    """Each criterion of each attempt, folded."""
    assert run.search is not None
    rows = tuple(
        ((f"{one.number + 1}",), (criterion.name,), ("met" if criterion.ok else "not met",), (criterion.detail,))
        for one in run.search.attempts
        for criterion in one.criteria
    )
    columns = (Column("attempt"), Column("criterion"), Column("met?"), Column("what was seen"))
    key = f"criteria-{run_id(run).replace('/', '-')}"
    return Section(key, "Every criterion of every attempt", (Table(key, "Criteria", columns, rows),), folded=True)
