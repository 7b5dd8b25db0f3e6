"""Runs of the same cell (load and knobs) taken together: what `run --json` calls cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.analysis.intervals import ANY, Estimate, estimate
from bench.metrics import METRICS
from bench.record import Knob, Outcome, Run


@dataclass(frozen=True)
class Cell:
    """Finished runs with the same load and knobs. `metrics` keys: NAME for the value, "NAME p99" for a percentile.

    `n` counts finished runs, `left_out` the others; an estimate's own n is smaller where a run lacks the metric.
    """

    load: str
    knobs: Mapping[str, Knob]
    n: int
    left_out: int
    metrics: Mapping[str, Estimate]


def latest(runs: Iterable[Run]) -> list[Run]:
    """Each trial's last run, in the order they ran: a trial done again counts once."""
    last: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: run.started_utc):
        last[run.trial_id] = run
    return sorted(last.values(), key=lambda run: (run.order, run.started_utc))


def cells(runs: Iterable[Run]) -> list[Cell]:
    """The cells in the order they first ran. A percentile that only some runs support is averaged over those alone."""
    groups: dict[tuple[str, tuple[tuple[str, Knob], ...]], list[Run]] = {}
    for run in latest(runs):
        groups.setdefault((run.load, tuple(sorted(run.knobs.items()))), []).append(run)
    return [_cell(group) for group in groups.values()]


def _cell(group: list[Run]) -> Cell:
    finished = [run for run in group if run.outcome is Outcome.FINISHED]
    values: dict[tuple[str, str], list[float]] = {}
    for run in finished:
        for name, measured in run.metrics.items():
            values.setdefault((name, measured.unit), []).append(measured.value)
            for stat, value in (measured.percentiles or {}).items():
                values.setdefault((f"{name} {stat}", measured.unit), []).append(value)
    metrics = {name: estimate(name, unit, many, _within(name)) for (name, unit), many in values.items()}
    return Cell(group[0].load, group[0].knobs, len(finished), len(group) - len(finished), metrics)


def _within(name: str) -> tuple[float, float]:
    metric = METRICS.get(name.split(" ", maxsplit=1)[0])
    return metric.within if metric else ANY
