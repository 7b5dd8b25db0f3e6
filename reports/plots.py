"""Which figures a report shows and what stands in them: specs from runs and cells. Drawing is `figures.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.histogram import LogLinearHistogram
from reports import wording
from reports.evidence import FEWEST, Arm, Evidence, machine, run_number
from reports.report import (
    AnyFigure,
    Bar,
    Curve,
    Estimated,
    IntervalPanel,
    Intervals,
    Number,
    OverTime,
    Percentiles,
    Segment,
    Source,
    Stacks,
    TimePanel,
    Words,
)
from reports.series import COMPONENTS, Reader, backlog, checkpoints, measured_window, throughput

BYTES = ("disk_bytes_per_event", "wire_bytes_per_event")
LATENCIES = ("e2e_latency_ms", "produce_latency_ms")
MOST_COLUMNS = 4  # of small multiples; of more arms the two ends are shown, and every run has its own series below

_GRID = (*range(5, 95, 5), 92.5, 95, 96.5, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99)


def key_figures(evidence: Evidence) -> list[AnyFigure]:
    """What the scenario is about, each only where some finished run has its numbers."""
    found: list[AnyFigure | None] = []
    by_load = {load: evidence.load_arms(load) for load in evidence.loads}
    for load, arms in by_load.items():
        known = [name for name in BYTES if any(arm.estimate(name) for arm in arms)]
        if known:  # of the first load: a topic that was filled beforehand says nothing new about bytes
            found.append(intervals(arms, known, "bytes", load))
            break
    found += [latency(evidence, arms, load) for load, arms in by_load.items()]
    found += [over_time(evidence, arms, load) for load, arms in by_load.items()]
    found.append(cpu(evidence.arms))
    return [figure for figure in found if figure is not None]


def intervals(arms: Sequence[Arm], metrics: Sequence[str], key: str, load: str) -> Intervals | None:
    """One panel a metric, an estimate and its runs an arm."""
    panels = tuple(panel for name in metrics if (panel := _panel(arms, name)).arms)
    if not panels:
        return None
    axis = _axis(arms)
    names = wording.listed([panel.name for panel in panels])
    return Intervals(
        key=f"{key}-{load}",
        title=f"{_capital(names)}{f' by {axis}' if axis else ''}",
        alt=_interval_alt(arms, metrics),
        note=(
            "Large marks: mean of the runs, with its 95 % interval from three runs on. Small dots: single runs. ",
            "Axes need not start at 0. ",
            *_about(arms),
        ),
        axis=axis,
        panels=panels,
    )


def _panel(arms: Sequence[Arm], metric: str) -> IntervalPanel:
    estimates = []
    for arm in arms:
        found = arm.estimate(metric)
        if found is None:
            continue
        dots = tuple(n.value for run in arm.finished if (n := run_number(run, metric)) is not None)
        source = Source("cell", arm.key, f"{metric} value")
        low, high = (found.low, found.high) if found.n >= FEWEST else (None, None)
        estimates.append(Estimated(arm.label, _place(arm), found.value, low, high, dots, source))
    return IntervalPanel(wording.metric_name(metric), wording.metric_unit(metric), tuple(estimates))


def _interval_alt(arms: Sequence[Arm], metrics: Sequence[str]) -> Words:
    words: list[Words] = []
    for metric in metrics:
        for arm in arms:
            value = arm.number(metric)
            if value is not None:
                words.append(
                    (f"{_capital(wording.metric_name(metric))} at {arm.label}: ", value, *interval(arm, metric), ". ")
                )
    return tuple(part for sentence in words for part in sentence)


def interval(arm: Arm, metric: str, stat: str = "value") -> Words:
    """The interval and n in brackets, or the runs where they are too few; the unit has been said with the value."""
    spread, n = arm.spread(metric, stat), arm.number(metric, "n", stat)
    if not spread or n is None:
        return ()
    told = tuple(
        replace(part, text=wording.digits(part.value, part.step))
        if isinstance(part, Number) and part.unit not in ("bytes", "share") else part for part in spread
    )  # fmt: skip
    if n.value < FEWEST:
        return (" (", *told, ")")
    return (" (95 % interval " if len(told) > 1 else " (", *told, ", n = ", n, ")")


_LATENCY_NOTE = (
    "From the due time of each event; the histograms of the finished runs merged, each curve as far as ten samples lie "
    "beyond it."
)


def latency(evidence: Evidence, arms: Sequence[Arm], load: str) -> Percentiles | None:
    """End-to-end latency by percentile, from the merged histograms of each arm's finished runs."""
    for metric in LATENCIES:
        curves, alt = [], []
        for arm in arms:
            found = evidence.histogram(arm, metric)
            if found is None:
                continue
            histogram, runs = found
            source = Source("histogram", arm.key, metric)
            curves.append(Curve(arm.label, _points(histogram), histogram.n, source))
            alt.append(_latency_alt(arm, histogram, runs, metric))
        if curves:
            return Percentiles(
                key=f"latency-{load}",
                title=f"{_capital(wording.metric_name(metric))} by percentile, load {load}",
                alt=tuple(part for words in alt for part in words),
                note=(f"{_LATENCY_NOTE} ", *_about(arms)),
                unit="ms",
                curves=tuple(curves),
            )
    return None


