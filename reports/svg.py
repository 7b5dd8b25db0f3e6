"""SVG as text: drawn figures made fit for a page, and small time series written by hand.

A run's series are a few hundred bytes a line, so that two hundred runs fit into one page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

from reports import wording
from reports.report import Line, Sparks, TimePanel

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
WIDTH, HEIGHT, LEFT = 250, 64, 2
POINTS = 90  # a line on 250 pixels shows no more
INKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8B6D00", "#56B4E9", "#5c5c5c", "#1b1f24")
DASHES = ("", "5 2", "1.5 1.5", "7 2 1.5 2")


def small(sparks: Sparks) -> str:
    """One <figure> a panel, all over the same seconds: name, range, lines, the measured window shaded."""
    end = max((t for panel in sparks.panels for line in panel.lines for t in line.t_s), default=0.0)
    return f'<div class="sparks">{"".join(_figure(panel, end) for panel in sparks.panels)}</div>'


def _figure(panel: TimePanel, end: float) -> str:
    values = [value for line in panel.lines for value in line.values if math.isfinite(value)]
    top = max(values, default=0.0)
    highest = wording.with_unit(top, panel.unit)
    names = [f'<i style="color:{INKS[i % len(INKS)]}">{escape(line.name)}</i>' for i, line in enumerate(panel.lines)]
    label = escape(f"{panel.quantity} over {end:.0f} s, highest {highest}", quote=True)
    drawn = "".join(_line(line, index, top, end) for index, line in enumerate(panel.lines))
    caption = f"<b>{escape(panel.quantity)}</b> to {escape(highest)}, 0 to {end:.0f} s<br>{' '.join(names)}"
    return (
        f"<figure><figcaption>{caption}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{_window(panel, end)}'
        f'<path class="axis" d="M{LEFT} 0V{HEIGHT - 1}H{WIDTH}"/>{drawn}</svg></figure>'
    )


def _window(panel: TimePanel, end: float) -> str:
    if panel.measured_s is None or end <= 0:
        return ""
    start, stop = (LEFT + min(1.0, max(0.0, t / end)) * (WIDTH - LEFT) for t in panel.measured_s)
    return f'<rect class="window" x="{start:.0f}" width="{stop - start:.0f}" height="{HEIGHT}"/>'


def _line(line: Line, index: int, top: float, end: float) -> str:
    """The line as one path; a missing sample breaks it."""
    steps: list[str] = []
    broken = True
    for t, value in _thinned(line.t_s, line.values):
        if not math.isfinite(value) or t < 0:
            broken = True
            continue
        x = LEFT + (t / end if end else 0.0) * (WIDTH - LEFT)
        y = HEIGHT - 2 - (value / top if top > 0 else 0.0) * (HEIGHT - 5)
        steps.append(f"{'M' if broken else 'L'}{x:.0f} {min(y, HEIGHT - 1):.0f}")
        broken = False
    dash = DASHES[index % len(DASHES)]
    style = f' stroke-dasharray="{dash}"' if dash else ""
    dot = "h0" if len(steps) == 1 else ""  # a lone sample has no length: the round cap makes it a dot
    return f'<path d="{"".join(steps)}{dot}" stroke="{INKS[index % len(INKS)]}"{style}/>'


def _thinned(t_s: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """At most POINTS points, the highest of each bin: no peak is lost, and a bin of missing samples stays missing."""
    pairs = list(zip(t_s, values, strict=True))
    size = math.ceil(len(pairs) / POINTS)
    if size <= 1:
        return pairs
    bins = [pairs[at : at + size] for at in range(0, len(pairs), size)]
    return [max(each, key=lambda pair: pair[1] if math.isfinite(pair[1]) else -math.inf) for each in bins]


def tidied(text: str, prefix: str, alt: str) -> str:
    """Matplotlib's SVG as an element of a page: ids of its own, a role and a name for who listens, the page's fonts."""
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # matplotlib hashes ids from coordinates that differ in the last digit from call to call: numbered, files stay equal
    ids = dict.fromkeys(re.findall(r'\bid="([^"]+)"', text))
    numbers = {name: f"{prefix}-{index}" for index, name in enumerate(ids)}
    text = re.sub(r'(\bid="|url\(#|href="#)([^")]+)', lambda m: m[1] + numbers.get(m[2], m[2]), text)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", tag[0]), text)
    text = text.replace("'DejaVu Sans'", FONTS.replace('"', "'"))
    text = re.sub(r"\n\s*", "\n", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alt, quote=True)}"', 1)


def framed(drawn: str, title: str, note: Sequence[str]) -> str:
    """A tidied <svg> as a file of its own: the title above it, the note's lines below, a white page behind."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    assert found, "matplotlib always says its viewBox"
    width, height = float(found[1]), float(found[2])
    inner = re.sub(r' (?:width|height)="[\d.]+pt"', "", drawn, count=2)
    inner = inner.replace("<svg", f'<svg y="26" width="{width:g}" height="{height:g}"', 1)
    lines = [f'<text x="7" y="{height + 40 + 11 * at:g}" font-size="7.5" fill="#57606a">{escape(line)}</text>'
             for at, line in enumerate(note)]  # fmt: skip
    total = height + 40 + 11 * len(note)
    heading = f'<text x="7" y="18" font-size="12" font-weight="bold" fill="#1b1f24">{escape(title)}</text>'
    style = f"font-family: {FONTS}".replace('"', "'")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" style="{style}" '
        f'width="{width:g}pt" height="{total:g}pt" viewBox="0 0 {width:g} {total:g}">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{heading}\n{inner}\n{"".join(lines)}</svg>\n'
    )
