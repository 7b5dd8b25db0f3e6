"""What a report can rest on: the runs by arm, their cells, and the series and histograms that lie beside them.

Reading never fails: what is missing or damaged is listed in `unreadable`, and told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench import record
from bench.analysis.cells import Cell, latest
from bench.analysis.histogram import LogLinearHistogram
from bench.analysis.intervals import Estimate
from bench.metrics import full_name
from bench.record import BundleError, Outcome, Run
from reports import wording
from reports.report import Number, Source, Words

FEWEST = 3  # runs of which an interval is printed
RATE = "load.rate_eps"
BILLED = "wire_bytes_per_event"  # what an arm with a bill has, and a drain has not


@dataclass(frozen=True)
class Arm:
    """Runs with the same load and knobs, and what they come to; `cell` is None before one of them finished."""

    load: str
    label: str
    runs: tuple[Run, ...]
    cell: Cell | None

    @property
    def finished(self) -> tuple[Run, ...]:
        """The runs that are evidence."""
        return tuple(run for run in self.runs if run.outcome is Outcome.FINISHED)

    @property
    def is_drain(self) -> bool:
        """Whether its load is a drain: filled beforehand, then read flat out."""
        return any(is_drain(run) for run in self.runs)

    @property
    def key(self) -> str:
        """What sources call this arm's cell."""
        return f"{self.load}/{self.label}"

    def estimate(self, metric: str, stat: str = "value") -> Estimate | None:
        """The cell's estimate of a metric, None where no finished run has it."""
        found = self.cell.metrics.get(full_name(metric, stat)) if self.cell else None
        return found if found is not None and math.isfinite(found.value) else None

    def number(self, metric: str, part: str = "value", stat: str = "value") -> Number | None:
        """One part (value, low, high, n) of an estimate, with its source; None where there is none."""
        found = self.estimate(metric, stat)
        value = getattr(found, part) if found is not None else None
        if found is None or value is None:
            return None
        source = Source("cell", self.key, f"{found.metric} {part}")
        if part == "n":
            return wording.number(float(value), "", source)
        return wording.number(float(value), found.unit, source, _step(found))

    def spread(self, metric: str, stat: str = "value") -> Words:
        """How sure an estimate is: its 95 % interval from three runs on, below that what the runs say; () without any.

        The t-interval of two runs is twelve times as wide as they are apart: it tells a reader less than the two do.
        """
        found = self.estimate(metric, stat)
        if found is None:
            return ()
        if found.n < FEWEST:
            runs = [one for run in self.finished if (one := run_number(run, metric, stat)) is not None]
            return ("one run",) if len(runs) < 2 else ("runs: ", runs[0], " and ", runs[1])
        low, high = self.number(metric, "low", stat), self.number(metric, "high", stat)
        if low is None or high is None:
            return ()
        return ("the same in all",) if wording.is_point(low.value, high.value) else (low, " to ", high)


@dataclass
class Evidence:
    """Every run of the story by arm, loads and arms in the order a reader expects."""

    runs: tuple[Run, ...]
    arms: tuple[Arm, ...]
    unreadable: list[str] = field(default_factory=list)
    _series: dict[Path, Mapping[str, pd.DataFrame]] = field(default_factory=dict)

    def load_arms(self, load: str) -> tuple[Arm, ...]:
        """The arms of one load."""
        return tuple(arm for arm in self.arms if arm.load == load)

    @property
    def loads(self) -> tuple[str, ...]:
        """The loads that ran, in order."""
        return tuple(dict.fromkeys(arm.load for arm in self.arms))

    def series(self, run: Run) -> Mapping[str, pd.DataFrame]:
        """A run's per-second series; {} where there are none or they are damaged."""
        if run.bundle is None:
            return {}
        if run.bundle not in self._series:
            try:
                self._series[run.bundle] = record.load_series(run.bundle)
            except BundleError as error:
                self.unreadable.append(str(error))
                self._series[run.bundle] = {}
        return self._series[run.bundle]

    def histogram(self, arm: Arm, name: str) -> tuple[LogLinearHistogram, int] | None:
        """The merged histogram of an arm's finished runs and how many had one; None where none had."""
        merged, runs = None, 0
        for run in arm.finished:
            if run.bundle is None:
                continue
            try:
                one = record.load_histograms(run.bundle).get(name)
            except BundleError as error:
                self.unreadable.append(str(error))
                continue
            if one is None or not one.n:
                continue
            merged, runs = (one if merged is None else merged + one), runs + 1
        return (merged, runs) if merged is not None else None


def _step(found: Estimate) -> float:
    return wording.step_of(found.value, found.low, found.high) if found.n >= FEWEST else 0.0


