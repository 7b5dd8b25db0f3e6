"""report: what a study says, told and written again from what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import answer, as_json, cli, leave, say, wide_console
from bench.errors import ScenarioError, StreamgaugeError

if TYPE_CHECKING:
    from bench.study import Study
    from reports.report import Report

FORMATS = ("html", "md", "csv", "json", "junit", "svg", "png")  # of `reports.render.write`


@cli.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--open", "open_", is_flag=True, help="Show report.html in the browser.")
@click.option("--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Write only this; repeatable.")
@click.option("--only", multiple=True, metavar="SECTION", help="Tell only this section (verdicts, dollars, numbers…).")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write to OUT/SCENARIO, not to FOLDERS.")
@as_json
def report(
    folders: tuple[Path, ...],
    formats: tuple[str, ...],
    only: tuple[str, ...],
    out: Path | None,
    *,
    open_: bool,
    json_: bool,
) -> None:
    """Make the report of FOLDERS again, from what was recorded. Needs no cluster and no network.

    Each is results/SCENARIO, or a folder of such folders. What is damaged is listed, and the rest is told.
    """
    from bench import study
    from bench.book import studies_in

    found = [inside for folder in folders for inside in (studies_in(folder) or [folder])]
    codes = []
    for folder in found:
        made = study.recall(folder)
        for text in made.unreadable:
            say(text)
        where = out / folder.name if out is not None else folder
        codes.append(conclude(made, where, json_=json_, formats=formats or None, only=only))
        if open_:
            click.launch(str(where / "report.html"))
    leave(max(codes))


def conclude(
    found: Study,
    folder: Path,
    *,
    json_: bool,
    fail_on: tuple[str, ...] = (),
    formats: Sequence[str] | None = None,
    only: Sequence[str] = (),
) -> int:
    """Judge, price, write into `folder` and tell; the exit code."""
    from datetime import UTC, datetime

    from bench import study
    from reports import render

    told, priced = tell(found, generated_utc=datetime.now(UTC).isoformat(timespec="seconds"))
    told = _only(told, only)
    document = study.document(found) | {"bills": priced}
    folder.mkdir(parents=True, exist_ok=True)
    study.write_index(folder, document)
    paths = render.write(told, folder, formats)
    if json_:
        answer(document)
    else:
        render.terminal(told, wide_console())
        for path in paths:
            if path.suffix in (".html", ".md"):
                click.echo(str(path))
    return study.exit_code(found, fail_on)


def tell(found: Study, *, generated_utc: str, today: date | None = None) -> tuple[Report, dict[str, Any]]:
    """The report of a study, and the bills in it. `today`: from when the age of prices counts."""
    from bench.cli.runcosts import reported
    from reports import story

    try:
        priced = reported(found, today=today) if found.finished else {}
    except StreamgaugeError as error:  # what was measured is told even where it cannot be priced
        say(f"not priced: {error}")
        priced = {}
    return story.tell(
        found.scenario, found.runs, found.cells, found.verdicts, priced,
        generated_utc=generated_utc, unreadable=found.unreadable, asked_for=found.asked_for,
    ), priced  # fmt: skip


def _only(told: Report, keys: Sequence[str]) -> Report:
    """The report with these sections alone."""
    from bench.scenario.words import nearest

    known = [section.key for section in told.sections]
    for key in keys:
        if key not in known:
            raise ScenarioError(f"--only {key}: expected one of {', '.join(known)}{nearest(key, known)}")
    return replace(told, sections=tuple(s for s in told.sections if s.key in keys)) if keys else told
