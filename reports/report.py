"""What a report is made of, before it is HTML, Markdown or anything else: plain frozen data.

    Report > Section > Block: Paragraph, Verdict, Facts, Table, figure, Listing, or a Section within

Every number carries its text and its source, so that any renderer prints the same thing and a test can trace it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

SCHEMA = 1


class Tone(StrEnum):
    """What a sentence means for the reader; renderers turn it into colour *and* a word or sign, never colour alone."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"
    WARNING = "warning"


@dataclass(frozen=True)
class Source:
    """Where a number comes from.

    `kind` says what `ref` names, `path` what of it was taken:
    run (trial-id/utc; "disk_bytes_per_event p99") - check (trial-id/utc; its name) - series, histogram (trial-id/utc;
    its name) - cell ("steady/partitions 6"; "disk_bytes_per_event high") - verdict (claim; "low") -
    bill ("arm/platform"; "usd_month.p50") - price (id; region) - usage (arm; dotted path) - scenario (its name;
    dotted path) - counted ("runs"; what was counted) - derived (the formula; made of `of`).
    """

    kind: str
    ref: str
    path: str = ""
    of: tuple[Source, ...] = ()

    def __str__(self) -> str:
        made_of = f" of {'; '.join(map(str, self.of))}" if self.of else ""
        return f"{self.kind} {self.ref}{': ' if self.path else ''}{self.path}{made_of}"


@dataclass(frozen=True)
class Number:
    """A number as it is and as it is read: `text` already has its unit unless the column shows it.

    `step`: the text is rounded to multiples of it, because nothing finer is known; 0: to three significant digits.
    """

    value: float
    text: str
    unit: str
    source: Source
    step: float = 0.0


@dataclass(frozen=True)
class Link:
    """Words that lead to the section `to` of the same report, where the medium can."""

    text: str
    to: str


@dataclass(frozen=True)
class Badge:
    """One word of judgement within a sentence or a cell; its tone is the reader's first impression."""

    text: str
    tone: Tone


Words = tuple["str | Number | Link | Badge", ...]
"""A sentence or the content of a table's cell; () is a cell without a value, shown as missing."""


@dataclass(frozen=True)
class Paragraph:
    """Sentences, with the numbers in them."""

    words: Words
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Verdict:
    """What became of one claim: the word, the claim verbatim, one plain sentence, what it rests on."""

    claim: str  # its id
    verdict: str  # supported, refuted, inconclusive, not testable here
    tone: Tone
    said: str  # the claim, verbatim
    sentence: Words
    evidence: Words = ()  # estimate, interval, n


@dataclass(frozen=True)
class Fact:
    """One answer below its question or heading."""

    name: str
    words: Words
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Facts:
    """A few named answers, one below the other."""

    key: str
    rows: tuple[Fact, ...]


@dataclass(frozen=True)
class Column:
    """One column: `numeric` ones are right-aligned and sort by value."""

    name: str
    unit: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells below columns; the caption says what a row is."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Words, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Listing:
    """Text to be kept as it is: commands to type, the tail of a log."""

    lines: tuple[str, ...]
    language: str = "text"  # or "sh"


@dataclass(frozen=True)
class Figure:
    """What every figure has. `title` is the finding or the quantity, `alt` says in words what is to be seen."""

    key: str
    title: str
    alt: Words
    note: Words  # n, machine, conditions: printed below the figure


@dataclass(frozen=True)
class Estimated:
    """One arm of an interval panel: the estimate with its interval (or None), and each run as a dot.

    `at` is the arm's place on a numeric axis (6 partitions: 6), None where the arms are no numbers.
    """

    arm: str
    at: float | None
    value: float
    low: float | None
    high: float | None
    runs: tuple[float, ...]
    source: Source


@dataclass(frozen=True)
class IntervalPanel:
    """One metric over the arms."""

    name: str
    unit: str
    arms: tuple[Estimated, ...]


@dataclass(frozen=True)
class Intervals(Figure):
    """Estimates with intervals and the single runs as dots; one panel a metric. `axis` names what the arms vary."""

    axis: str
    panels: tuple[IntervalPanel, ...]


@dataclass(frozen=True)
class Ladder:
    """One line of a panel: a setting's values along the axis, each an estimate with its runs; one alone is a mark."""

    name: str
    arms: tuple[Estimated, ...]


@dataclass(frozen=True)
class LadderPanel:
    """One metric over a numeric setting."""

    name: str
    unit: str
    ladders: tuple[Ladder, ...]


@dataclass(frozen=True)
class Ladders(Figure):
    """Panels that share their axis (log), a line for each way to run; `axis` names what varies along it."""

    axis: str
    panels: tuple[LadderPanel, ...]


@dataclass(frozen=True)
class Curve:
    """Latency by percentile of one arm: (percentile 0-100, value), only as far as the sample supports."""

    arm: str
    points: tuple[tuple[float, float], ...]
    n: int
    source: Source


@dataclass(frozen=True)
class Percentiles(Figure):
    """One curve an arm; percentiles on an axis that stretches the tail, values on a log axis."""

    unit: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Line:
    """One series: seconds since the load began (or the figure's own axis), values; NaN is missing, drawn as a gap."""

    name: str
    t_s: tuple[float, ...]
    values: tuple[float, ...]
    source: Source


