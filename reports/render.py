"""One `Report`, many media. Each function walks the same report and adds no fact to it.

`html`, `markdown`, `junit`, `csv`, `json` return text, `terminal` prints; `write` makes the files of a results folder.
"""

from __future__ import annotations

import csv as csv_module
import io
import json as json_module
import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jinja2
from markupsafe import Markup
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from reports import svg
from reports.report import (
    SCHEMA,
    AnyFigure,
    Badge,
    Case,
    Facts,
    Link,
    Listing,
    Number,
    Paragraph,
    Report,
    Result,
    Section,
    Sparks,
    Table,
    Tone,
    Verdict,
    Words,
    figures,
    plain,
    tables,
)

TEMPLATES = Path(__file__).parent / "templates"
IN_TERMINAL = (
    "verdicts", "claims", "dollars", "backends", "numbers", "zones", "capacity", "checks", "failures", "next", "paths",
)  # fmt: skip
SIGNS = {Tone.GOOD: "✓", Tone.BAD: "✗", Tone.UNSURE: "?", Tone.WARNING: "!", Tone.PLAIN: ""}
STYLES = {Tone.GOOD: "green", Tone.BAD: "red", Tone.UNSURE: "yellow", Tone.WARNING: "yellow", Tone.PLAIN: ""}


# ---- HTML


def html(report: Report) -> str:
    """One file: style, script and figures inside, nothing fetched, nothing executed but sorting tables."""
    return _templates().get_template("report.html").render(report=report, plain=plain)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["kind"] = lambda block: "Figure" if isinstance(block, AnyFigure) else type(block).__name__
    environment.filters["is_number"] = lambda part: isinstance(part, Number)
    environment.filters["is_link"] = lambda part: isinstance(part, Link)
    environment.filters["is_badge"] = lambda part: isinstance(part, Badge)
    environment.filters["is_prose"] = lambda table: not any(column.numeric for column in table.columns)
    environment.filters["sort_value"] = lambda words: next((p.value for p in words if isinstance(p, Number)), "")
    environment.filters["coded"] = _coded
    environment.globals["svg"] = _inline_svg
    environment.globals["sparks"] = lambda block: Markup(svg.small(block))  # noqa: S704 -- escaped where it is made
    environment.globals["include_raw"] = lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704
    return environment


