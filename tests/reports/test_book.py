"""The claim book: which study speaks, what is not yet run, and that every number on the page can be found again."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fixtures
import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from bench import book, record
from bench.analysis.intervals import Estimate
from bench.book import Entry, State, state
from bench.errors import ScenarioError
from bench.verdict import Evidence, Planned, judge, load_claims
from costmodel import odds
from reports import book as telling
from reports import render
from reports.report import Link, Number, Report, Section, Source, plain, walk
from reports.story import arm_label

# The golden files must not follow every claim and every price: these stay as they are
CLAIMS = {
    "folk-bytes": """\
schema: 1
claim: folk-bytes
sentence: "More partitions cost more."
meaning: More partitions, more bytes.
expect: So people say.
decided_by: [quickstart]
hypotheses:
  - {name: disk, primary: true, says: 96 partitions take at least 5 % more disk than 6., kind: comparison,
     metric: disk_bytes_per_event, loads: [steady], base: {topic.partitions: 6}, changed: {topic.partitions: 96},
     direction: increases}
  - {name: never-lost, says: No event is ever lost., kind: universal, holds: [lost_events value == 0]}
  - {name: elsewhere, says: The same on three machines., kind: universal, holds: [lost_events value == 0],
     needs: [three machines], instead: Three machines would.}
cannot_decide: [Whether it matters.]
would_change: [Fewer partitions.]
""",
    "folk-cost": """\
schema: 1
claim: folk-cost
sentence: "The cloud is cheaper."
meaning: A bill is lower.
decided_by: [costmodel/odds.yaml]
hypotheses:
  - {name: startup, primary: true, says: A startup pays less on Kinesis than on MSK., kind: cost,
     probability: kinesis-cheaper-than-msk-for-a-startup}
""",
    "folk-planned": """\
schema: 1
claim: folk-planned
sentence: "The other one is clunky."
meaning: It takes more.
decided_by: [side-by-side, quickstart]
hypotheses:
  - {name: cpu, primary: true, says: The other takes more CPU., kind: planned,
     measures: [flink_cpu_s_per_million_events], contradicted_by: less CPU, waits_for: the other one}
  - {name: ours, says: Ours loses nothing., kind: universal, holds: [lost_events value == 0], fewest: 3}
""",
    "folk-unrun": """\
schema: 1
claim: folk-unrun
sentence: "A million a second."
meaning: Quickly.
decided_by: [a-million]
hypotheses:
  - {name: all, primary: true, says: A million a second are carried., kind: threshold,
     holds: [acknowledged_eps value >= 995_000]}
