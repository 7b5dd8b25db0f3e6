"""Draws figure specs as SVG or PNG. The only package that knows matplotlib; adds no fact to what the spec holds."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, Literal

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.figure import Figure as Canvas
from matplotlib.figure import FigureBase

from reports.figures import measured, priced, sized
from reports.figures.style import QUIET, STYLE
from reports.report import (
    AnyFigure,
    Intervals,
    Ladders,
    OverTime,
    Percentiles,
    Sizing,
    Stacks,
    Tornado,
    Tradeoff,
    plain,
)
from reports.svg import framed, tidied

WIDE_IN, NARROW_IN = 10.0, 3.9  # shown at 96 px an inch: a page's column, a telephone
NOTE_LETTERS = 150  # that fit into a line of a note
_NO_DATE: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}  # the same figure is the same file


Form = Literal["wide", "narrow", "png"]
FEW = 16  # drawings that are made here: below, starting other processes takes as long
_MADE: dict[tuple[AnyFigure, Form], str | bytes] = {}  # since `draw`: pages and files show the same figures


def draw(figures: Sequence[AnyFigure], forms: Sequence[Form]) -> None:
    """Draw all of them, on all cores where that is worth it, and forget what was drawn before.

    By processes that begin anew: a fork takes along what Kafka's clients keep in memory without their threads, and
    may die of it. Whatever the others could not draw is drawn here when it is asked for.
    """
    _MADE.clear()
    asked = [(figure, form) for figure in dict.fromkeys(figures) for form in forms]
    cores = len(os.sched_getaffinity(0))
    if len(asked) < FEW or cores < 2:
        return
    context = multiprocessing.get_context("spawn")
    with (
        suppress(BrokenProcessPool),
        ProcessPoolExecutor(min(cores, 4), context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool,
    ):
        _MADE.update(zip(asked, pool.map(_made, *zip(*asked, strict=True), chunksize=2), strict=True))


def svg(figure: AnyFigure, *, narrow: bool = False) -> str:
    """The figure as an <svg> element for a page, which says title and note itself."""
    return str(_get(figure, "narrow" if narrow else "wide"))


def png(figure: AnyFigure) -> bytes:
    """The figure with title and note as a picture, dense enough for print."""
    made = _get(figure, "png")
    assert isinstance(made, bytes)
    return made


def _get(figure: AnyFigure, form: Form) -> str | bytes:
    if (figure, form) not in _MADE:
        _MADE[figure, form] = _made(figure, form)
    return _MADE[figure, form]


def _made(figure: AnyFigure, form: Form) -> str | bytes:
    if form == "png":
        picture = io.BytesIO()
        with _drawn(figure, narrow=False, alone=True) as canvas:
            canvas.savefig(picture, format="png", dpi=144, metadata={"Software": None})
        return picture.getvalue()
    text = io.StringIO()
    with _drawn(figure, narrow=form == "narrow", alone=False) as canvas:
        canvas.savefig(text, format="svg", metadata=_NO_DATE)
    return tidied(text.getvalue(), f"{figure.key}-{form}", plain(figure.alt))


def svg_file(figure: AnyFigure) -> str:
    """The figure with title and note inside, to be passed on without the report."""
    return framed(svg(figure), figure.title, textwrap.wrap(plain(figure.note), NOTE_LETTERS))


@contextmanager
def _drawn(figure: AnyFigure, *, narrow: bool, alone: bool) -> Iterator[Canvas]:
    with mpl.rc_context(STYLE):
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
        case Intervals() | Ladders():
            return measured.height(figure, narrow=narrow)
        case Percentiles():
            return 3.2 + 0.2 * len(figure.curves)
        case OverTime():
            columns = max(map(len, figure.rows))
            return (1.75 if figure.axis == "seconds" else 3.0) * len(figure.rows) * (columns if narrow else 1) + 0.4
        case Sizing():
            return sized.height(figure, narrow=narrow)
        case Stacks() | Tornado() | Tradeoff():
            return priced.height(figure, narrow=narrow)


def _draw(canvas: FigureBase, figure: AnyFigure, *, narrow: bool) -> None:
    match figure:
        case Intervals():
            measured.intervals(canvas, figure, narrow=narrow)
        case Ladders():
            measured.ladders(canvas, figure, narrow=narrow)
        case Percentiles():
            measured.percentiles(canvas, figure, narrow=narrow)
        case OverTime():
            measured.over_time(canvas, figure, narrow=narrow)
        case Sizing():
            sized.sizing(canvas, figure, narrow=narrow)
        case Stacks():
            priced.stacks(canvas, figure, narrow=narrow)
        case Tornado():
            priced.tornado(canvas, figure, narrow=narrow)
        case Tradeoff():
            priced.tradeoff(canvas, figure, narrow=narrow)
