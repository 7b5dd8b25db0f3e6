"""Draws figure specs as SVG or PNG. The only module that knows matplotlib; adds no fact to what the spec holds.

Colours are Okabe and Ito's, which colour-blind readers tell apart; every colour comes with a marker, dash or hatch of
its own, so that the figure survives a grey printer. Text stays text: it can be searched and takes the reader's font.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import BarContainer
from matplotlib.figure import Figure as Canvas
from matplotlib.figure import FigureBase
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from reports import wording
from reports.report import (
    AnyFigure,
    Bar,
    Estimated,
    IntervalPanel,
    Intervals,
    OverTime,
    Percentiles,
    Stacks,
    TimePanel,
    plain,
)
from reports.svg import framed, tidied

WIDE_IN, NARROW_IN = 10.0, 3.9  # shown at 96 px an inch: a page's column, a telephone
INK, QUIET, GRID = "#1b1f24", "#57606a", "#d8dee4"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5c5c5c", "#8B6D00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 5)))
HATCHES = ("", "//", "\\\\", "xx", "||", "--", "++", "/")  # no dots: each dot is a path of its own
NOTE_LETTERS = 150  # that fit into a line of a note
LADDER = 5  # from so many numeric arms on, they are places on an axis and no longer rows

_STYLE: Any = {
    "font.family": "DejaVu Sans",  # measures wide: whatever font the reader has fits in its place
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "streamgauge",
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
_NO_DATE: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}  # the same figure is the same file


def svg(figure: AnyFigure, *, narrow: bool = False) -> str:
    """The figure as an <svg> element for a page, which says title and note itself."""
    return _svg(figure, narrow)


@lru_cache(maxsize=128)
def _svg(figure: AnyFigure, narrow: bool) -> str:  # noqa: FBT001 -- by position: a keyword would be a key of its own
    text = io.StringIO()
    with _drawn(figure, narrow=narrow, alone=False) as canvas:
        canvas.savefig(text, format="svg", metadata=_NO_DATE)
    return tidied(text.getvalue(), f"{figure.key}-{'narrow' if narrow else 'wide'}", plain(figure.alt))


def svg_file(figure: AnyFigure) -> str:
    """The figure with title and note inside, to be passed on without the report."""
    return framed(svg(figure), figure.title, textwrap.wrap(plain(figure.note), NOTE_LETTERS))


def png(figure: AnyFigure) -> bytes:
    """The same as a picture, dense enough for print."""
    picture = io.BytesIO()
    with _drawn(figure, narrow=False, alone=True) as canvas:
        canvas.savefig(picture, format="png", dpi=144, metadata={"Software": None})
    return picture.getvalue()


@contextmanager
def _drawn(figure: AnyFigure, *, narrow: bool, alone: bool) -> Iterator[Canvas]:
    with mpl.rc_context(_STYLE):
        width, height = NARROW_IN if narrow else WIDE_IN, _height(figure, narrow=narrow)
        if not alone:
            canvas = Canvas(figsize=(width, height), layout="constrained")
            _draw(canvas, figure, narrow=narrow)
        else:
            note = textwrap.wrap(plain(figure.note), NOTE_LETTERS)
            heights = (0.35, height, 0.1 + 0.15 * len(note))
            canvas = Canvas(figsize=(width, sum(heights)), layout="constrained")
            parts: Any = canvas.subfigures(3, 1, height_ratios=heights)
            title, body, foot = parts
            title.text(0.01, 0.5, figure.title, va="center", fontsize=12, fontweight="bold")
            foot.text(0.01, 0.95, "\n".join(note), va="top", fontsize=7.5, color=QUIET)
            _draw(body, figure, narrow=narrow)
        yield canvas


def _height(figure: AnyFigure, *, narrow: bool) -> float:
    match figure:
        case Intervals():
            rows = max(len(panel.arms) for panel in figure.panels)
            each = 3.0 if _is_ladder(figure) else 1.0 + 0.42 * rows
            return each * (len(figure.panels) if narrow else 1)
        case Percentiles():
            return 3.2 + 0.2 * len(figure.curves)
        case OverTime():
            columns = max(map(len, figure.rows))
            return (1.75 if figure.axis == "seconds" else 3.0) * len(figure.rows) * (columns if narrow else 1) + 0.4
        case Stacks():
            groups = len({bar.group for bar in figure.bars})
            kinds = len({segment.kind for bar in figure.bars for segment in bar.segments})
            return 0.9 + 0.42 * len(figure.bars) + 0.35 * groups + 0.22 * -(-kinds // (2 if narrow else 5))


def _draw(canvas: FigureBase, figure: AnyFigure, *, narrow: bool) -> None:
    match figure:
        case Intervals():
            _intervals(canvas, figure, narrow=narrow)
        case Percentiles():
            _percentiles(canvas, figure, narrow=narrow)
        case OverTime():
            _over_time(canvas, figure, narrow=narrow)
        case Stacks():
            _stacks(canvas, figure, narrow=narrow)


# ---- estimates with intervals


def _is_ladder(figure: Intervals) -> bool:
    return all(len(panel.arms) >= LADDER and all(arm.at is not None for arm in panel.arms) for panel in figure.panels)


def _intervals(canvas: FigureBase, figure: Intervals, *, narrow: bool) -> None:
    many = len(figure.panels)
    grid = canvas.subplots(many if narrow else 1, 1 if narrow else many, squeeze=False).ravel()
    for axes, panel in zip(grid, figure.panels, strict=True):
        if _is_ladder(figure):
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
    _ticks(axes.xaxis, MaxNLocator(5))
    axes.set_xlabel(panel.unit)
    axes.set_title(panel.name)


def _ladder(axes: Axes, panel: IntervalPanel, axis: str) -> None:
    at = [arm.at or 0.0 for arm in panel.arms]
    for arm in panel.arms:
        axes.plot(
            [arm.at or 0.0] * len(arm.runs), arm.runs, "o", color=PALETTE[0], markersize=3, alpha=0.6, markeredgewidth=0
        )
        axes.errorbar(
            [arm.at or 0.0], [arm.value], yerr=_error(arm), fmt="none", ecolor=PALETTE[0], capsize=3, elinewidth=1.6
        )
    axes.plot(at, [arm.value for arm in panel.arms], "-o", color=PALETTE[0], markersize=6)
    if min(at) > 0 and max(at) / min(at) >= 10:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    _ticks(axes.xaxis, FixedLocator(at))
    _ticks(axes.yaxis, MaxNLocator(6))
    axes.margins(y=0.15)
    runs = sorted({len(arm.runs) for arm in panel.arms})
    axes.set_xlabel(f"{axis} (n = {' to '.join(str(n) for n in (runs[0], runs[-1])[: len(runs)])} runs each)")
    axes.set_ylabel(panel.unit)
    axes.set_title(panel.name)


def _error(arm: Estimated) -> Any:
    if arm.low is None or arm.high is None:
        return None
    return [[arm.value - arm.low], [arm.high - arm.value]]


# ---- latency by percentile


def _percentiles(canvas: FigureBase, figure: Percentiles, *, narrow: bool) -> None:
    axes = canvas.subplots()
    for index, curve in enumerate(figure.curves):
        shares, values = [p for p, _ in curve.points], [v for _, v in curve.points]
        axes.plot(
            [_tail(p) for p in shares],
            values,
            **_look(index),
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
    _log_values(axes, [v for curve in figure.curves for _, v in curve.points])
    axes.set_xlabel("percentile of events (the tail is stretched)")
    axes.set_ylabel(f"latency, {figure.unit} (log)")
    canvas.legend(loc="outside upper left", ncols=1 if narrow else min(3, len(figure.curves)))


def _look(index: int) -> dict[str, Any]:
    """Colour and dash of the index-th line; after eight the dashes move on, so that no two are alike."""
    again = index // len(PALETTE)
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": DASHES[(index + again) % len(DASHES)]}


def _tail(p: float) -> float:
    return float(-np.log10(1 - p / 100))


def _marked(shares: Sequence[float]) -> list[int]:
    return [index for index, p in enumerate(shares) if p in (50, 90, 99, 99.9, 99.99)]


def _log_values(axes: Axes, values: Sequence[float]) -> None:
    axes.set_yscale("log")
    _log_ticks(axes.yaxis, values)


def _log_ticks(axis: Axis, values: Sequence[float]) -> None:
    wide = bool(values) and max(values) / min(values) > 30
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if wide else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(_digits))


# ---- small multiples over time


def _over_time(canvas: FigureBase, figure: OverTime, *, narrow: bool) -> None:
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
        _log_ticks(grid[0].xaxis, [x for line in lines for x in line.t_s])
        _log_ticks(grid[0].yaxis, [y for line in lines for y in line.values if np.isfinite(y)])
    handles = [grid[0].plot([], [], **_look(index), label=name)[0] for index, name in enumerate(names)]
    if 1 < len(handles) <= 12:
        canvas.legend(handles=handles, loc="outside upper left", ncols=3 if narrow else 8)


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
        axes.plot(line.t_s, line.values, **_look(names.index(line.name)), linewidth=1.3)
    axes.margins(x=0)
    _ticks(axes.yaxis, MaxNLocator(4))
    if not panel.lines:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=QUIET)


# ---- stacked bars


def _stacks(canvas: FigureBase, figure: Stacks, *, narrow: bool) -> None:
    axes = canvas.subplots()
    kinds = list(dict.fromkeys(segment.kind for bar in figure.bars for segment in bar.segments))
    places = _places(figure.bars)
    for kind in kinds:
        drawn = _stack_kind(axes, figure.bars, places, kind, kinds)
        if drawn is not None:
            drawn.set_label(kind)
    reach = max((max(_total(bar), bar.high or 0.0) for bar in figure.bars), default=1.0)
    for bar, y in zip(figure.bars, places, strict=True):
        if bar.low is not None and bar.high is not None:
            band = [[max(0.0, _total(bar) - bar.low)], [max(0.0, bar.high - _total(bar))]]
            axes.errorbar([_total(bar)], [y], xerr=band, fmt="none", ecolor=INK, capsize=3, elinewidth=1.2)
        text = f"{'at least ' if bar.at_least else ''}{_amount(bar, figure.unit)}"
        axes.annotate(
            text, (max(_total(bar), bar.high or 0.0), y), (6, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    axes.set_yticks(places, [bar.arm for bar in figure.bars])
    _group_names(axes, figure.bars, places)
    axes.invert_yaxis()
    axes.set_xlim(0, reach * (1.5 if narrow else 1.18) or 1.0)
    _ticks(axes.xaxis, MaxNLocator(3 if narrow else 6))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(figure.unit)
    canvas.legend(loc="outside upper left", ncols=2 if narrow else 5)


def _places(bars: Sequence[Bar]) -> list[float]:
    places, y = [], 0.0
    for index, bar in enumerate(bars):
        if bar.group and (index == 0 or bar.group != bars[index - 1].group):
            y += 0.75
        places.append(y)
        y += 1.0
    return places


def _group_names(axes: Axes, bars: Sequence[Bar], places: Sequence[float]) -> None:
    starts = [0, *(i + 1 for i, (before, after) in enumerate(pairwise(bars)) if before.group != after.group)]
    for index in starts if bars and bars[0].group else []:
        axes.text(0, places[index] - 0.78, f" {bars[index].group}", va="center", fontweight="bold")
    if bars and bars[0].group:
        axes.set_ylim(-0.45, places[-1] + 0.55)


def _stack_kind(
    axes: Axes, bars: Sequence[Bar], places: Sequence[float], kind: str, kinds: Sequence[str]
) -> BarContainer | None:
    order = kinds.index(kind)
    widths = [sum(s.value for s in bar.segments if s.kind == kind) for bar in bars]
    lefts = [sum(s.value for s in bar.segments if kinds.index(s.kind) < order) for bar in bars]
    if not any(widths):
        return None
    return axes.barh(
        places,
        widths,
        left=lefts,
        height=0.72,
        color=PALETTE[order % len(PALETTE)],
        hatch=HATCHES[order % len(HATCHES)],
        edgecolor="white",
        linewidth=0.6,
    )


def _total(bar: Bar) -> float:
    return sum(segment.value for segment in bar.segments)


def _amount(bar: Bar, unit: str) -> str:
    total, step = _total(bar), wording.step_of(_total(bar), bar.low, bar.high)
    return wording.usd(total, step) if unit.startswith("USD") else wording.digits(total, step)


def _ticks(axis: Axis, locator: Locator) -> None:
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(_digits))


def _digits(value: float, _position: int | None = None) -> str:
    """A tick's number: 1.5k, 2M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:,.5g}{letter}"
    return f"{round(value, 6):,.6g}"  # a tick stands where it stands: rounded, two of them could read alike