def gather(runs: Iterable[Run], cells: Sequence[Cell], loads: Sequence[str] = ()) -> Evidence:
    """Sort the runs into arms. `loads` is the scenario's order; a trial done again counts once, its last run."""
    last = tuple(latest(runs))
    groups: dict[tuple[str, tuple[tuple[str, record.Knob], ...]], list[Run]] = {}
    for run in last:
        groups.setdefault((run.load, tuple(sorted(run.knobs.items()))), []).append(run)
    by_cell = {(cell.load, tuple(sorted(cell.knobs.items()))): cell for cell in cells}
    order = {load: position for position, load in enumerate(dict.fromkeys([*loads, *(run.load for run in last)]))}
    keys = sorted(groups, key=lambda key: (order[key[0]], [wording.knob_order(value) for _, value in key[1]]))
    arms = []
    for key in keys:
        many = tuple(sorted(groups[key], key=lambda run: run.repetition))
        arms.append(Arm(key[0], wording.arm_label(many[0].knobs), many, by_cell.get(key)))
    return Evidence(last, tuple(arms))


def run_id(run: Run) -> str:
    """What sources call a run: trial-id/utc, the folders it lies in."""
    return f"{run.trial_id}/{run.bundle.name if run.bundle else run.started_utc}"


def is_drain(run: Run) -> bool:
    """Whether the run read what was filled beforehand."""
    load = run.settings.get("load")
    return isinstance(load, Mapping) and load.get("drain") is not None


def run_name(run: Run) -> str:
    """A run as a reader calls it: "steady, partitions 6, run 2"."""
    return f"{run.load}, {wording.arm_label(run.knobs)}, run {run.repetition + 1}"


def run_number(run: Run, metric: str, stat: str = "value") -> Number | None:
    """A metric of one run, with its source; None where the run lacks it."""
    measured = run.metrics.get(metric)
    value = None
    if measured is not None:
        value = measured.value if stat == "value" else (measured.percentiles or {}).get(stat)
    if measured is None or value is None or not math.isfinite(value):
        return None
    return wording.number(value, measured.unit, Source("run", run_id(run), f"{metric} {stat}"))


def machine(runs: Sequence[Run]) -> str:
    """The machine in one line, for every figure: "2 cores, 24 GiB, CPU; Kafka 4.3.1, Flink 2.3.0 (local)"."""
    if not runs:
        return "no run, so no machine"
    lines = dict.fromkeys(_machine(run) for run in runs)
    return next(iter(lines)) if len(lines) == 1 else f"{len(lines)} different machines or versions (see below)"


def _machine(run: Run) -> str:
    environment = run.environment
    host = [
        f"{environment['cores']} cores" if environment.get("cores") else "",
        f"{environment['memory_gib']} GiB" if environment.get("memory_gib") else "",
        str(environment.get("cpu_model") or ""),
    ]
    versions = [
        f"{name} {environment[key]}" for name, key in (("Kafka", "kafka"), ("Flink", "flink")) if environment.get(key)
    ]
    text = "; ".join(part for part in (", ".join(filter(None, host)), ", ".join(versions)) if part)
    return f"{text or 'machine not recorded'} ({run.backend})"


def bill_loads(evidence: Evidence, priced_for_mb_s: float | None) -> dict[str, str]:
    """Bill -> its load, as `dollars.Standing` wants it.

    Rates of one load part it, for bills of different streams are no choice; but with `priced_for_mb_s` all are
    priced for that one stream, and rates are then only what each arm was measured at, unless they are what it varies.
    """
    loads: dict[str, str] = {}
    of_label: dict[str, set[str]] = {}
    for arm in evidence.arms:
        rates, rate = {_rate_eps(other) for other in evidence.arms if other.load == arm.load}, _rate_eps(arm)
        same_stream = priced_for_mb_s is not None and RATE not in arm.runs[0].knobs
        parts = len(rates) > 1 and rate is not None and not same_stream
        load = f"{arm.load} at {rate:,.0f} events/s" if parts else arm.load
        loads[wording.under(arm.label, arm.load)] = load
        if arm.estimate(BILLED) is not None:
            of_label.setdefault(arm.label, set()).add(load)
    return loads | {label: one for label, (one, *more) in of_label.items() if not more}  # shared: no bill has it alone


def _rate_eps(arm: Arm) -> float | None:
    """The rate that its runs were to have, None where none was set (a drain, a maximum, a shape)."""
    rate = arm.runs[0].settings.get("load", {}).get("rate_eps") if arm.runs else None
    return float(rate) if isinstance(rate, int | float) else None
