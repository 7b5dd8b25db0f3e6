"""claims: the claim book, every sentence against everything that was recorded or can be billed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import answer, as_json, cli, say, wide_console
from bench.errors import StreamgaugeError

if TYPE_CHECKING:
    from bench.book import Entry
    from reports.grounds import StudyBills
    from reports.report import Report


@cli.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--claim", "names", multiple=True, metavar="NAME", help="Only this claim; may be repeated.")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), help="Write HTML, Markdown, CSV and JUnit.")
@click.option("--open", "open_", is_flag=True, help="Show the page in the browser (written to results/claims).")
@as_json
def claims(folders: tuple[Path, ...], names: tuple[str, ...], report: Path | None, *, open_: bool, json_: bool) -> None:
    """What became of every claim: verdict, evidence, dollars, and what would change it.

    Runs come from FOLDERS (results/SCENARIO, or results) and from studies/, which is part of the repository; bills are
    judged by draws.
    """
    entries, told = book(folders, names)
    if json_:
        answer(document(entries))
    else:
        from reports import render

        render.terminal(told, wide_console())
    where = report or (Path("results") / "claims" if open_ else None)
    if where is not None:
        from reports import render

        for path in render.write(told, where):
            if path.suffix in (".html", ".md"):
                say(str(path))
    if open_ and where is not None:
        click.launch(str(where / "report.html"))


def book(
    folders: tuple[Path, ...],
    names: tuple[str, ...] = (),
    *,
    generated_utc: str | None = None,
    recorded: Path | None = None,
) -> tuple[list[Entry], Report]:
    """The entries, and their report. `recorded`: where the repository's own studies lie, if elsewhere."""
    from datetime import UTC, datetime

    from bench import book as books
    from bench.verdict import load_claims
    from costmodel import odds
    from reports import book as telling

    wanted = load_claims(names or None)
    studies, unreadable = books.read(folders, recorded or books.RECORDED)
    for text in unreadable:
        say(text)
    entries = books.open_book(wanted, studies, odds.estimates())
    now = generated_utc or datetime.now(UTC).isoformat(timespec="seconds")
    told = telling.tell(entries, _bills(entries), odds.compared(), generated_utc=now, unreadable=unreadable)
    return entries, told


def _bills(entries: list[Entry]) -> StudyBills:
    """The bills of every study that spoke."""
    from bench.cli.runcosts import reported

    found: dict[str, Any] = {}
    for entry in entries:
        if entry.source is not None and entry.source.name not in found:
            try:
                found[entry.source.name] = reported(entry.source.study)
            except StreamgaugeError as error:  # what was measured is told even where it cannot be priced
                say(f"{entry.source.name}: not priced: {error}")
                found[entry.source.name] = {}
    return found


def document(entries: list[Entry]) -> dict[str, Any]:
    """The answer of `claims --json`."""
    return {
        "schema": 1,
        "claims": [
            {
                "claim": entry.claim.claim,
                "sentence": entry.claim.sentence,
                "meaning": entry.claim.meaning,
                "state": str(entry.state),
                "study": entry.source.name if entry.source else None,
                "study_beside": entry.beside.name if entry.beside else None,
                "verdicts": [verdict.to_json() for verdict in entry.verdicts],
                "others": [{"study": one.name, **verdict.to_json()} for one, verdict in entry.others],
                "cannot_decide": list(entry.claim.cannot_decide),
                "would_change": list(entry.claim.would_change),
                "waits_for": entry.claim.primary.waits_for or None,
            }
            for entry in entries
        ],
    }
