"""Two results against each other: did it get slower? With a gate for CI that knows noise from news."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from bench.analysis import power
from bench.analysis.cells import latest
from bench.analysis.ratio import MOST, Ratio, holm, paired, unpaired
from bench.analysis.thresholds import stat_of
from bench.environment import COMPARED
from bench.errors import ScenarioError
from bench.metrics import METRICS, Better, full_name
from bench.record import Knob, Outcome, Run

COUNTED = ("lost_events", "duplicated_events", "delivery_errors", "checkpoints_failed", "restarts")  # any more is worse
_MAY_DIFFER = ("seed", "label")


class NotComparableError(ScenarioError):
    """Two results from different environments or of different questions. Names the differing fields."""


class Change(StrEnum):
    """What became of a metric."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "no difference"  # the 90 % interval lies within the floor
    UNDECIDED = "inconclusive"
    MISSING = "missing"  # the base has it, the new result does not: never a pass


@dataclass(frozen=True)
class Row:
    """One metric of one cell. `ratio` is new over base with its 95 % interval; `floor` the least change that counts.

    `n`: the runs of base and new that went in; `paired`: whether each had a neighbour in time on the other side.
    """

    load: str
    knobs: Mapping[str, Knob]
    metric: str
    stat: str
    unit: str
    change: Change
    base: float
    new: float | None
    ratio: float | None
    low: float | None
    high: float | None
    floor: float
    n: tuple[int, int]
    paired: bool
    sentence: str
    how: str = ""  # what the interval rests on, in words; "" where there is none

    @property
    def name(self) -> str:
        """A test's name for JUnit."""
        cell = " ".join([self.load, *(f"{path}={value}" for path, value in self.knobs.items())])
        return f"{cell}: {full_name(self.metric, self.stat)}"


@dataclass(frozen=True)
class Compared:
    """Every gated metric of every cell that both have.

    `told`: the differing fields that were allowed, with their two values. `left_out`: runs of base and new that are no
    evidence. `unreadable`: bundles that could not be read, a sentence each.
    """

    rows: tuple[Row, ...]
    told: Mapping[str, tuple[str, str]]
    left_out: tuple[int, int]
    unreadable: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """The gate: something was compared, nothing is worse, missing or unreadable."""
        bad = any(row.change in (Change.WORSE, Change.MISSING) for row in self.rows)
        return bool(self.rows) and not bad and not self.unreadable


def compare(
    base: Sequence[Run],
    new: Sequence[Run],
    *,
    allow: Collection[str] = (),
    floor: float | None = None,
    metrics: Collection[str] = (),
    unreadable: Sequence[str] = (),
) -> Compared:
    """Base against new, cell by cell. NotComparableError names what differs, unless `allow` names it ("*": anything;
    "environment": the whole environment).

    A metric is worse when its mean changed to the worse by at least the floor (its smallest effect, or `floor` as a
    share) *and* by more than noise explains: one-sided t test on logs at 5 %, Holm-corrected over all rows. Runs are
    paired where both sides were interleaved in time, else it is Welch's test. `metrics` narrows to these.
    """
    told = _refuse(base, new, allow)
    arms = [_cells(base), _cells(new)]
    shared = [cell for cell in arms[0] if cell in arms[1]]
    if not shared:
        raise NotComparableError(
            "the two results have no cell (load and knobs) with finished runs in common: "
            f"the base has {_listed(arms[0], base)}; the new one has {_listed(arms[1], new)}"
        )
    open_rows = [row for cell in shared for row in _rows(cell, arms[0][cell], arms[1][cell], floor, metrics)]
    measured = [(at, ratio) for at, (_, ratio) in enumerate(open_rows) if ratio is not None]
    worse = _rejected([(ratio, _to_the_worse(open_rows[at][0].metric)) for at, ratio in measured])
    better = _rejected([(ratio, -_to_the_worse(open_rows[at][0].metric)) for at, ratio in measured])
    rows = [row for row, _ in open_rows]
    for (at, ratio), is_worse, is_better in zip(measured, worse, better, strict=True):
        rows[at] = _decided(rows[at], ratio, is_worse=is_worse, is_better=is_better)
    left = tuple(sum(not _is_evidence(run) for run in latest(runs)) for runs in (base, new))
    return Compared(tuple(rows), told, (left[0], left[1]), tuple(unreadable))