""",
}
ODDS = "kinesis-cheaper-than-msk-for-a-startup"


@dataclass(frozen=True)
class Book:
    """Everything the page was made of, and the page."""

    entries: list[Entry]
    bills: dict[str, Any]
    estimates: Mapping[str, Estimate]
    compared: Mapping[str, odds.Compared]
    report: Report


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book") / "results"
    fixtures.recorded(folder)
    return folder


@pytest.fixture(scope="module")
def made(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Book:
    claims = tmp_path_factory.mktemp("claims")
    for name, text in CLAIMS.items():
        (claims / f"{name}.yaml").write_text(text)
    return made_of([results], claims)


def made_of(folders: list[Path], claims: Path) -> Book:
    studies, unreadable = book.read(folders, None)
    estimates = odds.estimates([ODDS], draws=20)
    entries = book.open_book(load_claims(claims), studies, estimates)
    bills = {
        one.name: {arm_label(c.knobs): fixtures.bill(c) for c in one.study.cells if c.load == "steady"}
        for one in studies
    }
    compared = odds.compared([ODDS])
    told = telling.tell(entries, bills, compared, generated_utc=fixtures.UTC, unreadable=unreadable)
    return Book(entries, bills, estimates, compared, told)


def states(entries: list[Entry]) -> dict[str, State]:
    return {entry.claim.claim: entry.state for entry in entries}


def test_terminal_and_markdown_golden(made: Book, snapshot: SnapshotAssertion) -> None:
    """The page that sceptics read first: a change of it is a decision."""
    console = Console(file=io.StringIO(), width=120, force_terminal=False, color_system=None)
    render.terminal(made.report, console)
    assert isinstance(console.file, io.StringIO)
    assert "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) == snapshot(name="terminal")
    assert render.markdown(made.report) == snapshot(name="markdown")


def test_a_claim_is_what_its_runs_or_bills_make_it_and_not_yet_run_without_any(made: Book, tmp_path: Path) -> None:
    """A claim that nobody tested must not look tested, and a planned one not look decided."""
    assert states(made.entries) == {
        "folk-bytes": State.SUPPORTED,
        "folk-cost": State.SUPPORTED,
        "folk-planned": State.NOT_YET_RUN,  # though its other half is decided by the same runs
        "folk-unrun": State.NOT_YET_RUN,
    }
    nothing = book.open_book([entry.claim for entry in made.entries], [], {})
    assert set(states(nothing).values()) == {State.NOT_YET_RUN}
    text = render.markdown(telling.tell(nothing, {}, {}, generated_utc=fixtures.UTC))
    assert "4 claims: 4 not yet run." in text and "No recorded run speaks" in text


def test_the_study_named_first_speaks_the_others_stand_beside_it(results: Path, made: Book, tmp_path: Path) -> None:
    """Of two studies the one that one hoped for would be picked: the order given decides, before any result."""
    again = fixtures.recorded(tmp_path / "again")
    for bundle in record.find(again):  # the same, but for the bytes
        run = record.load(bundle)
        metrics = {k: m for k, m in run.metrics.items() if k != "disk_bytes_per_event"}
        (bundle / "run.json").unlink()
        record.save(fixtures.replace(run, metrics=metrics, bundle=None), bundle)
    claim = made.entries[0].claim
    studies, _ = book.read([again, results], None)
    first = book.open_book([claim], studies, {})[0]
    assert first.source is not None and first.source.name == "again/quickstart"
    assert first.state is State.INCONCLUSIVE and "missing" in first.primary.sentence
    assert [(one.name, str(verdict.verdict)) for one, verdict in first.others] == [("results/quickstart", "supported")]
    told = telling.tell([first], {}, {}, generated_utc=fixtures.UTC)
    assert "results/quickstart says supported" in render.markdown(told)
    last = book.open_book([claim], studies[::-1], {})[0]
    assert last.state is State.SUPPORTED


def test_runs_of_a_scenario_that_the_claim_does_not_name_say_nothing(made: Book, results: Path) -> None:
    """A universal claim would be "supported" by any run that happens to lie about."""
    studies, _ = book.read([results], None)
    stranger = made.entries[3].claim.model_copy(update={"claim": "stranger"})
    assert book.open_book([stranger], studies, {})[0].source is None


def test_where_bills_decide_runs_still_speak_on_what_rests_on_them(made: Book, results: Path, tmp_path: Path) -> None:
    """A claim about dollars whose other half was measured must not say that nothing ran."""
    both = CLAIMS["folk-cost"].replace("folk-cost", "folk-both").replace("odds.yaml]", "odds.yaml, quickstart]")
    runs = "{name: never-lost, says: None is lost., kind: universal, holds: [lost_events value == 0], fewest: 3}"
    (tmp_path / "folk-both.yaml").write_text(f"{both}  - {runs}\n")
    [claim] = load_claims(tmp_path)
    studies, _ = book.read([results], None)
    [entry] = book.open_book([claim], studies, made.estimates)
    [bare] = book.open_book([claim], [], made.estimates)
    assert [state(one, ran=entry.ran is not None) for one in entry.verdicts] == [State.SUPPORTED, State.SUPPORTED]
    assert [state(one, ran=bare.ran is not None) for one in bare.verdicts] == [State.SUPPORTED, State.NOT_YET_RUN]
    assert entry.primary == bare.primary and entry.source is None and entry.others == ()
    text = render.markdown(telling.tell([entry], {}, {}, generated_utc=fixtures.UTC))
    assert "Runs: results/quickstart" in text and "1 of 1 decided" in text


def test_what_cannot_be_read_is_said_and_the_rest_is_told(tmp_path: Path) -> None:
    """One torn bundle must not empty the book, nor vanish."""
    home = fixtures.recorded(tmp_path / "results")
    (record.find(home)[0] / "run.json").write_text("{")
    studies, unreadable = book.read([home], None)
    assert len(studies) == 1 and len(unreadable) == 1 and "run.json: truncated" in unreadable[0]
    told = telling.tell([], {}, {}, generated_utc=fixtures.UTC, unreadable=unreadable)
    assert "run.json: truncated" in render.markdown(told)
    with pytest.raises(ScenarioError, match="no study in it, expected results/SCENARIO"):
        book.read([tmp_path / "results" / "quickstart" / "logs"], None)


class Origins:
    """Finds every number of the book again, from the bundles, the draws and the bills anew."""

    def __init__(self, made: Book) -> None:
        self.made = made
        self.entries = {entry.claim.claim: entry for entry in made.entries}
        self.verdicts = {}
        for entry in made.entries:
            bundles = record.find(entry.source.study.runs[0].bundle.parents[1]) if entry.source else []  # type: ignore[union-attr]
            runs = [record.load(bundle) for bundle in bundles]
            for one in judge([entry.claim], Evidence(runs, made.estimates)):
                self.verdicts[f"{one.claim}/{one.hypothesis}"] = one

    def value(self, source: Source) -> float:
        return float(getattr(self, source.kind)(source))

    def verdict(self, source: Source) -> float:
        return getattr(self.verdicts[source.ref], source.path)

    def counted(self, source: Source) -> float:
        return sum(source.path in ("all", str(entry.state)) for entry in self.made.entries)

    def setting(self, source: Source) -> float:
        raise AssertionError("settings have several values: see below")

    def bill(self, source: Source) -> float:
        study, _, rest = source.ref.partition(": ")
        arm, _, platform = rest.rpartition("/")
        option = next(o for o in self.made.bills[study][arm]["options"] if o["platform"] == platform)
        part, _, name = source.path.partition(".")
        return option[part][name]

    def derived(self, source: Source) -> float:
        a, b = (self.value(of) for of in source.of)
        return {"a - b": a - b, "a / b - 1": a / b - 1}[source.ref]

    def odds(self, source: Source) -> float:
        found = self.made.compared[source.ref]
        if source.path.endswith("usd_month"):
            option = getattr(found, source.path.split(" ")[0])
            return float(option.bill.usd_month)
        return float(dict(found.usage.numbers())[source.path].value)


def test_every_number_of_the_book_is_what_its_source_says(made: Book) -> None:
    """A verdict next to another claim's interval, or a dollar from nowhere, would be quoted for years."""
    origins = Origins(made)
    found = [node for node in walk(made.report) if isinstance(node, Number)]
    assert {number.source.kind for number in found} == {"verdict", "counted", "setting", "bill", "derived", "odds"}
    for number in found:
        if number.source.kind == "setting":
            entry = next(e for e in made.entries if e.source is not None and e.source.name == number.source.ref)
            assert entry.source is not None
            values = {str(at(dict(run.settings), number.source.path)) for run in entry.source.study.runs}
            assert number.value in {float(value) for value in values if value != "None"}, number
        else:
            assert math.isclose(number.value, origins.value(number.source), rel_tol=1e-9, abs_tol=1e-12), number