def _points(histogram: LogLinearHistogram) -> tuple[tuple[float, float], ...]:
    values = ((p, histogram.percentile(p)) for p in _GRID)
    return tuple((p, value) for p, value in values if value is not None and value > 0)


def _latency_alt(arm: Arm, histogram: LogLinearHistogram, runs: int, metric: str) -> Words:
    words: list[Words] = [(f"{_capital(arm.label)}: ",)]
    for name, value in histogram.percentiles().items():
        source = Source("histogram", arm.key, f"{metric} {name}")
        words.append((f"{name} ", wording.number(value, histogram.unit, source), ", "))
    samples = wording.count(histogram.n, "sample", Source("histogram", arm.key, f"{metric} n"))
    words.append((samples, " of ", wording.count(runs, "run", Source("histogram", arm.key, f"{metric} runs")), ". "))
    return tuple(part for sentence in words for part in sentence)


def over_time(evidence: Evidence, arms: Sequence[Arm], load: str) -> OverTime | None:
    """Throughput above backlog above checkpoints, a column an arm, a line a run."""
    finished = [arm for arm in arms if arm.finished]
    shown = finished if len(finished) <= MOST_COLUMNS else [finished[0], finished[-1]]
    rates = [_time_panel(evidence, arm, "throughput", "events/s", throughput) for arm in shown]
    backlogs = [_time_panel(evidence, arm, "backlog", "events", backlog) for arm in shown]
    saved = [_time_panel(evidence, arm, "checkpoint duration", "ms", checkpoints) for arm in shown]
    rows = tuple(tuple(row) for row in (rates, backlogs, saved) if any(panel.lines for panel in row))
    if not rows:
        return None
    left_out = " Only the first arm and the last; the others' series are below." if len(shown) < len(finished) else ""
    since = "the job began to read what lay there" if any(arm.is_drain for arm in shown) else "the load began"
    window = "the measured window is shaded, " if any(panel.measured_s for row in rows for panel in row) else ""
    return OverTime(
        key=f"time-{load}",
        title=f"{_capital(wording.listed([row[0].quantity for row in rows]))} over time, load {load}",
        alt=(f"Small multiples, one line a run, one column each for {wording.listed([arm.label for arm in shown])}.",),
        note=(f"One line a run, seconds since {since}; {window}gaps are missing samples.{left_out} ", *_about(arms)),
        rows=rows,
    )


def _time_panel(evidence: Evidence, arm: Arm, quantity: str, unit: str, lines: Reader) -> TimePanel:
    windows = [window for run in arm.finished if (window := measured_window(run)) is not None]
    # of several lines the last in the chain: what the job read, else what was acknowledged
    found = [
        replace(line, name=f"run {run.repetition + 1}")
        for run in arm.finished
        for line in lines(run, evidence.series(run))[-1:]
    ]
    span = (max(w[0] for w in windows), min(w[1] for w in windows)) if windows else None
    return TimePanel(arm.label, quantity, unit, tuple(found), span)


def cpu(arms: Sequence[Arm]) -> Stacks | None:
    """CPU-seconds per million events: a bar an arm, a segment a component, grouped by load."""
    bars, alt = [], []
    for arm in arms:
        segments = []
        for component in COMPONENTS:
            name = f"{component}_cpu_s_per_million_events"
            value = arm.number(name)
            if value is not None:
                segments.append(Segment(component, value.value, value.source))
                alt.append((f"Load {arm.load}, {arm.label}, {component}: ", value, *interval(arm, name), ". "))
        if segments:
            bars.append(Bar(f"load {arm.load}", arm.label, tuple(segments)))
    if not bars:
        return None
    return Stacks(
        key="cpu",
        title="CPU-seconds per million events, by component",
        alt=tuple(part for words in alt for part in words),
        note=("Means of the finished runs; the generator is the harness, not the system. ", *_about(arms)),
        unit="CPU-s per million events",
        bars=tuple(bars),
    )


def _axis(arms: Sequence[Arm]) -> str:
    knobs = {path for arm in arms for run in arm.runs[:1] for path in run.knobs}
    return next(iter(knobs)).rpartition(".")[2].replace("_", " ") if len(knobs) == 1 else ""


def _place(arm: Arm) -> float | None:
    values = list(arm.runs[0].knobs.values())
    if len(values) == 1 and isinstance(values[0], int | float) and not isinstance(values[0], bool):
        return float(values[0])
    return None


def _about(arms: Sequence[Arm]) -> Words:
    """N of each arm and the machine: a figure that is passed on alone must still say what it rests on."""
    words: list[Words] = []
    loads = {arm.load for arm in arms}
    same = len({len(arm.finished) for arm in arms}) == 1
    if same and len(arms) > 1:
        n = wording.number(len(arms[0].finished), "", Source("counted", arms[0].key, "finished runs"))
        words.append(("Every arm: n = ", n, f" {_runs(arms[0])}; "))
    for arm in () if words else arms:
        name = arm.label if len(loads) == 1 else f"{arm.load}, {arm.label}"
        n = wording.number(len(arm.finished), "", Source("counted", arm.key, "finished runs"))
        words.append((f"{name}: n = ", n, f" {_runs(arm)}; "))
    return (*(part for each in words for part in each), f"{machine([run for arm in arms for run in arm.runs])}.")


def _runs(arm: Arm) -> str:
    return "run" if len(arm.finished) == 1 else "runs"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
