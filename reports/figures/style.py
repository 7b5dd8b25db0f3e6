"""The style that all figures share: colours, marks, the text of ticks.

Colours are Okabe and Ito's, which colour-blind readers tell apart; every colour comes with a marker, dash or hatch of
its own, so that the figure survives a grey printer. Text stays text: it can be searched and takes the reader's font.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter

INK, QUIET, GRID = "#1b1f24", "#57606a", "#d8dee4"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5c5c5c", "#8B6D00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 5)))
HATCHES = ("", "//", "\\\\", "xx", "||", "--", "++", "/")  # no dots: each dot is a path of its own

STYLE: Any = {
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
    "text.parse_math": False,  # two amounts in dollars are no formula
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
WIDE_LETTERS, NARROW_LETTERS, HANDLE_LETTERS = 132, 46, 8  # that fit beside each other; a mark and the gap after it
STEPS = (1, 2, 2.5, 5, 10)  # between ticks that a reader can count by


def look(index: int) -> dict[str, Any]:
    """Colour and dash of the index-th line; after eight the dashes move on, so that no two are alike."""
    again = index // len(PALETTE)
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": DASHES[(index + again) % len(DASHES)]}


def legend(canvas: FigureBase, *, narrow: bool, most: int, handles: Sequence[Artist] | None = None) -> None:
    """What the marks mean, above the axes, in as many columns as their names leave room for."""
    drawn: Any = canvas  # matplotlib's types know only the axes that an artist is in
    shown = handles or [one for axes in drawn.axes for one in axes.get_legend_handles_labels()[0]]
    longest = max((len(str(one.get_label())) for one in shown), default=0) + HANDLE_LETTERS
    columns = max(1, min(most, (NARROW_LETTERS if narrow else WIDE_LETTERS) // longest))
    canvas.legend(handles=shown, loc="outside upper left", ncols=columns)


def log_values(axes: Axes, values: Sequence[float]) -> None:
    """Values up the axis, on a log scale."""
    axes.set_yscale("log")
    log_ticks(axes.yaxis, values)


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Round numbers on a log axis, fewer where it spans much."""
    wide = bool(values) and max(values) / min(values) > 30
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if wide else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(digits))


def ticks(axis: Axis, locator: Locator) -> None:
    """Ticks there, with the letters of `digits`."""
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(digits))


def digits(value: float, _position: int | None = None) -> str:
    """A tick's number: 1.5k, 2M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:,.5g}{letter}"
    return f"{round(value, 6):,.6g}"  # a tick stands where it stands: rounded, two of them could read alike


def at_most(bins: int) -> MaxNLocator:
    """So many intervals between round ticks."""
    return MaxNLocator(bins, steps=STEPS)