def at(data: Any, path: str) -> Any:
    for word in path.split("."):
        data = data.get(word) if isinstance(data, Mapping) else None
    return data


def test_every_row_leads_to_its_claim(made: Book) -> None:
    """Twenty-eight cards without a way to one of them are not read."""
    keys = {node.key for node in walk(made.report.sections) if isinstance(node, Section)}
    links = {node.to for node in walk(made.report) if isinstance(node, Link)}
    assert links == {entry.claim.claim for entry in made.entries} <= keys
    text = render.html(made.report)
    assert all(f'href="#{link}"' in text and f'id="{link}"' in text for link in links)


def test_the_claims_of_the_repository_make_one_page() -> None:
    """Each file under scenarios/claims is on the page, verbatim, with what would change it and what it waits for."""
    claims = load_claims(None)
    entries = book.open_book(claims, [], {})
    text = render.markdown(telling.tell(entries, {}, {}, generated_utc=fixtures.UTC))
    plain_text = text.replace("\\", "")
    for claim in claims:
        assert plain_text.count(claim.sentence) >= 2, claim.claim  # in the table, and as a card
        assert claim.would_change and claim.cannot_decide and claim.expect, claim.claim
        if isinstance(claim.primary, Planned) and not claim.primary.needs:
            assert f"waits for {claim.primary.waits_for}" in plain_text
    assert re.search(rf"^{len(claims)} claims: ", plain_text, re.MULTILINE)


def test_few_claims_are_told_whole_in_the_terminal(made: Book) -> None:
    """Who asks about one claim wants its conditions, not a table of one row."""
    told = telling.tell(made.entries[:1], made.bills, made.compared, generated_utc=fixtures.UTC)
    console = Console(file=io.StringIO(), width=100, force_terminal=False, color_system=None)
    render.terminal(told, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "Would change it" in text and "Fewer partitions." in text and "Conditions" in text
    assert plain(told.sections[0].blocks[0].words) == "1 claim: 1 supported."
