"""Dollars, drawn: stacked bars with bands, what moves a total, and what is saved against what is lost."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter

from reports import wording
from reports.figures.style import HATCHES, INK, MARKERS, PALETTE, QUIET, at_most, legend, ticks
from reports.report import Bar, Stacks, Tornado, Tradeoff

# ---- stacked bars


def height(figure: Stacks | Tornado | Tradeoff, *, narrow: bool) -> float:
    """Inches, by how many bars there are, and names in the legend."""
    if isinstance(figure, Tornado):
        return 1.2 + (0.62 if narrow else 0.5) * len(figure.bars)
    if isinstance(figure, Tradeoff):
        families = len({way.family for way in figure.ways}) + 1
        return 3.2 + 0.22 * -(-families // (1 if narrow else 3))
    groups = len({bar.group for bar in figure.bars})
    kinds = len({segment.kind for bar in figure.bars for segment in bar.segments})
    return 0.9 + 0.42 * len(figure.bars) + 0.35 * groups + 0.22 * -(-kinds // (2 if narrow else 5))


def stacks(canvas: FigureBase, figure: Stacks, *, narrow: bool) -> None:
    """Horizontal bars of parts, grouped, each with its total and band."""
    axes = canvas.subplots()
    kinds = list(dict.fromkeys(segment.kind for bar in figure.bars for segment in bar.segments))
    places = _places(figure.bars)
    for kind in kinds:
        drawn = _stack_kind(axes, figure.bars, places, kind, kinds)
        if drawn is not None:
            drawn.set_label(kind)
    reach = max((max(_total(bar), bar.high or 0.0) for bar in figure.bars), default=1.0)
    banded = [(_total(b), b.low, b.high, y) for b, y in zip(figure.bars, places, strict=True) if b.low is not None]
    if banded:
        totals, lows, highs, at = map(np.array, zip(*banded, strict=True))
        band = np.maximum(0.0, [totals - lows, highs - totals])
        axes.errorbar(totals, at, xerr=band, fmt="none", ecolor=INK, capsize=3, elinewidth=1.2)
    for bar, y in zip(figure.bars, places, strict=True):
        text = f"{'at least ' if bar.at_least else ''}{_amount(bar, figure.unit)}"
        axes.annotate(
            text, (max(_total(bar), bar.high or 0.0), y), (6, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    axes.set_yticks(places, [textwrap.fill(bar.arm, 22) if narrow else bar.arm for bar in figure.bars])
    _group_names(axes, figure.bars, places)
    axes.invert_yaxis()
    axes.set_xlim(0, reach * (1.5 if narrow else 1.18) or 1.0)
    ticks(axes.xaxis, at_most(3 if narrow else 6))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(figure.unit)
    legend(canvas, narrow=narrow, most=5)


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
    if bars:
        axes.set_ylim(-0.45 if bars[0].group else -0.6, places[-1] + 0.55)


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
        hatch=HATCHES[(order + order // len(PALETTE)) % len(HATCHES)],  # after eight no two are alike either
        edgecolor="white",
        linewidth=0.6,
    )


def _total(bar: Bar) -> float:
    return sum(segment.value for segment in bar.segments)


def _amount(bar: Bar, unit: str) -> str:
    total, step = _total(bar), wording.step_of(_total(bar), bar.low, bar.high)
    return wording.usd(total, step) if unit.startswith("USD") else wording.digits(total, step)


# ---- what moves a total


def tornado(canvas: FigureBase, figure: Tornado, *, narrow: bool) -> None:
    """A bar a quantity, from the total at its P10 (circle) to that at its P90 (square); hatched where it turns."""
    axes = canvas.subplots()
    rows = range(len(figure.bars))
    ends = [(min(bar.low, bar.high), max(bar.low, bar.high)) for bar in figure.bars]
    for row, (left, right) in zip(rows, ends, strict=True):
        turns = left < 0 < right
        axes.barh(row, right - left, left=left, height=0.55, edgecolor="white", linewidth=0.6,
                  color=PALETTE[1] if turns else PALETTE[0], hatch="//" if turns else "")  # fmt: skip
        axes.annotate(f"{_dollars(left)} to {_dollars(right)}", ((left + right) / 2, row - 0.28), (0, 2),
                      textcoords="offset points", ha="center", va="bottom", fontsize=8.5)  # fmt: skip
    for marker, label, at in (("o", "P10", "low"), ("s", "P90", "high")):
        axes.plot([getattr(bar, at) for bar in figure.bars], rows, marker, color=INK, markersize=5,
                  markerfacecolor="white", label=f"at its {label}")  # fmt: skip
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    near = min(abs(low), abs(high)) < 1.5 * (high - low)  # else the zero would squeeze every bar into a line
    if low < 0 < high or near:
        axes.axvline(0, color=INK, linewidth=1.2)
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.28 if narrow else 0.12  # for the texts, which are wider than a short bar
    axes.set_xlim(low - room * (high - low), high + room * (high - low))
    axes.set_yticks(rows, [textwrap.fill(bar.name, 18 if narrow else 34) for bar in figure.bars])
    axes.set_ylim(len(figure.bars) - 0.5, -0.75)
    ticks(axes.xaxis, at_most(3 if narrow else 6))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(textwrap.fill(figure.unit, 34 if narrow else 120))
    legend(canvas, narrow=narrow, most=2)


def _dollars(usd: float) -> str:
    return wording.usd(usd, 10.0 ** max(0, len(f"{abs(usd):.0f}") - 3))


# ---- what is saved against what is lost


def tradeoff(canvas: FigureBase, figure: Tradeoff, *, narrow: bool) -> None:
    """A mark a way, the best ones filled and joined: to the left is cheaper, below loses less."""
    axes = canvas.subplots()
    best = sorted((way.cost, way.lost) for way in figure.ways if way.best)
    if len(best) > 1:
        axes.plot(*zip(*best, strict=True), color=QUIET, linestyle="--", drawstyle="steps-post", linewidth=1.2,
                  label="nothing costs less at no more", zorder=1)  # fmt: skip
    for index, family in enumerate(dict.fromkeys(way.family for way in figure.ways)):
        ways = [way for way in figure.ways if way.family == family]
        colour = PALETTE[index % len(PALETTE)]
        axes.scatter([way.cost for way in ways], [way.lost for way in ways], s=44, zorder=2 + index, edgecolors=colour,
                     marker=MARKERS[index % len(MARKERS)], label=family, clip_on=False,
                     facecolors=[colour if way.best else "white" for way in ways])  # fmt: skip
    lost = [way.lost for way in figure.ways if way.lost > 0]
    if lost and max(lost) > 30 * min(lost):  # nothing at all and a tenth of the time must both be seen
        axes.set_yscale("symlog", linthresh=10 ** math.floor(math.log10(min(lost))), subs=[1])
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g} %"))
    ticks(axes.xaxis, at_most(3 if narrow else 6))
    axes.margins(x=0.08)
    axes.set_xlabel(figure.cost_axis)
    axes.set_ylabel(textwrap.fill(figure.lost_axis, 30))
    legend(canvas, narrow=narrow, most=3)
