"""What was measured, drawn: estimates with their intervals, latency by percentile, small multiples over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from reports import wording
from reports.figures.style import MARKERS, PALETTE, QUIET, at_most, digits, legend, log_ticks, log_values, look, ticks
from reports.report import Estimated, IntervalPanel, Intervals, Ladder, Ladders, OverTime, Percentiles, TimePanel

LETTER_IN, PANEL_IN = 0.085, 3.2  # a tick's letter; the narrowest panel of a ladder, without its labels
WIDE = 30  # from so many times the least on, a ladder's values are on a log axis: one of them would hide the rest
LOG_FROM = 8  # several ways to run in one panel: from so many times the least on, the least would lie on the axis
LADDER = 5  # from so many numeric arms on, they are places on an axis and no longer rows


# ---- estimates with intervals


def is_ladder(figure: Intervals) -> bool:
    """Whether its arms are places on an axis."""
    return all(len(panel.arms) >= LADDER and all(arm.at is not None for arm in panel.arms) for panel in figure.panels)


def height(figure: Intervals | Ladders, *, narrow: bool) -> float:
    """Inches: intervals stand beside each other, ladders in pairs, both below each other where it is narrow."""
    many = len(figure.panels)
    if isinstance(figure, Ladders):
        return 0.4 + 2.6 * (many if narrow else -(-many // 2))
    each = 3.0 if is_ladder(figure) else 1.0 + 0.42 * max(len(panel.arms) for panel in figure.panels)
    return each * (many if narrow else 1)


def intervals(canvas: FigureBase, figure: Intervals, *, narrow: bool) -> None:
    """A panel a metric: rows of arms, or a ladder."""
    many = len(figure.panels)
    grid = canvas.subplots(many if narrow else 1, 1 if narrow else many, squeeze=False).ravel()
    for axes, panel in zip(grid, figure.panels, strict=True):
        if is_ladder(figure):
            _ladder(axes, panel, figure.axis)
        else:
            _rows(axes, panel)


def _rows(axes: Axes, panel: IntervalPanel) -> None:
    for row, arm in enumerate(panel.arms):
        colour, marker = PALETTE[row % len(PALETTE)], MARKERS[row % len(MARKERS)]
        axes.plot(
            arm.runs, [row + 0.17] * len(arm.runs), "o", color=colour, markersize=3.2, alpha=0.75, markeredgewidth=0
        )
        axes.errorbar(
            [arm.value], [row], xerr=_error(arm), fmt=marker, color=colour, markersize=7.5, capsize=4, elinewidth=1.8
        )
        text = wording.digits(arm.value, wording.step_of(arm.value, arm.low, arm.high))
        axes.annotate(text, (arm.value, row), (0, 8), textcoords="offset points", ha="center", fontsize=9)
    axes.set_yticks(range(len(panel.arms)), [f"{arm.arm}\nn = {len(arm.runs)}" for arm in panel.arms])
    axes.set_ylim(len(panel.arms) - 0.55, -0.65)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
    ticks(axes.xaxis, at_most(5))
    axes.set_xlabel(panel.unit)
    axes.set_title(panel.name)


def _ladder(axes: Axes, panel: IntervalPanel, axis: str) -> None:
    at = [arm.at or 0.0 for arm in panel.arms]
    means = [arm.value for arm in panel.arms]
    dots = [(arm.at or 0.0, run) for arm in panel.arms for run in arm.runs]
    bands = [(0.0, 0.0) if (band := _error(arm)) is None else (band[0][0], band[1][0]) for arm in panel.arms]
    axes.plot(*zip(*dots, strict=True), "o", color=PALETTE[0], markersize=3, alpha=0.6, markeredgewidth=0)
    axes.errorbar(at, means, yerr=np.transpose(bands), fmt="-o", color=PALETTE[0], capsize=3, elinewidth=1.6, ms=6)
    if min(at) > 0 and max(at) / min(at) >= 10:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    ticks(axes.xaxis, FixedLocator(_legible(at, log=axes.get_xscale() == "log")))
    values = [run for _, run in dots]
    if min(values) > 0 and max(values) / min(values) > WIDE:
        log_values(axes, values)
    else:
        ticks(axes.yaxis, at_most(6))
    axes.margins(y=0.15)
    runs = sorted({len(arm.runs) for arm in panel.arms})
    axes.set_xlabel(f"{axis} (n = {' to '.join(str(n) for n in (runs[0], runs[-1])[: len(runs)])} runs each)")
    axes.set_ylabel(panel.unit)
    axes.set_title(panel.name)


def ladders(canvas: FigureBase, figure: Ladders, *, narrow: bool) -> None:
    """Two panels beside each other, a line for each way to run; a way with one place is a mark without a line."""
    rows = len(figure.panels) if narrow else -(-len(figure.panels) // 2)
    grid = canvas.subplots(rows, 1 if narrow else 2, squeeze=False, sharex=True).ravel()
    names = list(dict.fromkeys(one.name for panel in figure.panels for one in panel.ladders))
    places = sorted({arm.at for panel in figure.panels for one in panel.ladders for arm in one.arms if arm.at})
    for axes, panel in zip(grid, figure.panels, strict=False):
        for one in panel.ladders:  # by name: where a way is missing, the others keep their colour
            _one_ladder(axes, one, names.index(one.name))
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        ticks(axes.xaxis, FixedLocator(_legible(places, log=True)))
        values = [run for one in panel.ladders for arm in one.arms for run in (*arm.runs, arm.value)]
        if min(values) > 0 and max(values) / min(values) > LOG_FROM:
            log_values(axes, values)
        else:
            axes.set_ylim(bottom=0)  # a height then is what it stands for
            ticks(axes.yaxis, at_most(5))
        axes.set_ylabel(panel.unit)
        axes.set_title(panel.name)
        axes.tick_params(labelbottom=True)
    for axes in grid[len(figure.panels) :]:
        axes.set_visible(False)
    for axes in grid[max(0, len(figure.panels) - (1 if narrow else 2)) : len(figure.panels)]:
        axes.set_xlabel(figure.axis)
    legend(canvas, narrow=narrow, most=3, handles=[_key(index, name, figure) for index, name in enumerate(names)])


def _one_ladder(axes: Axes, one: Ladder, index: int) -> None:
    at, means = [arm.at or 0.0 for arm in one.arms], [arm.value for arm in one.arms]
    bands = [(0.0, 0.0) if (band := _error(arm)) is None else (band[0][0], band[1][0]) for arm in one.arms]
    dots = [(arm.at or 0.0, run) for arm in one.arms for run in arm.runs]
    axes.plot(*zip(*dots, strict=True), "o", color=look(index)["color"], markersize=2.6, alpha=0.5, markeredgewidth=0)
    axes.errorbar(at, means, yerr=np.transpose(bands), **_marks(index, len(at)), capsize=3, elinewidth=1.3)


def _marks(index: int, places: int) -> dict[str, Any]:
    line = look(index)
    return {"color": line["color"], "linestyle": line["linestyle"] if places > 1 else "none",
            "marker": MARKERS[index % len(MARKERS)], "markersize": 5.5 if places > 1 else 8}  # fmt: skip


def _key(index: int, name: str, figure: Ladders) -> Any:
    places = max(len(one.arms) for panel in figure.panels for one in panel.ladders if one.name == name)
    return Line2D([], [], label=name, **_marks(index, places))


def _legible(at: Sequence[float], *, log: bool) -> list[float]:
    """The places whose numbers do not run into the one before."""
    places = np.log(at) if log else np.asarray(at)
    span = float(np.ptp(places)) or 1.0
    kept = [0]
    for index in range(1, len(at)):
        needed = (len(digits(at[index])) + 1) * LETTER_IN / PANEL_IN
        if (places[index] - places[kept[-1]]) / span >= needed:
            kept.append(index)
    return [at[index] for index in kept]


def _error(arm: Estimated) -> Any:
    if arm.low is None or arm.high is None:
        return None
    return [[arm.value - arm.low], [arm.high - arm.value]]


# ---- latency by percentile


def percentiles(canvas: FigureBase, figure: Percentiles, *, narrow: bool) -> None:
    """A curve an arm, the tail stretched."""
    axes = canvas.subplots()
    for index, curve in enumerate(figure.curves):
        shares, values = [p for p, _ in curve.points], [v for _, v in curve.points]
        axes.plot(
            [_tail(p) for p in shares],
            values,
            **look(index),
            marker=MARKERS[index % len(MARKERS)],
            markersize=4,
            markevery=_marked(shares),
            label=f"{curve.arm} (n = {curve.n:,} events)",
        )
    reached = max((p for curve in figure.curves for p, _ in curve.points), default=50.0)
    ticks = [p for p in (50, 90, 99, 99.9, 99.99) if p <= reached]
    axes.xaxis.set_major_locator(FixedLocator([_tail(p) for p in ticks]))
    axes.set_xticklabels([f"p{p:g}" for p in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    log_values(axes, [v for curve in figure.curves for _, v in curve.points])
    axes.set_xlabel("percentile of events (the tail is stretched)")
    axes.set_ylabel(f"latency, {figure.unit} (log)")
    legend(canvas, narrow=narrow, most=3)


def _tail(p: float) -> float:
    return float(-np.log10(1 - p / 100))


def _marked(shares: Sequence[float]) -> list[int]:
    return [index for index, p in enumerate(shares) if p in (50, 90, 99, 99.9, 99.99)]


# ---- small multiples over time


def over_time(canvas: FigureBase, figure: OverTime, *, narrow: bool) -> None:
    """A grid of panels with one legend."""
    columns = max(len(row) for row in figure.rows)
    panels = [panel for row in figure.rows for panel in row]
    if narrow:
        grid = canvas.subplots(len(panels), 1, squeeze=False, sharex=True).ravel()
    else:
        grid = canvas.subplots(len(figure.rows), columns, squeeze=False, sharex=True, sharey="row").ravel()
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    for index, (axes, panel) in enumerate(zip(grid, panels, strict=True)):
        _panel(axes, panel, names)
        if narrow or index % columns == 0:
            axes.set_ylabel(panel.unit)
        axes.set_title(f"{panel.quantity}, {panel.name}")
        if index >= len(panels) - (1 if narrow else columns):
            axes.set_xlabel(figure.axis)
    if figure.axis == "seconds":
        _same_scale(grid, figure)
    else:
        lines = [line for panel in panels for line in panel.lines]
        grid[0].set(xscale="log", yscale="log")
        log_ticks(grid[0].xaxis, [x for line in lines for x in line.t_s])
        log_ticks(grid[0].yaxis, [y for line in lines for y in line.values if np.isfinite(y)])
    handles = [grid[0].plot([], [], **look(index), label=name)[0] for index, name in enumerate(names)]
    if 1 < len(handles) <= 12:
        legend(canvas, narrow=narrow, most=8, handles=handles)


def _same_scale(grid: Any, figure: OverTime) -> None:
    """One scale for each row, from all that it shows: one panel's alone would cut off the others' peaks."""
    start = 0
    for row in figure.rows:
        values = [value for panel in row for line in panel.lines for value in line.values if np.isfinite(value)]
        for axes in grid[start : start + len(row)]:
            axes.set_ylim(0, 1.05 * max(values, default=1.0) or 1.0)
        start += len(row)


def _panel(axes: Axes, panel: TimePanel, names: Sequence[str]) -> None:
    if panel.measured_s is not None:
        axes.axvspan(*panel.measured_s, color="#eaeef2", zorder=0, linewidth=0)
    for line in panel.lines:  # by name: where a run is missing, the others keep their colour
        axes.plot(line.t_s, line.values, **look(names.index(line.name)), linewidth=1.3)
    axes.margins(x=0)
    ticks(axes.yaxis, at_most(4))
    ticks(axes.xaxis, at_most(6))
    if not panel.lines:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=QUIET)
