"""Two results against each other: did it get slower? With a gate for CI that knows noise from news."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from bench.analysis.cells import latest
from bench.analysis.ratio import Ratio, holm, unpaired
from bench.analysis.thresholds import stat_of
from bench.environment import COMPARED
from bench.errors import ScenarioError
from bench.metrics import METRICS, Better
from bench.record import Knob, Outcome, Run

COUNTED = ("lost_events", "duplicated_events", "delivery_errors", "checkpoints_failed", "restarts")  # any more is worse
_MAY_DIFFER = ("seed",)


class NotComparableError(ScenarioError):
    """Two results from different environments or of different questions. Names the differing fields."""


class Change(StrEnum):
    """What became of a metric."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"  # the 90 % interval lies within the floor
    UNDECIDED = "undecided"
    MISSING = "missing"  # the base has it, the new result does not: never a pass


@dataclass(frozen=True)
class Row:
    """One metric of one cell. `ratio` is new over base with its 95 % interval; `floor` the least change that counts."""

    load: str
    knobs: Mapping[str, Knob]
    metric: str
    stat: str
    change: Change
    base: float | None
    new: float | None
    ratio: float | None
    low: float | None
    high: float | None
    floor: float
    n: tuple[int, int]
    sentence: str

    @property
    def name(self) -> str:
        """A test's name for JUnit."""
        cell = " ".join([self.load, *(f"{path}={value}" for path, value in self.knobs.items())])
        return f"{cell}: {self.metric}" + ("" if self.stat == "value" else f" {self.stat}")


@dataclass(frozen=True)
class Compared:
    """Every gated metric of every cell that both have. `told` are the differing fields that were allowed."""

    rows: tuple[Row, ...]
    told: tuple[str, ...]
    left_out: tuple[int, int]  # runs of base and new that are no evidence

    @property
    def passes(self) -> bool:
        """The gate: something was compared, nothing is worse, nothing is missing."""
        return bool(self.rows) and not any(row.change in (Change.WORSE, Change.MISSING) for row in self.rows)


def compare(
    base: Sequence[Run], new: Sequence[Run], *, allow: Collection[str] = (), floor: float | None = None
) -> Compared:  # fmt: skip
    """Base against new, cell by cell. NotComparableError names what differs, unless `allow` names it ("*": anything).

    A metric is worse when its mean changed to the worse by at least the floor (its smallest effect, or `floor` as a
    share) *and* by more than noise explains: one-sided Welch test on logs at 5 %, Holm-corrected over all rows.
    """
    told = _refuse(base, new, allow)
    arms = [_cells(base), _cells(new)]
    shared = [cell for cell in arms[0] if cell in arms[1]]
    if not shared:
        raise NotComparableError("the two results have no cell (load and knobs) with finished runs in common")
    open_rows = [row for cell in shared for row in _rows(cell, arms[0][cell], arms[1][cell], floor)]
    measured = [(at, ratio) for at, (_, ratio) in enumerate(open_rows) if ratio is not None]
    worse = _rejected([(ratio, _to_the_worse(open_rows[at][0].metric)) for at, ratio in measured])
    better = _rejected([(ratio, -_to_the_worse(open_rows[at][0].metric)) for at, ratio in measured])
    rows = [row for row, _ in open_rows]
    for (at, ratio), is_worse, is_better in zip(measured, worse, better, strict=True):
        rows[at] = _decided(rows[at], ratio, is_worse=is_worse, is_better=is_better)
    left = tuple(sum(run.outcome is not Outcome.FINISHED for run in latest(runs)) for runs in (base, new))
    return Compared(tuple(rows), tuple(told), (left[0], left[1]))


def differing(base: Sequence[Run], new: Sequence[Run]) -> list[str]:
    """Checked fields of the environment, and settings of the trials beyond their knobs, that are not the same."""
    found = [f"environment.{name}" for name in COMPARED if _values(base, name) != _values(new, name)]
    if {run.backend for run in base} != {run.backend for run in new}:
        found.append("backend")
    knobs = {path for run in (*base, *new) for path in run.knobs}
    loads = {run.load for run in base} & {run.load for run in new}
    for load in sorted(loads):
        arms = [[_flat(run.settings) for run in runs if run.load == load] for runs in (base, new)]
        paths = dict.fromkeys(path for arm in arms for settings in arm for path in settings)
        for path in paths:
            if path not in knobs and path.partition(".")[0] not in _MAY_DIFFER:
                first, second = ({str(settings.get(path)) for settings in arm} for arm in arms)
                if first != second:
                    found.append(path)
    return list(dict.fromkeys(found))


