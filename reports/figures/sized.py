"""How large is large enough, and what more costs, drawn."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from reports.figures.style import INK, PALETTE, QUIET, at_most, legend, log_ticks, log_values, look, ticks
from reports.report import Sizing, Tried

_MARKS = {"enough": ("o", PALETTE[2]), "too few": ("X", PALETTE[1]), "too many": ("P", PALETTE[3])}
_OTHER = ("D", QUIET)
OWN_LOOKS = 4  # colours that the left panel has for itself


def height(figure: Sizing, *, narrow: bool) -> float:
    """Inches: two panels, and a legend that grows with the platforms."""
    keys = len(figure.dearer) + 6
    return 5.6 + 0.22 * keys if narrow else 3.2 + 0.22 * -(-keys // 4)


def sizing(canvas: FigureBase, figure: Sizing, *, narrow: bool) -> None:
    """Both panels under one legend."""
    grid = canvas.subplots(2 if narrow else 1, 1 if narrow else 2, squeeze=False).ravel()
    carries, dearer = grid
    _carries(carries, figure)
    _dearer(dearer, figure)
    for axes in grid:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        places = figure.dearer[0].t_s if figure.dearer else figure.shown.t_s
        axes.set_xlim(places[0] / 1.15, places[-1] * 1.15)  # room for the marks at the ends
        log_ticks(axes.xaxis, places)
        axes.set_xlabel(figure.axis)
        axes.axvline(figure.chosen, color=INK, linewidth=1.2)
        axes.axvline(figure.folk, color=QUIET, linewidth=1.0, linestyle=":")
        if figure.low < figure.chosen:
            axes.axvspan(figure.low, figure.chosen, color="#fff3d6", zorder=0, linewidth=0)
    legend(canvas, narrow=narrow, most=4, handles=_keys(figure))


def _carries(axes: Axes, figure: Sizing) -> None:
    axes.plot(figure.shown.t_s, figure.shown.values, color=PALETTE[2], linewidth=1.8)
    values = [*figure.shown.values, *(level.value for level in figure.levels)]
    if figure.ruled_out is not None:
        axes.plot(figure.ruled_out.t_s, figure.ruled_out.values, color=PALETTE[1], linewidth=1.5, linestyle="--")
        values += figure.ruled_out.values
    for one in figure.tried:
        marker, colour = _MARKS.get(one.what, _OTHER)
        axes.plot([one.at], [one.value], marker, color=colour, markersize=7, markeredgecolor="white", zorder=3)
    for level in figure.levels:
        axes.axhline(level.value, color=PALETTE[0], linewidth=1.0, linestyle="-.")
        axes.annotate(level.name, (figure.shown.t_s[-1], level.value), (-3, 3), textcoords="offset points", ha="right",
                      fontsize=8, color=PALETTE[0])  # fmt: skip
    log_values(axes, values + [one.value for one in figure.tried])
    axes.set_ylabel(figure.carries_unit)
    axes.set_title("What so many were shown to carry")


def _dearer(axes: Axes, figure: Sizing) -> None:
    for index, line in enumerate(figure.dearer):
        axes.plot(line.t_s, line.values, **look(index + OWN_LOOKS))
    axes.axhline(0, color=QUIET, linewidth=0.8)
    known = [value for line in figure.dearer for value in line.values if math.isfinite(value)]
    if known:
        ticks(axes.yaxis, at_most(6))
    axes.set_ylabel(figure.dearer_unit)
    axes.set_title(figure.dearer_name)


def _keys(figure: Sizing) -> list[Line2D | Patch]:
    keys: list[Line2D | Patch] = [Line2D([], [], color=PALETTE[2], linewidth=1.8, label=figure.shown.name)]
    if figure.ruled_out is not None:
        keys.append(Line2D([], [], color=PALETTE[1], linestyle="--", label=figure.ruled_out.name))
    keys += [_mark(one) for one in {one.what: one for one in figure.tried}.values()]
    keys.append(Line2D([], [], color=INK, linewidth=1.2, label=f"{figure.chosen:,.0f}: the answer"))
    keys.append(Line2D([], [], color=QUIET, linestyle=":", label=f"{figure.folk:,.0f}: the folk start"))
    if figure.low < figure.chosen:
        keys.append(Patch(color="#fff3d6", label=f"{figure.low:,.0f} to {figure.chosen:,.0f}: not known"))
    return [
        *keys,
        *(Line2D([], [], label=line.name, **look(index + OWN_LOOKS)) for index, line in enumerate(figure.dearer)),
    ]


def _mark(one: Tried) -> Line2D:
    marker, colour = _MARKS.get(one.what, _OTHER)
    return Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=7, label=f"runs: {one.what}")