def _coded(text: str) -> Markup:
    """Text as it is, but for what stands between backticks: that is to be typed."""
    parts = str(Markup.escape(text)).split("`")
    if len(parts) % 2 == 0:
        return Markup.escape(text)
    told = (f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
    return Markup("".join(told))  # noqa: S704 -- escaped above


def _inline_svg(figure: AnyFigure, *, narrow: bool) -> Markup:
    from reports import figures as drawing

    return Markup(drawing.svg(figure, narrow=narrow))  # noqa: S704 -- matplotlib escapes the text it draws


# ---- Markdown


def markdown(report: Report) -> str:
    """For a pull request: what is folded in HTML is folded here, what is bulky is only counted."""
    lines = [f"# {_md(report.title)}", ""]
    if report.question:
        lines += [f"**{_md(report.question)}**", ""]
    for section in report.sections:
        lines += _md_section(section, 2)
    lines += ["---", "", f"*Made by Streamgauge at {report.generated_utc} from {_md(report.machine)}.*", ""]
    return "\n".join(lines)


def _md_section(section: Section, level: int) -> Iterator[str]:
    if section.bulky:
        yield from (f"{'#' * level} {_md(section.title)}", "", f"{len(section.blocks)} entries, in report.html.", "")
        return
    if section.folded:
        yield from ("<details>", f"<summary>{_md(section.title)}</summary>", "")
    else:
        yield from (f"{'#' * level} {_md(section.title)}", "")
    for block in section.blocks:
        yield from _md_block(block, level)
    if section.folded:
        yield from ("</details>", "")


def _md_block(block: Any, level: int) -> Iterator[str]:
    match block:
        case Paragraph():
            sign = f"{SIGNS[block.tone]} " if SIGNS[block.tone] else ""
            yield from (f"{sign}{_md(plain(block.words))}", "")
        case Verdict():
            word = f"{SIGNS[block.tone]} **{_md(block.verdict.upper())}**".strip()
            yield f"{word} {_md(plain(block.sentence))}  "
            if block.said:
                yield f"> “{_md(block.said)}”  "
            yield f"> `{block.claim}`{f' · {_md(plain(block.evidence))}' if block.evidence else ''}"
            yield ""
        case Facts():
            for fact in block.rows:
                sign = f"{SIGNS[fact.tone]} " if SIGNS[fact.tone] else ""
                yield f"- **{_md(fact.name)}:** {sign}{_md(plain(fact.words))}"
            yield ""
        case Table():
            yield from _md_table(block)
        case Listing():
            yield from (f"```{block.language}", *(line.replace("```", "'''") for line in block.lines), "```", "")
        case Section():
            yield from _md_section(block, level + 1)
        case Sparks():
            pass  # drawings of single runs are in report.html
        case _:
            yield from (f"**{_md(block.title)}**", "", f"![{_md(plain(block.alt))}](figures/{block.key}.svg)", "")
            yield from (f"<sub>{_md(plain(block.note))}</sub>", "")


def _md_table(table: Table) -> Iterator[str]:
    yield from (f"*{_md(table.caption)}*", "")
    yield "| " + " | ".join(_md(_heading(column.name, column.unit)) for column in table.columns) + " |"
    yield "|" + "|".join("---:" if column.numeric else "---" for column in table.columns) + "|"
    for row in table.rows:
        yield "| " + " | ".join(_md_cell(cell) for cell in row) + " |"
    yield ""
    if table.note:
        yield from (f"<sub>{_md(table.note)}</sub>", "")


def _md_cell(words: Words) -> str:
    sign = next((f"{SIGNS[part.tone]} " for part in words if isinstance(part, Badge) and SIGNS[part.tone]), "")
    return sign + _md(plain(words))


def _md(text: str) -> str:
    """Text that Markdown takes for text."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_<>|\[\]$])", r"\\\1", one_line).replace("\\_", "_")


def _heading(name: str, unit: str) -> str:
    return f"{name}, {unit}" if unit else name


# ---- terminal


def terminal(report: Report, console: Console) -> None:
    """Verdict, dollars, numbers, checks, failures, what next, paths. Details and drawings are in the files."""
    console.print(Text(report.title, style="bold"))
    if report.question:
        console.print(report.question, markup=False, highlight=False)
    for section in report.sections:
        if section.key in IN_TERMINAL:
            console.print()
            console.print(Text(section.title, style="bold underline"))
            for block in section.blocks:
                _print(block, console)


def _print(block: Any, console: Console) -> None:
    match block:
        case Paragraph():
            sign = f"{SIGNS[block.tone]} " if SIGNS[block.tone] else ""
            console.print(Text(f"{sign}{plain(block.words)}", style=STYLES[block.tone]))
        case Verdict():
            console.print(
                Text.assemble(
                    (f"{SIGNS[block.tone]} {block.verdict.upper()}".strip(), f"bold {STYLES[block.tone]}"),
                    f"  {plain(block.sentence)}",
                )
            )
            said = f"“{block.said}” " if block.said else ""
            console.print(
                Padding(
                    Text(
                        f"{said}[{block.claim}] {plain(block.evidence) if block.evidence else ''}".strip(), style="dim"
                    ),
                    (0, 0, 0, 2),
                )
            )
        case Facts():
            console.print(_rich_facts(block))
        case Table():
            console.print(_rich_table(block))
        case Listing():
            for line in block.lines:
                console.print(Text(f"  {line}"), soft_wrap=True)
        case Section() if not block.folded:
            console.print(Text(block.title, style="bold"))
            for inner in block.blocks:
                _print(inner, console)
        case _:
            pass


def _rich_facts(facts: Facts) -> RichTable:
    drawn = RichTable.grid(padding=(0, 2, 0, 0))
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for fact in facts.rows:
        sign = f"{SIGNS[fact.tone]} " if SIGNS[fact.tone] else ""
        drawn.add_row(escape(fact.name), Text(f"{sign}{plain(fact.words)}", style=STYLES[fact.tone]))
    return drawn


def _rich_table(table: Table) -> RichTable:
    drawn = RichTable(title=escape(table.caption), title_justify="left", title_style="italic", box=None, pad_edge=False)
    for column in table.columns:
        drawn.add_column(
            escape(_heading(column.name, column.unit)), justify="right" if column.numeric else "left", overflow="fold"
        )
    for row in table.rows:
        drawn.add_row(*(_rich_cell(cell) for cell in row))
    return drawn


def _rich_cell(words: Words) -> Text:
    badge = next((part for part in words if isinstance(part, Badge)), None)
    sign = f"{SIGNS[badge.tone]} " if badge is not None and SIGNS[badge.tone] else ""
    return Text(f"{sign}{plain(words)}", style=STYLES[badge.tone] if badge is not None else "")


# ---- JUnit, CSV, JSON


def junit(report: Report) -> str:
    """One suite a group of cases. Skipped is what could not be judged: missing data is never a pass."""
    root = ET.Element("testsuites", name=f"streamgauge {report.scenario}")
    for group in dict.fromkeys(case.group for case in report.cases):
        cases = [case for case in report.cases if case.group == group]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"{report.scenario}.{group}",
            tests=str(len(cases)),
            failures=_counted(cases, Result.FAILED),
            errors=_counted(cases, Result.ERROR),
            skipped=_counted(cases, Result.SKIPPED),
            time=f"{sum(case.duration_s for case in cases):.3f}",
            timestamp=report.generated_utc[:19],
        )
        for case in cases:
            _junit_case(suite, case, f"{report.scenario}.{group}")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counted(cases: list[Case], result: Result) -> str:
    return str(sum(case.result is result for case in cases))


def _junit_case(suite: ET.Element, case: Case, group: str) -> None:
    entry = ET.SubElement(suite, "testcase", name=_xml(case.name), classname=group, time=f"{case.duration_s:.3f}")
    tag = {Result.FAILED: "failure", Result.ERROR: "error", Result.SKIPPED: "skipped"}.get(case.result)
    if tag is not None:
        ET.SubElement(entry, tag, message=_xml(case.message.partition("\n")[0])).text = _xml(case.message)
    elif case.message:
        ET.SubElement(entry, "system-out").text = _xml(case.message)


def _xml(text: str) -> str:
    """Without what XML cannot hold: a log's escape codes."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]", "", text)


def csv(report: Report) -> str:
    """Every number of every table, one a row: section, table, row, column, value, unit, text, source."""
    buffer = io.StringIO()
    writer = csv_module.writer(buffer, lineterminator="\n")
    writer.writerow(("section", "table", "row", "label", "column", "value", "unit", "text", "source"))
    for section in report.sections:
        for table in tables(section):
            for index, row in enumerate(table.rows):
                label = " / ".join(
                    plain(cell) for cell, column in zip(row, table.columns, strict=True) if not column.numeric and cell
                )
                for column, cell in zip(table.columns, row, strict=True):
                    for part in cell:
                        if isinstance(part, Number):
                            told = (index, label, column.name, repr(part.value), part.unit, part.text, part.source)
                            writer.writerow((section.key, table.key, *map(str, told)))
    return buffer.getvalue()


def json(report: Report) -> str:
    """The report as it is, every number with its text and source; of the single runs' series only what they are.

    Their points lie in the bundles: here they would outweigh everything else tenfold.
    """
    whole = _plain(report)
    lines = {name: _lines(whole.pop(name)) for name in ("sections", "cases")}
    told = {name: json_module.dumps(value) for name, value in whole.items()} | lines
    inner = ",\n".join(f'"{name}": {text}' for name, text in told.items())
    return f'{{"schema": {SCHEMA}, "report": {{\n{inner}\n}}}}\n'


def _lines(items: list[Any]) -> str:
    """A list with an item a line: indented throughout, it takes ten times as long and twice the room."""
    return "[\n" + ",\n".join(json_module.dumps(item) for item in items) + "\n]"


def _plain(node: Any) -> Any:
    if isinstance(node, Sparks):
        return {"key": node.key, "panels": [f"{panel.quantity}, {panel.unit}" for panel in node.panels]}
    if is_dataclass(node):
        return {field.name: _plain(getattr(node, field.name)) for field in fields(node)}
    if isinstance(node, tuple):
        return [_plain(item) for item in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


# ---- files


_FILES: dict[str, tuple[str, Callable[[Report], str]]] = {
    "html": ("report.html", html),
    "md": ("report.md", markdown),
    "csv": ("report.csv", csv),
    "json": ("report.json", json),
    "junit": ("junit.xml", junit),
}
FORMATS = (*_FILES, "svg", "png")


def write(report: Report, folder: Path, formats: Collection[str] | None = None) -> list[Path]:
    """report.html, .md, .csv, .json, junit.xml and figures/ in `folder`; what was written, HTML first.

    `formats`: some of FORMATS; None: all of them. Markdown shows figures/*.svg, which come along with it.
    """
    from reports.figures import Form, draw, png, svg_file

    wanted = set(FORMATS if formats is None else formats)
    forms: dict[Form, set[str]] = {"narrow": {"html"}, "wide": {"html", "svg", "md"}, "png": {"png"}}
    draw(list(figures(report)), [form for form, users in forms.items() if users & wanted])
    made: dict[str, str | bytes] = {name: make(report) for key, (name, make) in _FILES.items() if key in wanted}
    for figure in figures(report):
        if wanted & {"svg", "md"}:
            made[f"figures/{figure.key}.svg"] = f'<?xml version="1.0" encoding="utf-8"?>\n{svg_file(figure)}'
        if "png" in wanted:
            made[f"figures/{figure.key}.png"] = png(figure)
    written = []
    for name, content in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.tmp")
        partial.write_bytes(content if isinstance(content, bytes) else content.encode())
        partial.replace(path)
        written.append(path)
    return written
