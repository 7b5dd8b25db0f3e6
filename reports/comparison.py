"""Two results against each other, told: what got worse first, then every metric, then what was allowed to differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.analysis.compare import Change, Compared, Row
from bench.analysis.ratio import MOST
from bench.sides import Side
from reports import wording
from reports.details import bare, scale
from reports.evidence import machine
from reports.report import Case, Column, Number, Paragraph, Report, Result, Section, Source, Table, Tone, Words, said

_TONES = {
    Change.WORSE: Tone.BAD,
    Change.MISSING: Tone.BAD,
    Change.BETTER: Tone.GOOD,
    Change.SAME: Tone.PLAIN,
    Change.UNDECIDED: Tone.UNSURE,
}
_RESULTS = {Change.WORSE: Result.FAILED, Change.MISSING: Result.FAILED, Change.UNDECIDED: Result.SKIPPED}


def tell(found: Compared, base: Side, new: Side, *, generated_utc: str) -> Report:
    """The report of one comparison. What a gate fails on is said first, and nothing inconclusive counts as a pass."""
    runs = [*base.runs, *new.runs]
    return Report(
        scenario="compare",
        title=f"{new.word} against {base.word}",
        question="Did anything get worse?",
        generated_utc=generated_utc,
        machine=machine(runs),
        sections=(_verdicts(found), _numbers(found), *_told(found)),
        cases=tuple(_cases(found)),
    )


def _verdicts(found: Compared) -> Section:
    blocks: list[Any] = []
    for change in (Change.WORSE, Change.MISSING, Change.BETTER):
        blocks += [_sentence(row) for row in found.rows if row.change is change]
    words = {
        Change.SAME: "without a difference that counts",
        Change.UNDECIDED: "inconclusive: too noisy, or too few runs, to say either way",
    }
    for change, text in words.items():
        rows = [row for row in found.rows if row.change is change]
        if rows:
            many = wording.count(len(rows), "metric", Source("counted", "rows", str(change)))
            names = wording.listed(list(dict.fromkeys(_metric(row) for row in rows)))
            blocks.append(Paragraph((many, f" {text}: {names}."), _TONES[change]))
    blocks += [said(text, Tone.BAD) for text in found.unreadable]
    if any(found.left_out):
        counts = [wording.count(many, "run", Source("counted", side, "left out"))
                  for many, side in zip(found.left_out, ("base", "new"), strict=True)]  # fmt: skip
        why = " of the new result are no evidence (not finished, or with wrong outputs) and were left out."
        blocks.append(Paragraph((counts[0], " of the base and ", counts[1], why), Tone.WARNING))
    if not found.rows:
        blocks.append(said("No metric that both have can be judged, so nothing passes.", Tone.BAD))
    blocks.append(said("The gate passes." if found.passes else "The gate fails.",
                       Tone.GOOD if found.passes else Tone.BAD))  # fmt: skip
    return Section("verdicts", "Verdict", tuple(blocks))


def _sentence(row: Row) -> Paragraph:
    cell = _cell(row)
    words = row.sentence.removeprefix(f"{row.change}: ")
    return Paragraph((f"{str(row.change).upper()} {_metric(row)}{f' ({cell})' if cell else ''}: {words}.",),
                     _TONES[row.change])  # fmt: skip


def _numbers(found: Compared) -> Section:
    return Section("numbers", "The numbers", (table(found, "compared", "Means of finished runs"),))


RANKS = "of a tail the change is the pairs' own, which one outlier does not move; it moves the means."


def table(found: Compared, key: str, caption: str, arms: tuple[str, str] = ("base", "new")) -> Table:
    """Every row: the two means, their ratio with its interval, and what it comes to. `arms`: what they are called."""
    base, new = arms
    columns = (
        Column("metric"), Column("cell"), Column(base, numeric=True), Column(new, numeric=True), Column("unit"),
        Column("change", numeric=True), Column("95 % interval", numeric=True), Column("counts from", numeric=True),
        Column("runs"), Column("verdict"),
    )  # fmt: skip
    note = (
        "Change: ratio of geometric means. Worse takes both a change of at least what counts and more than noise "
        "explains, corrected for the number of metrics."
    ) + (f" By ranks: {RANKS}" if any("by ranks" in row.how for row in found.rows) else "")
    return Table(key, caption, columns, tuple(_cells(row) for row in found.rows), note)


def _cells(row: Row) -> tuple[Words, ...]:
    factor, unit = scale(row.unit, max(abs(row.base), abs(row.new or 0.0)))

    def shown(value: float | None, part: str) -> Words:
        if value is None:
            return ()
        return (bare(wording.number(value, "", Source("compared", row.name, part)), factor),)

    def change(value: float | None, part: str) -> Number | None:
        if value is None:
            return None
        text = f"{value - 1:+.1%}" if value < MOST else "any increase"
        return Number(value, text, "ratio", Source("compared", row.name, part))

    ratio, low, high = (change(getattr(row, part), part) for part in ("ratio", "low", "high"))
    floor = Number(row.floor, f"{row.floor:.1%}", "share", Source("compared", row.name, "floor"))
    runs = row.how or f"{row.n[0]} and {row.n[1]}"
    return (
        (_metric(row),),
        (_cell(row) or "as configured",),
        shown(row.base, "base"),
        shown(row.new, "new"),
        (unit,),
        (ratio,) if ratio else ("none",),
        (low, " to ", high) if low and high else ("none",),
        (floor,) if row.floor else ("any",),
        (runs,),
        (str(row.change),),
    )


def _told(found: Compared) -> Sequence[Section]:
    if not found.told:
        return ()
    rows = tuple(((field,), (values[0],), (values[1],)) for field, values in found.told.items())
    columns = (Column("field"), Column("base"), Column("new"))
    table = Table("differing", "What else differs, as allowed: any of it may be the cause", columns, rows)
    return (Section("checks", "What else differs", (table,)),)


def _cases(found: Compared) -> list[Case]:
    cases = [Case("compared", row.name, _RESULTS.get(row.change, Result.PASSED), row.sentence) for row in found.rows]
    return cases + [Case("bundles", text.partition(": ")[0], Result.ERROR, text) for text in found.unreadable]


def _metric(row: Row) -> str:
    return wording.metric_name(row.metric, row.stat)


def _cell(row: Row) -> str:
    """The cell as a reader calls it; "" where load and knobs say nothing."""
    parts = [row.load if row.load != "load" else "", wording.arm_label(row.knobs) if row.knobs else ""]
    return ", ".join(filter(None, parts))
