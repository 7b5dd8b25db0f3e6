"""gallery: real reports from recorded studies, and the claim book they make, as pages for the documents."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import cli, say
from bench.errors import HostError

if TYPE_CHECKING:
    from bench.study import Study

FORMATS = ("html", "md")
SCREENS = {"1280": (1280, 900), "390": (390, 844)}  # a desk's, a telephone's
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--headless", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--hide-scrollbars", "--virtual-time-budget=2000")  # fmt: skip


@dataclass(frozen=True)
class Page:
    """One report of the gallery."""

    name: str
    title: str
    about: str


@cli.command()
@click.option("--keep", "kept", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="First copy results/SCENARIO into studies/ in small form; repeatable.")  # fmt: skip
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/gallery"),
              show_default=True, help="Folder of the pages.")  # fmt: skip
@click.option(
    "--studies", type=click.Path(file_okay=False, path_type=Path), help="Recorded studies. [default: studies]"
)
@click.option("--priced", default="quickstart", show_default=True, metavar="STUDY",
              help="The study whose stream the cost page is about.")  # fmt: skip
@click.option("--draws", type=click.IntRange(20), default=300, show_default=True, help="Draws of the cost page.")
@click.option("--no-screens", is_flag=True, help="Without screenshots, which need Chromium.")
def gallery(
    kept: tuple[Path, ...], into: Path, studies: Path | None, priced: str, draws: int, *, no_screens: bool
) -> None:
    """Tell every study of studies/, what one of them costs, and the claim book they make, for the documents.

    Dated by the last run of each study, so that the same studies and prices give the same pages.
    """
    from bench import study
    from bench.book import RECORDED

    home = studies or RECORDED
    for folder in kept:
        say(str(study.keep(folder, home)))
    into.mkdir(parents=True, exist_ok=True)
    pages = [_claims(home, into), *_studies(home, into), *_cost(home / priced, into, draws), *_compared(home, into)]
    for old in into.iterdir():  # of a study that is no longer there
        if old.is_dir() and old.name not in {page.name for page in pages}:
            shutil.rmtree(old)
    (into / "README.md").write_text(_index(pages), encoding="utf-8")
    if not no_screens:
        for page in pages:
            _screens(into / page.name)
    click.echo(str(into / "README.md"))


def _studies(home: Path, into: Path) -> Iterator[Page]:
    from bench import record, study
    from bench.book import studies_in
    from bench.cli.reporting import tell
    from reports import render

    found = studies_in(home)
    for folder in sorted(home.glob("*/")):
        if folder not in found and record.find(folder):
            say(f"{folder}: left out, for it does not say what was asked; keep it by --keep results/{folder.name}")
    for folder in found:
        recalled = study.recall(folder)
        began = _began(recalled)
        told, _ = tell(recalled, generated_utc=began, today=date.fromisoformat(began[:10]))
        render.write(told, into / folder.name, FORMATS)
        # of two studies of one scenario the folder tells them apart
        title = told.title if folder.name == recalled.scenario.name else f"{told.title} ({folder.name})"
        yield Page(folder.name, title, f"{told.question} {len(recalled.runs)} runs on {told.machine}.")


def _began(found: Study) -> str:
    return max(run.started_utc for run in found.runs)


def _cost(folder: Path, into: Path, draws: int) -> Iterator[Page]:
    """What the stream of one study costs, on every platform."""
    from bench import study
    from bench.book import studies_in
    from bench.cli import costpage
    from bench.cli.runcosts import usages
    from costmodel.prices import built_in
    from reports import render

    if folder not in studies_in(folder):
        return
    found = study.recall(folder, judged=False)
    now = datetime.fromisoformat(_began(found))
    told = costpage.report(usages(found, {}), None, built_in(), draws=draws, now=now)
    render.write(told, into / "cost", FORMATS)
    yield Page(
        "cost",
        f"What the stream of {folder.name} costs",
        f"{told.question} `streamgauge cost studies/{folder.name} --report DIR`.",
    )


def _compared(home: Path, into: Path) -> Iterator[Page]:
    """The two arms of the A/A study, which are the same: what a comparison looks like when nothing changed."""
    from bench import noise
    from bench.analysis.compare import compare
    from bench.sides import side
    from reports import comparison, render

    folder = home / noise.SCENARIO
    if not folder.is_dir():
        return
    base, new = (replace(side(f"{folder}:label={arm}"), word=f"studies/{folder.name}:label={arm}") for arm in "ab")
    found = compare(base.runs, new.runs, allow={"label"})
    runs = [*base.runs, *new.runs]
    told = comparison.tell(found, base, new, generated_utc=max(run.started_utc for run in runs))
    render.write(told, into / "comparison", FORMATS)
    yield Page("comparison", "Two arms that are the same", f"{told.question} {len(runs)} runs on {told.machine}.")


def _claims(home: Path, into: Path) -> Page:
    from bench.book import read
    from bench.cli.claims import book
    from reports import render

    recorded, _ = read([], home)
    last = max((run.started_utc for one in recorded for run in one.study.runs), default="")
    _, told = book((), generated_utc=last, recorded=home)
    render.write(told, into / "claims", FORMATS)
    return Page("claims", told.title, f"{told.question} On {told.machine}.")


_ABOUT = """Real reports from the recorded studies, made by `streamgauge gallery`: nothing is written or drawn by hand.
Each is one HTML file that needs no network; the Markdown beside it is what goes into a pull request."""


def _index(pages: Sequence[Page]) -> str:
    lines = ["# Gallery", "", _ABOUT, ""]
    for page in pages:
        lines += [
            f"## {page.title}", "", page.about, "",
            f"[HTML]({page.name}/report.html) · [Markdown]({page.name}/report.md)", "",
            f"![First screen at a desk]({page.name}/screen-1280.png)", "",
            f"![First screen on a telephone]({page.name}/screen-390.png)", "",
        ]  # fmt: skip
    return "\n".join(lines)


def _screens(folder: Path) -> None:
    """The first screen of a page, as a desk and a telephone show it."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise HostError(f"no Chromium on PATH ({', '.join(BROWSERS)}); install one, or give --no-screens")
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()  # Chromium refuses to start one as root
    for name, (width, height) in SCREENS.items():
        with tempfile.TemporaryDirectory() as profile:
            picture = (folder / f"screen-{name}.png").resolve()
            words = [browser, *QUIET, *sandbox, f"--user-data-dir={profile}", f"--window-size={width},{height}",
                     f"--screenshot={picture}", (folder / "report.html").resolve().as_uri()]  # fmt: skip
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode or not picture.exists():
            raise HostError(f"{browser} made no picture of {folder}: {done.stderr.strip()[-300:]}")
