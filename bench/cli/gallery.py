"""gallery: real reports from recorded studies, and the claim book they make, as pages for the documents."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import click

from bench.cli import cli, say
from bench.errors import HostError

FORMATS = ("html", "md")
SCREENS = {"1280": (1280, 900), "390": (390, 844)}  # a desk's, a telephone's
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
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
@click.option("--no-screens", is_flag=True, help="Without screenshots, which need Chromium.")
def gallery(kept: tuple[Path, ...], into: Path, studies: Path | None, *, no_screens: bool) -> None:
    """Tell every study of studies/, and the claim book they make, for the documents.

    Dated by the last run of each study, so that the same studies and prices give the same pages.
    """
    from bench import study
    from bench.book import RECORDED

    home = studies or RECORDED
    for folder in kept:
        say(str(study.keep(folder, home)))
    pages = [*_studies(home, into), _claims(home, into)]
    into.mkdir(parents=True, exist_ok=True)
    (into / "README.md").write_text(_index(pages), encoding="utf-8")
    if not no_screens:
        for page in pages:
            _screens(into / page.name)
    click.echo(str(into / "README.md"))


def _studies(home: Path, into: Path) -> Iterator[Page]:
    from bench import study
    from bench.book import studies_in
    from bench.cli.reporting import tell
    from reports import render

    for folder in studies_in(home):
        found = study.recall(folder)
        began = max(run.started_utc for run in found.runs)
        told, _ = tell(found, generated_utc=began, today=date.fromisoformat(began[:10]))
        render.write(told, into / folder.name, FORMATS)
        yield Page(folder.name, told.title, f"{told.question} {len(found.runs)} runs on {told.machine}.")


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
    for name, (width, height) in SCREENS.items():
        with tempfile.TemporaryDirectory() as profile:
            picture = (folder / f"screen-{name}.png").resolve()
            words = [browser, *QUIET, f"--user-data-dir={profile}", f"--window-size={width},{height}",
                     f"--screenshot={picture}", (folder / "report.html").resolve().as_uri()]  # fmt: skip
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode or not picture.exists():
            raise HostError(f"{browser} made no picture of {folder}: {done.stderr.strip()[-300:]}")
