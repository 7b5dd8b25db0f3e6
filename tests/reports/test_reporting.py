"""The command `report`: where it writes, what of it, and that one bad folder hides no other."""

from __future__ import annotations

import json
import shutil
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path
from typing import Any

import fixtures
import pytest
from click.testing import CliRunner, Result
from fixtures import Story
from matplotlib.figure import Figure as Canvas

from bench import record, study
from bench.cli import cli
from bench.errors import ScenarioError
from reports import figures, render

import_module("bench.cli.reporting")
import_module("bench.cli.gallery")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reporting") / "results"
    fixtures.recorded(folder)
    return folder


def report(*words: str | Path) -> Result:
    done = CliRunner().invoke(cli, ["report", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_a_copied_study_is_told_in_its_own_folder_or_where_one_says(results: Path, tmp_path: Path) -> None:
    """A report of a copy must not overwrite the original's, nor one of a recorded study the study."""
    before = {path.name for path in (results / "quickstart").iterdir()}
    kept = tmp_path / "kept"
    done = report(results, "--out", tmp_path / "told", "--format", "md", "--format", "csv")
    assert done.exit_code == 0, done.output
    told = {path.name for path in (tmp_path / "told" / "quickstart").iterdir()}
    assert told == {"report.md", "report.csv", "figures", "index.json"}
    assert {path.name for path in (results / "quickstart").iterdir()} == before
    (results / "quickstart").rename(kept)
    assert report(kept, "--format", "html").exit_code == 0
    assert (kept / "report.html").exists() and not (tmp_path / "quickstart").exists()
    kept.rename(results / "quickstart")


def test_only_tells_the_sections_asked_for(results: Path, tmp_path: Path) -> None:
    """A mistyped section must not become an empty report."""
    done = report(results, "--only", "dollars", "--out", tmp_path, "--format", "json")
    document = json.loads((tmp_path / "quickstart" / "report.json").read_text())
    assert [section["key"] for section in document["report"]["sections"]] == ["dollars"]
    assert "Monthly bill by platform" in done.stdout and "Verdict" not in done.stdout
    with pytest.raises(ScenarioError, match=r"--only dolars: expected one of .*did you mean 'dollars'"):
        report(results, "--only", "dolars", "--out", tmp_path)


def test_of_several_folders_each_is_told_and_the_worst_decides_the_exit(results: Path, tmp_path: Path) -> None:
    """A first folder that fails must not silence the ones after it."""
    bad = fixtures.recorded(tmp_path / "bad")
    for bundle in record.find(bad):
        (bundle / "run.json").write_text("{")
    done = report(bad, results, "--out", tmp_path / "told", "--format", "md")
    assert done.exit_code == 4
    assert done.stderr.count("run.json: truncated") == 9
    text = (tmp_path / "told" / "quickstart" / "report.md").read_text()
    assert "SUPPORTED" in text  # the whole one was told too, after it


def test_what_is_still_to_run_is_counted_and_asked_for(tmp_path: Path) -> None:
    """Half a study reads like a whole one with fewer repeats, unless it says so."""
    home = fixtures.recorded(tmp_path)
    index = json.loads((home / "index.json").read_text())
    (home / "index.json").write_text(json.dumps({**index, "trials": [*index["trials"], "not-yet"]}))
    assert report(home, "--format", "md").exit_code == 0
    text = (home / "report.md").read_text()
    assert "9 runs, 9 finished, 1 still to run" in text
    assert "Run what is missing" in text


def test_each_figure_is_drawn_once_for_each_form(told: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is most of what a report costs: two hundred runs must not take a coffee."""
    drawn: list[str] = []
    save = Canvas.savefig

    def noted(canvas: Canvas, *args: Any, **kwargs: Any) -> None:
        drawn.append(kwargs["format"])
        save(canvas, *args, **kwargs)

    monkeypatch.setattr(figures, "FEW", 1_000_000)  # all of them here: other processes begin anew, and note nothing

    monkeypatch.setattr(Canvas, "savefig", noted)
    render.write(told.report, tmp_path / "told")
    many = len(list(render.figures(told.report)))
    assert sorted(drawn) == sorted(["svg", "svg", "png"] * many)  # wide, narrow, and for print


def test_what_other_processes_drew_is_not_drawn_again(told: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """They begin anew, and hand over what they made; one that dies costs time, and no figure."""
    drawn = list(render.figures(told.report))
    monkeypatch.setattr(figures, "FEW", 1)
    figures.draw(drawn, ["wide"])
    made = figures.svg(drawn[0])
    monkeypatch.setattr(figures, "_made", lambda *_: pytest.fail("drawn again"))
    assert figures.svg(drawn[0]) == made
    monkeypatch.undo()
    monkeypatch.setattr(figures, "FEW", 1)
    monkeypatch.setattr(figures.ProcessPoolExecutor, "map", died)
    figures.draw(drawn, ["wide"])
    assert figures.svg(drawn[0]) == made


def died(*_: object, **__: object) -> None:
    """As a pool of which a process has gone."""
    raise BrokenProcessPool


def test_the_gallery_is_made_by_one_command_from_recorded_studies(results: Path, tmp_path: Path) -> None:
    """A page that somebody touched up by hand is an advertisement; the same studies must give the same pages."""
    studies, made = tmp_path / "studies", [tmp_path / "a", tmp_path / "b"]
    for at, into in enumerate(made):
        keep = ["--keep", str(results / "quickstart")] if at == 0 else []
        done = CliRunner().invoke(
            cli,
            ["gallery", *keep, "--studies", str(studies), "--into", str(into), "--draws", "20", "--no-screens"],
        )
        assert done.exit_code == 0, done.output
    assert not list(studies.rglob("logs"))
    assert str(results) not in (studies / "quickstart" / "index.json").read_text()
    names = {path.relative_to(made[0]).as_posix() for path in made[0].rglob("*") if path.is_file()}
    assert {
        "README.md",
        "quickstart/report.html",
        "quickstart/report.md",
        "claims/report.html",
        "cost/report.html",
    } <= names
    for name in names:
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes(), name
    assert "SUPPORTED" in (made[0] / "quickstart" / "report.md").read_text()


def test_a_second_study_of_a_scenario_is_kept_beside_the_first(tmp_path: Path) -> None:
    """Kept under the scenario's name, the second would take the first one's place without a word."""
    first = fixtures.recorded(tmp_path / "results")
    again = shutil.copytree(first, tmp_path / "again" / f"{first.name}-again")
    kept = [study.keep(folder, tmp_path / "studies") for folder in (first, again)]
    assert [folder.name for folder in kept] == [first.name, f"{first.name}-again"]
    assert {study.recall(folder).scenario.name for folder in kept} == {study.recall(first).scenario.name}


def test_a_damaged_study_is_not_kept(tmp_path: Path) -> None:
    """What the documents rest on for years must be whole on the day it is kept."""
    home = fixtures.recorded(tmp_path / "results")
    series = record.find(home)[0] / "run.json"
    series.write_text("{")
    with pytest.raises(ScenarioError, match=r"not kept, for something in it cannot be read: .*run\.json: truncated"):
        study.keep(home, tmp_path / "studies")
    assert not (tmp_path / "studies").exists()
