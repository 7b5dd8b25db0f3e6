"""The media: what they print is the report, whole, and can be read by the programs it is meant for."""

from __future__ import annotations

import io
import json
import re
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import fixtures
import pandas as pd
import pytest
from fixtures import Story
from markdown_it import MarkdownIt
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from reports import render, wording
from reports.report import Number, figures, plain, tables, walk


@pytest.fixture(scope="module")
def here(told: Story, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """As printed to somebody who stands above the results: paths in commands are relative to that."""
    bundle = told.runs[0].bundle
    assert bundle is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bundle.parents[1])
        return fixtures.story(bundle.parents[1], told.runs)


def test_terminal_golden(here: Story, snapshot: SnapshotAssertion) -> None:
    """What a person sees first: a change of it is a decision, not an accident."""
    console = Console(file=io.StringIO(), width=120, force_terminal=False, color_system=None)
    render.terminal(here.report, console)
    assert isinstance(console.file, io.StringIO)
    assert "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) == snapshot


def test_markdown_golden(here: Story, snapshot: SnapshotAssertion) -> None:
    """What stands in a pull request: the same."""
    assert render.markdown(here.report) == snapshot


def test_terminal_survives_eighty_columns_without_colour(told: Story) -> None:
    """A CI log: nothing may be cut off, no escape code may remain."""
    console = Console(file=io.StringIO(), width=80, force_terminal=False, color_system=None)
    render.terminal(told.report, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\x1b" not in text and "…" not in text
    assert max(map(len, text.splitlines())) <= 80 or "streamgauge" in max(text.splitlines(), key=len)
    assert "Choose partitions 6" in text


def test_markdown_is_parsed_as_it_is_meant(told: Story) -> None:
    """A stray pipe or underscore turns a table into soup on the page that people merge by."""
    parsed = MarkdownIt("commonmark").enable("table").parse(render.markdown(told.report))
    shown = [t for s in told.report.sections if not s.bulky for t in tables(s)]
    bodies = [token for token in parsed if token.type == "tbody_open"]
    assert len(bodies) == len(shown)
    rows = sum(token.type == "tr_open" for token in parsed) - len(bodies)
    assert rows == sum(len(table.rows) for table in shown)
    pictures = [c for token in parsed for c in token.children or () if c.type == "image"]
    assert [p.attrs["src"] for p in pictures] == [f"figures/{f.key}.svg" for f in figures(told.report)]
    assert all(len(picture.content) > 20 for picture in pictures)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """A log line or a reason with markup must not run in the reader's browser or break the page."""
    evil = "</pre><script>alert(1)</script> | `x` & [a](b)"
    runs = [fixtures.invalid(tmp_path)]
    runs = [fixtures.replace(runs[0], reason=evil)]
    report = fixtures.story(tmp_path, runs).report
    assert "<script>alert" not in render.html(report)
    assert "&lt;script&gt;alert" in render.html(report)
    assert "<script>alert" not in render.markdown(report)
    assert ET.fromstring(render.junit(report)).find(".//error").get("message") == evil  # type: ignore[union-attr]


def test_junit_is_read_by_a_parser_and_never_passes_what_is_missing(tmp_path: Path) -> None:
    """A CI gate that is green because nothing could be judged is worse than none."""
    runs = [*fixtures.quickstart(tmp_path, repeats=2), fixtures.crashed(tmp_path)]
    root = ET.fromstring(render.junit(fixtures.story(tmp_path, runs).report))
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert set(suites) == {f"quickstart.{group}" for group in ("runs", "checks", "thresholds", "claims")}
    for suite in suites.values():
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases) > 0
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(name, "")) == sum(case.find(tag) is not None for case in cases)
    assert suites["quickstart.runs"].get("errors") == "1"
    empty = ET.fromstring(render.junit(fixtures.story(tmp_path, [fixtures.crashed(tmp_path)], {}).report))
    judged = [case for suite in empty.iter("testsuite") for case in suite if suite.get("name") != "quickstart.runs"]
    assert judged and all(case.find("skipped") is not None for case in judged)


def test_csv_round_trips_through_pandas_to_the_bit(told: Story) -> None:
    """A notebook that starts from the CSV must start from the same numbers."""
    frame = pd.read_csv(io.StringIO(render.csv(told.report)), float_precision="round_trip", keep_default_na=False)
    expected = [
        (section.key, table.key, part.value, part.text)
        for section in told.report.sections
        for table in tables(section)
        for row in table.rows
        for cell in row
        for part in cell
        if isinstance(part, Number)
    ]
    assert list(zip(frame.section, frame.table, frame.value, frame.text, strict=True)) == expected
    assert frame.source.str.len().min() > 5