def differing(base: Sequence[Run], new: Sequence[Run]) -> dict[str, tuple[str, str]]:
    """Checked fields of the environment, and settings beyond knobs, that are not the same: field -> the two values."""
    found = {f"environment.{name}": (_values(base, name), _values(new, name)) for name in COMPARED}
    found["backend"] = (_said({run.backend for run in base}), _said({run.backend for run in new}))
    knobs = {path for run in (*base, *new) for path in run.knobs}
    shared: list[str | None] = [*sorted({run.load for run in base} & {run.load for run in new})]
    for load in shared or [None]:  # without one in common these are two questions: all that differs says which
        arms = [[_flat(run.settings) for run in runs if load in (None, run.load)] for runs in (base, new)]
        for path in dict.fromkeys(path for arm in arms for settings in arm for path in settings):
            if path not in knobs and path.partition(".")[0] not in _MAY_DIFFER:
                first, second = (_said({_text(settings.get(path)) for settings in arm}) for arm in arms)
                if first != second:
                    found[path] = (first, second)
    return {field: values for field, values in found.items() if values[0] != values[1]}


def _refuse(base: Sequence[Run], new: Sequence[Run], allow: Collection[str]) -> dict[str, tuple[str, str]]:
    found = differing(base, new)
    allowed = {"backend", *(field for field in found if field.startswith("environment."))} & found.keys()
    if "*" in allow:
        allowed = set(found)
    elif "environment" not in allow:
        allowed = set()
    refused = [field for field in found if field not in allow and field not in allowed]
    if refused:
        lines = [f"  {field}: {found[field][0]} against {found[field][1]}" for field in refused]
        raise NotComparableError(
            "the two results are not of the same question: these fields differ, expected them to agree or to be "
            "allowed by name (--allow FIELD, or --across-environments for the machine's)\n" + "\n".join(lines)
        )
    return found


_Cell = tuple[str, tuple[tuple[str, Knob], ...]]


def _is_evidence(run: Run) -> bool:
    return run.outcome is Outcome.FINISHED and all(check.ok for check in run.checks)


def _cells(runs: Sequence[Run]) -> dict[_Cell, list[Run]]:
    found: dict[_Cell, list[Run]] = {}
    for run in filter(_is_evidence, latest(runs)):
        found.setdefault((run.load, tuple(sorted(run.knobs.items()))), []).append(run)
    return found


def _pairs(base: Sequence[Run], new: Sequence[Run]) -> list[tuple[Run, Run]] | None:
    """Runs of the same repetition where they are neighbours in time; None where the two sides were not interleaved."""
    partner = {run.repetition: run for run in new}
    pairs = [(run, partner[run.repetition]) for run in base if run.repetition in partner]
    if len(pairs) < 2 or len({run.repetition for run, _ in pairs}) < len(pairs) or len(partner) < len(new):
        return None
    line = sorted((run for pair in pairs for run in pair), key=lambda run: run.started_utc)
    together = all(a.repetition == b.repetition for a, b in zip(line[::2], line[1::2], strict=True))
    return pairs if together else None


def _gated(base: Sequence[Run], metrics: Collection[str], floor: float | None) -> Iterator[tuple[str, str]]:
    for name, metric in METRICS.items():
        if metrics and name not in metrics:
            continue
        stats = list(metric.min_effect) or (["value"] if name in metrics and floor is not None else [])
        if "p50" in stats and any(stat_of(run, name, "p50") is not None for run in base):
            stats.remove("value")  # the same number, and the correction would count it twice
        if metric.better is not Better.NEUTRAL and name not in COUNTED:
            yield from ((name, stat) for stat in stats)
    yield from ((name, "value") for name in COUNTED if not metrics or name in metrics)