@dataclass(frozen=True)
class TimePanel:
    """One quantity over time; `measured_s` is the measured window of its runs, shaded."""

    name: str  # what the panel is about: the arm, or the quantity
    quantity: str
    unit: str
    lines: tuple[Line, ...]
    measured_s: tuple[float, float] | None = None


@dataclass(frozen=True)
class OverTime(Figure):
    """Small multiples: a row a quantity (shared value axis), a column an arm."""

    rows: tuple[tuple[TimePanel, ...], ...]
    axis: str = "seconds"  # what lies along the figure; anything but seconds is drawn on a log axis


@dataclass(frozen=True)
class Tried:
    """One size that was run: where it lies, and `what` came out: enough, too few, too many, or other words."""

    at: float
    value: float
    what: str
    source: Source


@dataclass(frozen=True)
class Level:
    """What is asked, as a line across."""

    name: str
    value: float


@dataclass(frozen=True)
class Sizing(Figure):
    """How large is large enough, and what more costs: two panels over a size (log).

    Left what each size was `shown` to carry and what is `ruled_out` (None: nothing is), the sizes that were tried, and
    what is asked. Right `dearer`: a line a platform, against the `chosen` size. `low`..`chosen` is shaded: not known.
    `folk` is marked for comparison.
    """

    axis: str
    carries_unit: str
    shown: Line
    ruled_out: Line | None
    tried: tuple[Tried, ...]
    levels: tuple[Level, ...]
    dearer_name: str
    dearer_unit: str
    dearer: tuple[Line, ...]
    low: float
    chosen: float
    folk: float


@dataclass(frozen=True)
class Segment:
    """One part of a bar."""

    kind: str
    value: float
    source: Source


@dataclass(frozen=True)
class Bar:
    """One bar of parts; `low`..`high`: its total's band, None where unknown; `at_least`: something has no price."""

    group: str  # platform; "" where there are no groups
    arm: str
    segments: tuple[Segment, ...]
    low: float | None = None
    high: float | None = None
    at_least: bool = False


@dataclass(frozen=True)
class Stacks(Figure):
    """Bars of parts, grouped; the same kinds have the same colour and hatch in every bar."""

    unit: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Range:
    """What one uncertain quantity alone does to a total: its value at the quantity's low end and at its high end."""

    name: str
    low: float
    high: float
    source: Source


@dataclass(frozen=True)
class Tornado(Figure):
    """One bar a quantity, the widest first. At 0 the answer turns: `below` is meant left of it, `above` right."""

    unit: str
    below: str
    above: str
    bars: tuple[Range, ...]


@dataclass(frozen=True)
class Way:
    """One way to run something. Ways of one `family` share a mark; `best`: nothing costs less and loses no more."""

    family: str
    cost: float
    lost: float
    best: bool
    source: Source


@dataclass(frozen=True)
class Tradeoff(Figure):
    """What each way costs against what it loses; the best ones are joined by a line."""

    cost_axis: str
    lost_axis: str
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Sparks:
    """Small time series of one run, each drawn as one line with its range: too many to be figures of their own."""

    key: str
    panels: tuple[TimePanel, ...]


AnyFigure = Intervals | Ladders | Percentiles | OverTime | Sizing | Stacks | Tornado | Tradeoff


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it.

    `folded` ones open on demand where the medium can; `bulky` ones are only counted where it cannot hold them.
    """

    key: str
    title: str
    blocks: tuple[Any, ...]  # Block, as above: a type of it would be recursive
    folded: bool = False
    bulky: bool = False


class Result(StrEnum):
    """How a case ended, in JUnit's words."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Case:
    """One thing that can pass or fail: a run, a check, a claim, a threshold."""

    group: str  # runs, checks, claims, thresholds
    name: str
    result: Result
    message: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True)
class Report:
    """The whole story. `cases` are what JUnit counts."""

    scenario: str
    title: str
    question: str
    generated_utc: str
    machine: str
    sections: tuple[Section, ...]
    cases: tuple[Case, ...] = ()


def said(text: str, tone: Tone = Tone.PLAIN) -> Paragraph:
    """A paragraph without numbers of its own."""
    return Paragraph((text,), tone)


def walk(node: Any) -> Iterator[Any]:
    """Every dataclass within `node`, itself included, in reading order."""
    if isinstance(node, tuple):
        for item in node:
            yield from walk(item)
    elif is_dataclass(node) and not isinstance(node, type):
        yield node
        for field in fields(node):
            yield from walk(getattr(node, field.name))


def _blocks(blocks: tuple[Any, ...]) -> Iterator[Any]:
    for block in blocks:  # in reading order, those of sections within included
        yield block
        if isinstance(block, Section):
            yield from _blocks(block.blocks)


def figures(report: Report) -> Iterator[AnyFigure]:
    """The report's figures in reading order."""
    return (block for block in _blocks(report.sections) if isinstance(block, AnyFigure))


def tables(section: Section) -> Iterator[Table]:
    """A section's tables in reading order."""
    return (block for block in _blocks((section,)) if isinstance(block, Table))


def plain(words: Words) -> str:
    """The words as one string; "missing" where there are none. An empty word is no gap: nothing belongs there."""
    return "".join(part if isinstance(part, str) else part.text for part in words) if words else "missing"