def test_json_keeps_every_number_with_its_source(told: Story) -> None:
    """Machines read the report by name: schema 1."""
    document = json.loads(render.json(told.report), parse_constant=pytest.fail)  # NaN is no JSON
    assert document["schema"] == 1
    assert document["report"]["sections"][0]["blocks"][0]["verdict"] == "supported"
    assert render.json(told.report).count('"source"') >= len([n for n in walk(told.report) if isinstance(n, Number)])


class Page(HTMLParser):
    """Tags, ids, links and loads of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.labels: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.fetched += [
            f"{tag} {given[name]}" for name in ("src", "href", "xlink:href") if name in given and tag != "a"
        ]
        if tag == "svg":
            self.labels.append(given.get("aria-label") or "")


def test_html_is_one_file_that_fetches_nothing_and_names_every_figure(told: Story) -> None:
    """It is opened from a mail, on a train: whatever is not inside is not there."""
    text = render.html(told.report)
    page = Page(text)
    outside = [fetched for fetched in page.fetched if not re.search(r" (#|data:)", fetched)]
    assert outside == []
    assert "url(http" not in text and "@import" not in text
    assert len(page.ids) == len(set(page.ids))
    many = len(list(figures(told.report)))
    assert many >= 5
    assert len([label for label in page.labels if label]) == len(page.labels) >= 2 * many
    for figure in figures(told.report):
        assert plain(figure.alt) in page.labels
        assert "2 cores, 23.5 GiB" in plain(figure.note) or figure.key == "bills"


def test_html_shows_every_number_of_the_report(told: Story) -> None:
    """Renderers walk the same report: a number that one of them drops is a hole nobody sees."""
    text = re.sub(r"<svg.*?</svg>", "", render.html(told.report), flags=re.DOTALL)
    shown = re.sub(r"<[^>]+>", " ", text).replace("&#43;", "+")
    missing = {n.text for n in walk(told.report) if isinstance(n, Number)} - set()
    blocks = [n for section in told.report.sections for n in walk(section)]
    in_alt = {n.text for f in figures(told.report) for n in walk(f.alt) if isinstance(n, Number)}
    assert blocks
    assert [text for text in missing - in_alt if text not in shown] == []


def test_written_files_are_complete_and_the_same_twice(told: Story, folder: Path, tmp_path: Path) -> None:
    """A report under version control must change only when its data does."""
    names = {"report.html", "report.md", "report.csv", "report.json", "junit.xml"}
    again = render.write(told.report, tmp_path)
    assert names <= {path.name for path in again}
    for path in again:
        if path.suffix != ".png":  # pixels follow the last digits of a layout
            assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes(), path.name
    for figure in figures(told.report):
        drawn = (tmp_path / "figures" / f"{figure.key}.svg").read_text()
        ET.fromstring(drawn)
        assert figure.title in drawn
        assert (tmp_path / "figures" / f"{figure.key}.png").read_bytes()[:4] == b"\x89PNG"


def test_two_hundred_runs_fit_into_five_megabytes(tmp_path: Path) -> None:
    """The page of a long study must still open from a mail."""
    runs = [fixtures.steady(tmp_path, p, rep, 20 * rep + at) for rep in range(10) for at, p in enumerate(range(1, 21))]
    began = time.process_time()
    report = fixtures.story(tmp_path, runs).report
    text = render.html(report)
    print(f"{len(text) / 1e6:.2f} MB, {time.process_time() - began:.1f} s of CPU")
    assert len(text.encode()) <= 5_000_000
    assert text.count("What this run measured") >= 200


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (1.1234, 1.0391, 1.2128, ["1.12", "1.04", "1.21"]),
        (2.06, 0.577, 7.81, ["2.1", "0.6", "7.8"]),  # told as 1 at its low end it would lie on one side of 1
        (4.78, 0.263, 86.9, ["4.8", "0.3", "86.9"]),  # told in tens it would be 0
        (95.0, 50.0, 140.0, ["100", "50", "140"]),
        (0.0, -40.0, 40.0, ["0", "-40", "40"]),
    ],
)
def test_a_wide_interval_does_not_round_its_number_away(value: float, low: float, high: float, told: list[str]) -> None:
    """ "Ratio 0, 95 % interval 0 to 90" stood in a report."""
    step = wording.step_of(value, low, high)
    assert [wording.digits(each, step) for each in (value, low, high)] == told