def _rows(
    cell: _Cell, base: Sequence[Run], new: Sequence[Run], floor: float | None, metrics: Collection[str]
) -> Iterator[tuple[Row, Ratio | None]]:
    pairs = _pairs(base, new)
    for name, stat in _gated(base, metrics, floor):
        x = [value for run in base if (value := stat_of(run, name, stat)) is not None]
        y = [value for run in new if (value := stat_of(run, name, stat)) is not None]
        if not x:
            continue
        mean = float(np.mean(x))
        said = f"missing: the base has it, {len(new) - len(y)} of {len(new)} new runs do not"
        row = Row(cell[0], dict(cell[1]), name, stat, METRICS[name].unit, Change.MISSING, mean, None, None, None, None,
                  0.0, (len(x), len(y)), paired=False, sentence=said)  # fmt: skip
        if len(y) < len(new):
            yield row, None
            continue
        row = replace(row, new=float(np.mean(y)))
        if name in COUNTED:
            change = Change.WORSE if max(y) > max(x) else Change.SAME
            said = f"{change}: at most {max(y):g} in a run, {max(x):g} before"
            yield replace(row, change=change, sentence=said), None
            continue
        ratio = _ratio(name, stat, pairs, (x, y))
        effect = METRICS[name].min_effect.get(stat)
        least = floor if floor is not None or effect is None else effect.share_of(mean)
        why = "a value is not positive" if min(*x, *y) <= 0 else "one run a side shows no spread"
        yield (
            replace(
                row,
                change=Change.UNDECIDED,
                floor=least or 0.0,
                paired=ratio is not None and ratio.paired,
                n=(ratio.n, ratio.n) if ratio is not None and ratio.paired else row.n,
                sentence=f"inconclusive: {mean:,.4g} against {np.mean(y):,.4g} {row.unit}, {why}",
            ),
            ratio,
        )


def _ratio(
    name: str, stat: str, pairs: Sequence[tuple[Run, Run]] | None, alone: tuple[Sequence[float], Sequence[float]]
) -> Ratio | None:
    values = [(stat_of(a, name, stat), stat_of(b, name, stat)) for a, b in pairs or ()]
    whole = [(a, b) for a, b in values if a is not None and b is not None]
    if len(whole) >= 2:
        return paired([a for a, _ in whole], [b for _, b in whole], stat)
    return unpaired(*alone)


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
    how = ratio.how if ratio.paired else f"{row.n[0]} runs against {row.n[1]}"
    top = f"{high - 1:+.1%}" if high < MOST else "any increase"
    sentence = f"{change}: {ratio.value - 1:+.1%} (95% interval {low - 1:+.1%} to {top}, {how}), "
    sentence += _against_floor(change, row.floor, ratio)
    return replace(row, change=change, ratio=ratio.value, low=low, high=high, sentence=sentence, how=how)


def _against_floor(change: Change, floor: float, ratio: Ratio) -> str:
    if change is Change.SAME:
        return f"within the {floor:.1%} that would count"
    if change is not Change.UNDECIDED:
        return f"more than noise, and than the {floor:.1%} that counts"
    needed = power.repeats_to_decide(abs(ratio.log_mean), float(np.log1p(floor)), ratio.se * float(np.sqrt(ratio.n)))
    more = f"about {max(needed, ratio.n + 1)} runs a side would decide" if needed else "too near to it for any repeats"
    return f"not told apart from the {floor:.1%} that counts; {more}"


def _rejected(cases: Sequence[tuple[Ratio, float]]) -> list[bool]:
    return holm([ratio.p_above(0.0) if way > 0 else ratio.p_below(0.0) for ratio, way in cases], 0.05)


def _to_the_worse(metric: str) -> float:
    return 1.0 if METRICS[metric].better is Better.LOWER else -1.0


def _listed(arms: Mapping[_Cell, object], runs: Sequence[Run]) -> str:
    cells = ["/".join([load, *(f"{path}={value}" for path, value in knobs)]) for load, knobs in arms]
    others = sum(not _is_evidence(run) for run in latest(runs))
    text = ", ".join(cells[:6]) + (f" and {len(cells) - 6} more" if len(cells) > 6 else "") or "none"
    return text + (f" ({others} of its runs are no evidence: not finished, or wrong)" if others else "")


def _values(runs: Sequence[Run], name: str) -> str:
    return _said({_text(run.environment.get(name)) for run in runs})


def _said(values: set[str]) -> str:
    return " and ".join(sorted(values)) or "nothing"


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        return {prefix: settings}
    return {path: value for key, item in settings.items()
            for path, value in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()}  # fmt: skip