def _refuse(base: Sequence[Run], new: Sequence[Run], allow: Collection[str]) -> list[str]:
    found = differing(base, new)
    refused = [] if "*" in allow else [field for field in found if field not in allow]
    if refused:
        raise NotComparableError(
            f"the two results differ in {', '.join(refused)}: allow them by name if that is the question"
        )
    return found


_Cell = tuple[str, tuple[tuple[str, Knob], ...]]


def _cells(runs: Sequence[Run]) -> dict[_Cell, list[Run]]:
    found: dict[_Cell, list[Run]] = {}
    for run in latest(runs):
        if run.outcome is Outcome.FINISHED and all(check.ok for check in run.checks):
            found.setdefault((run.load, tuple(sorted(run.knobs.items()))), []).append(run)
    return found


def _rows(
    cell: _Cell, base: Sequence[Run], new: Sequence[Run], floor: float | None
) -> Iterator[tuple[Row, Ratio | None]]:  # fmt: skip
    gated = [(name, stat) for name, metric in METRICS.items() for stat in metric.min_effect
             if metric.better is not Better.NEUTRAL]  # fmt: skip
    for name, stat in [*gated, *((name, "value") for name in COUNTED)]:
        x = [value for run in base if (value := stat_of(run, name, stat)) is not None]
        y = [value for run in new if (value := stat_of(run, name, stat)) is not None]
        if not x:
            continue
        row = Row(cell[0], dict(cell[1]), name, stat, Change.MISSING, float(np.mean(x)), None, None, None, None, 0.0,
                  (len(x), len(y)), f"missing: the base has {name}, the new result does not")  # fmt: skip
        if len(y) < len(new):
            yield row, None
        elif name in COUNTED:
            yield _counted(row, x, y), None
        else:
            ratio = unpaired(x, y)
            least = floor if floor is not None else METRICS[name].min_effect[stat].share_of(float(np.mean(x)))
            yield (
                _replace(
                    row,
                    Change.UNDECIDED,
                    new=float(np.mean(y)),
                    floor=least,
                    sentence="undecided: fewer than two runs, or values that are not positive",
                ),
                ratio,
            )


def _counted(row: Row, x: Sequence[float], y: Sequence[float]) -> Row:
    change = Change.WORSE if max(y) > max(x) else Change.SAME
    return _replace(row, change, new=float(np.mean(y)), sentence=f"{change}: at most {max(y):g}, {max(x):g} before")


def _decided(row: Row, ratio: Ratio, *, is_worse: bool, is_better: bool) -> Row:
    worse = _to_the_worse(row.metric)
    low, high = ratio.interval()
    toward = worse * ratio.log_mean  # positive is worse
    near, far = sorted(worse * bound for bound in ratio.log_interval(0.90))
    limit = float(np.log1p(row.floor))
    if is_worse and toward >= limit:
        change = Change.WORSE
    elif is_better and -toward >= limit:
        change = Change.BETTER
    elif -limit < near and far < limit:
        change = Change.SAME
    else:
        change = Change.UNDECIDED
    sentence = (
        f"{change}: {ratio.value - 1:+.1%} (95% interval {low - 1:+.1%} to {high - 1:+.1%}, floor {row.floor:.1%})"
    )
    return _replace(row, change, new=row.new, ratio=ratio.value, low=low, high=high, floor=row.floor, sentence=sentence)


def _rejected(cases: Sequence[tuple[Ratio, float]]) -> list[bool]:
    return holm([ratio.p_above(0.0) if way > 0 else ratio.p_below(0.0) for ratio, way in cases], 0.05)


def _to_the_worse(metric: str) -> float:
    return 1.0 if METRICS[metric].better is Better.LOWER else -1.0


def _replace(row: Row, change: Change, **fields: Any) -> Row:
    return replace(row, change=change, **fields)


def _values(runs: Sequence[Run], name: str) -> set[str]:
    return {str(run.environment.get(name)) for run in runs}


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        return {prefix: settings}
    return {path: value for key, item in settings.items()
            for path, value in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()}  # fmt: skip
