"""What a report says, and that it says nothing that was not measured, judged or billed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fixtures
import numpy as np
import pytest
from fixtures import Story

from bench import record
from bench.analysis.cells import cells
from bench.analysis.histogram import LogLinearHistogram
from bench.analysis.thresholds import meets
from bench.record import Outcome, Run
from reports import figures, plots, render
from reports.evidence import run_id
from reports.report import (
    Curve,
    Estimated,
    Fact,
    Facts,
    Line,
    Number,
    OverTime,
    Paragraph,
    Report,
    Result,
    Section,
    Segment,
    Source,
    Table,
    Verdict,
    plain,
    walk,
)
from reports.story import arm_label, tell


class Origins:
    """Finds every number again in what the report was made of, by the source that it names. Reads the bundles anew."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.runs = {run_id(run): record.load(run.bundle) if run.bundle else run for run in story.runs}

    def arm(self, key: str) -> list[Run]:
        load, _, label = key.partition("/")
        return [run for run in self.runs.values() if run.load == load and (not label or arm_label(run.knobs) == label)]

    def finished(self, key: str) -> list[Run]:
        return [run for run in self.arm(key) if run.outcome is Outcome.FINISHED]

    def value(self, source: Source) -> float:
        return float(getattr(self, source.kind)(source))

    def run(self, source: Source) -> float:
        run = self.runs[source.ref]
        if source.path == "duration_s":
            return run.duration_s
        metric, stat = source.path.split(" ")
        measured = run.metrics[metric]
        return measured.value if stat == "value" else (measured.percentiles or {})[stat]

    def cell(self, source: Source) -> float:
        *name, part = source.path.split(" ")
        values = [self.run(Source("run", run_id(run), f"{name[0]} {name[1] if len(name) > 1 else 'value'}"))
                  for run in self.finished(source.ref) if name[0] in run.metrics]  # fmt: skip
        if part in ("value", "n"):
            return float(np.mean(values)) if part == "value" else len(values)
        cell = next(c for c in self.story.cells if f"{c.load}/{arm_label(c.knobs)}" == source.ref)
        return getattr(cell.metrics[" ".join(name)], part)

    def verdict(self, source: Source) -> float:
        return next(getattr(v, source.path) for v in self.story.verdicts if f"{v.claim}/{v.hypothesis}" == source.ref)

    def bill(self, source: Source) -> float:
        arm, _, platform = source.ref.rpartition("/")
        option = next(o for o in self.story.bills[arm]["options"] if o["platform"] == platform)
        if source.path.startswith("kind "):
            kind = source.path.removeprefix("kind ")
            return sum(line["usd_month"] for line in option["lines"] if line["kind"] == kind and line["usd_month"])
        return at(option, source.path)

    def usage(self, source: Source) -> float:
        path, part = source.path.split(" ")
        return self.story.bills[source.ref]["usage"][path][part]

    def derived(self, source: Source) -> float:
        a, b = (self.value(of) for of in source.of)
        return {"a - b": a - b, "a / b - 1": a / b - 1}[source.ref]

    def setting(self, source: Source) -> float:
        return at(self.arm(source.ref.partition("/")[0])[0].settings, source.path)

    def check(self, source: Source) -> float:
        name, _, part = source.path.rpartition(" ")
        return next(getattr(check, part) for check in self.runs[source.ref].checks if check.name == name)

    def threshold(self, source: Source) -> float:
        text, _, what = source.path.rpartition(" ")
        slo = dict(zip(self.story.scenario.thresholds, self.story.scenario.slos, strict=True))[text]
        answers = [meets(run, slo) for run in self.finished(source.ref)]
        return sum(answer is True if what == "kept" else answer is not None for answer in answers)

    def histogram(self, source: Source) -> float:
        name, _, part = source.path.partition(" ")
        merged, runs = LogLinearHistogram("ms"), 0
        for run in self.finished(source.ref):
            assert run.bundle is not None
            found = record.load_histograms(run.bundle).get(name)
            if found is not None:
                merged, runs = merged + found, runs + 1
        return {"n": merged.n, "runs": runs}.get(part) or merged.percentiles()[part]

    def counted(self, source: Source) -> float:
        runs = list(self.runs.values())
        if source.ref == "runs":
            return len([run for run in runs if source.path in ("all", str(run.outcome))])
        if source.ref == "checks":
            checks = [check for run in runs for check in run.checks]
            name, _, what = source.path.rpartition(" ")
            return len(
                [c for c in checks if name in ("", c.name) and {"all": True, "ok": c.ok, "wrong": not c.ok}[what]]
            )
        if source.ref == "usage":
            arm = source.path.removesuffix(" assumed, not told")
            told = {"ingest.mb_s", "retention.days", "topics.replication_factor", "consumers.groups", "zones"}
            return sum(
                n["basis"] != "measured" and path not in told for path, n in self.story.bills[arm]["usage"].items()
            )
        return len(self.finished(source.ref) if source.path == "finished runs" else self.arm(source.ref))


def at(data: Any, path: str) -> float:
    for word in path.split("."):
        data = data[int(word)] if isinstance(data, list) else data[word]
    return float(data)


def numbers(report: Report) -> list[Number]:
    return [node for node in walk(report) if isinstance(node, Number)]


def test_every_number_is_what_its_source_says(told: Story) -> None:
    """A mislabelled arm, a swapped interval or an invented total would be acted upon."""
    origins = Origins(told)
    found = numbers(told.report)
    assert len(found) > 500
    assert {number.source.kind for number in found} >= {
        "run",
        "cell",
        "verdict",
        "bill",
        "usage",
        "derived",
        "counted",
        "histogram",
    }
    wrong = [n for n in found if not math.isclose(n.value, origins.value(n.source), rel_tol=1e-9, abs_tol=1e-12)]
    assert wrong == []


def test_every_figure_shows_what_its_source_says(told: Story) -> None:
    """A figure is believed sooner than a table: the same numbers, traced the same way."""
    origins = Origins(told)
    marks = [node for node in walk(told.report) if isinstance(node, Estimated | Segment)]
    assert {type(mark) for mark in marks} == {Estimated, Segment}
    for mark in marks:
        assert mark.value == pytest.approx(origins.value(mark.source))
    for estimated in (mark for mark in marks if isinstance(mark, Estimated)):
        metric = estimated.source.path.split(" ")[0]
        measured = sorted(run.metrics[metric].value for run in origins.finished(estimated.source.ref))
        assert sorted(estimated.runs) == measured
    curves = [node for node in walk(told.report) if isinstance(node, Curve)]
    assert curves
    for curve in curves:
        assert curve.n == origins.histogram(replace(curve.source, path=f"{curve.source.path} n"))
        for p, value in curve.points:
            if f"p{p:g}" in ("p50", "p99", "p99.9"):
                assert value == origins.histogram(replace(curve.source, path=f"{curve.source.path} p{p:g}"))


def test_a_missing_sample_is_a_gap_in_every_line(told: Story) -> None:
    """A line drawn across a hole says that something was measured there."""
    lines = [node for node in walk(told.report) if isinstance(node, Line) and node.source.path == "source_events"]
    steady = [line for line in lines if "/20261123T1200" in line.source.ref]
    assert len(steady) >= 6
    assert all(any(math.isnan(value) for value in line.values) for line in steady)


@pytest.mark.parametrize("narrow", [False, True])
def test_no_peak_is_cut_off_by_the_scale_of_the_panel_beside_it(told: Story, *, narrow: bool) -> None:
    """A backlog that leaves the picture at its worst moment looks as if it had stayed small."""
    figure = next(f for f in walk(told.report) if isinstance(f, OverTime))
    calm, stormy = figure.rows[1]
    storm = tuple(replace(line, values=tuple(40 * value for value in line.values)) for line in stormy.lines)
    figure = replace(figure, rows=(figure.rows[0], (calm, replace(stormy, lines=storm))))
    highest = max(value for line in storm for value in line.values if math.isfinite(value))
    with figures._drawn(figure, narrow=narrow, alone=False) as canvas:
        assert [axes.get_ylim()[1] > highest for axes in canvas.axes] == [False, False, True, True]
        assert {axes.get_ylim()[0] for axes in canvas.axes} == {0.0}


def told_value(number: Number) -> tuple[float, float]:
    """(what the text says, the number in the text's unit)."""
    shown = re.search(r"[+-]?\$?[\d,]*\.?\d+(e[+-]?\d+)?", number.text)
    assert shown, number
    value = float(shown[0].replace(",", "").replace("$", ""))
    scales = {"%": 100.0, "KiB": 2.0**-10, "MiB": 2.0**-20, "GiB": 2.0**-30}
    scale = next((factor for word, factor in scales.items() if word in number.text), 1.0)
    if number.unit == "share" and scale == 1.0:  # a column names %
        scale = 100.0
    if number.unit == "bytes" and not number.text.endswith("B"):  # a column names B, KiB, MiB or GiB
        scale = min((2.0 ** (-10 * power) for power in range(4)), key=lambda f: abs(number.value * f - value))
    return value, number.value * scale


def test_every_text_says_its_value(told: Story) -> None:
    """Rounding may lose digits, never the meaning: half of its own step, or three significant digits."""
    for number in numbers(told.report):
        if number.text == "no difference":
            assert abs(number.value) < 0.5
            continue
        value, meant = told_value(number)
        step = 0.5 * number.step * abs(meant / number.value) if number.step and number.value else 0.0
        coarse = 0.5 if "$" in number.text and abs(number.value) >= 100 else 5e-5 if "$" in number.text else 0.0
        if "%" in number.text and number.source.kind == "derived":  # a change: one digit below 10 %, none above
            coarse = 0.5 if abs(meant) >= 9.9 else 0.05
        digits = 0.0 if number.step else 5.1e-3 * abs(meant)
        assert abs(value - meant) <= max(step, coarse, digits) * 1.001 + 1e-9, number


def test_no_number_is_told_finer_than_it_is_known(told: Story) -> None:
    """49,921.37 from three runs that differ by hundreds is believed to the last digit, and compared by it."""
    for table in (t for section in told.report.sections if not section.bulky for t in walk(section)):
        if not isinstance(table, Table) or not table.key.startswith(("cells-", "more-")):
            continue
        for row in table.rows:
            mean, spread = row[2], row[3]
            for number in (part for cell in (mean, spread) for part in cell if isinstance(part, Number)):
                known = re.sub(r"[^\d.]", "", number.text)
                assert number.value == int(number.value) or len(known.replace(".", "").strip("0")) <= 4, number
            ends = [part for part in spread if isinstance(part, Number)]
            if len(ends) == 2 and " to " in spread:
                places = {len(number.text.partition(".")[2]) for number in (*ends, mean[0])}
                assert len(places) == 1, row


def test_prose_has_no_digit_that_is_not_its_inputs_or_a_traced_number(told: Story) -> None:
    """A figure typed or computed into a sentence would escape every check above."""
    runs, verdicts = [record._plain(run) for run in told.runs], [v.to_json() for v in told.verdicts]
    inputs = json.dumps([runs, verdicts, told.bills, fixtures.SCENARIO, fixtures.UTC])
    known = set(re.findall(r"\d[\d.,]*\d|\d", inputs)) | {
        "95",
        "8",
        "10",
        "90",
        "2",
        "0",
    }  # "95 % interval", "8 of 10", p10, EC2
    known |= {f"{run.repetition + 1}" for run in told.runs} | {f"{run.order + 1}" for run in told.runs}
    for node in walk(told.report):
        if isinstance(node, Paragraph | Fact | Verdict):
            words = node.words if isinstance(node, Paragraph | Fact) else (*node.sentence, *node.evidence, node.said)
            loose = {
                digits for part in words if isinstance(part, str) for digits in re.findall(r"\d[\d.,]*\d|\d", part)
            }
            assert loose <= known, plain(tuple(words))


def test_the_first_sections_answer_what_to_do_how_sure_what_it_costs_and_what_it_rests_on(told: Story) -> None:
    """A reader has five minutes: the answer must not stand below the method."""
    first, second, third = told.report.sections[:3]
    assert [section.key for section in told.report.sections][-2:] == ["next", "paths"]
    verdict = first.blocks[0]
    assert (
        isinstance(verdict, Verdict) and verdict.verdict == "supported" and "95 % interval" in plain(verdict.evidence)
    )
    facts = next(block for block in first.blocks if isinstance(block, Facts))
    said = {fact.name: plain(fact.words) for fact in facts.rows}
    assert list(said) == ["What to do", "How sure", "What it costs", "What it depends on"]
    assert "Choose partitions 6" in said["What to do"]
    assert "95 % interval" in said["How sure"] and "9 of 9 runs finished" in said["How sure"]
    assert "+$4,300" in said["What it costs"] and "at least $22,800" in said["What it costs"]
    assert "Measured here: compression" in said["What it depends on"]
    assert "Assumed: stream 100 MB/s" in said["What it depends on"]
    assert (second.key, third.key) == ("dollars", "figures")


def test_what_to_do_never_names_a_setting_that_breaks_or_was_not_judged_against_a_threshold(tmp_path: Path) -> None:
    """The cheapest setting that misses the limit is the wrong one; one that nobody could judge is no choice at all."""
    runs = fixtures.quickstart(tmp_path)
    bills = fixtures.story(tmp_path, runs).bills

    def advice(changed: list[Run]) -> str:
        scenario = fixtures.asked(tmp_path)
        told = tell(scenario, changed, cells(changed), [], bills, generated_utc=fixtures.UTC)
        return next(plain(fact.words) for fact in walk(told.sections[0]) if isinstance(fact, Fact))

    def slow(run: Run) -> Run:
        e2e = replace(run.metrics["e2e_latency_ms"], percentiles={"p50": 400.0, "p99": 900.0})
        return replace(run, metrics={**run.metrics, "e2e_latency_ms": e2e})

    def blind(run: Run) -> Run:
        return replace(run, metrics={name: m for name, m in run.metrics.items() if name != "e2e_latency_ms"})

    def six(run: Run) -> bool:
        return run.load == "steady" and run.knobs["topic.partitions"] == 6

    assert "Choose partitions 96" in advice([slow(run) if six(run) else run for run in runs])
    hidden = advice([blind(run) if six(run) else run for run in runs])
    assert "Choose partitions 96" in hidden and "cannot be judged: partitions 6" in hidden
    nothing = advice([slow(run) if run.load == "steady" else run for run in runs])
    assert "Nothing yet" in nothing and "Choose" not in nothing
    one_each = [run for run in runs if run.repetition == 0]
    assert "Not decided" in advice(one_each)  # one run each tells nothing apart, whatever the bills say


def some(tmp_path: Path, name: str) -> tuple[list[Run], dict[str, Mapping[str, Any]] | None]:
    if name == "nothing":
        return [], {}
    if name == "only a crash":
        return [record.load(run.bundle) for run in [fixtures.crashed(tmp_path)] if run.bundle], {}
    if name == "one arm, one run":
        return [fixtures.steady(tmp_path, 6, 0, 0)], None
    if name == "no metrics, no series":
        return [
            replace(fixtures.steady(tmp_path, 6, 0, 0), metrics={}, checks=(), bundle=None, environment={}, settings={})
        ], {}
    runs = fixtures.quickstart(tmp_path, repeats=2)
    runs += [fixtures.crashed(tmp_path), fixtures.invalid(tmp_path)]
    if name == "infeasible":
        arms = fixtures.story(tmp_path, runs).bills
        return runs, {arm: {"options": [fixtures.infeasible("msk-serverless")]} for arm in arms}
    return runs, None


HALF_FINISHED = ["nothing", "only a crash", "one arm, one run", "no metrics, no series", "half", "infeasible"]


@pytest.mark.parametrize("name", HALF_FINISHED)
def test_half_finished_data_makes_a_report_that_invents_nothing(tmp_path: Path, name: str) -> None:
    """The report is wanted most when something broke: it must come, in every medium, and say what is missing."""
    runs, bills = some(tmp_path, name)
    story = fixtures.story(tmp_path, runs, bills)
    origins = Origins(story)
    for number in numbers(story.report):
        if number.source.kind != "run" or number.source.ref in origins.runs:
            assert number.value == pytest.approx(origins.value(number.source))
    written = render.write(story.report, tmp_path / "out")
    assert all(path.stat().st_size for path in written)
    assert "nan" not in render.markdown(story.report).lower().replace("finan", "")
    if name != "half":
        assert "Choose partitions" not in render.markdown(story.report)


def test_a_size_that_nobody_can_tell_is_missing_and_not_infeasible(tmp_path: Path) -> None:
    """Infeasible says that a platform cannot carry it; here nobody measured what there is to carry."""
    runs, bills = some(tmp_path, "infeasible")
    assert bills is not None
    options = [
        {**one, "reason": "what its job takes was not measured", "nearest_feasible": ""}
        for one in bills["partitions 6"]["options"]
    ]
    told = render.markdown(fixtures.story(tmp_path, runs, {**bills, "partitions 6": {"options": options}}).report)
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| msk-serverless")]
    assert {row[1]: row[2] for row in rows} == {"partitions 6": "missing", "partitions 96": "infeasible"}


def test_runs_that_are_no_evidence_are_named_with_their_reason_and_the_logs_end(tmp_path: Path) -> None:
    """A crash that is only a smaller n would be read as a clean study."""
    runs, bills = some(tmp_path, "half")
    report = fixtures.story(tmp_path, runs, bills).report
    text = render.markdown(report)
    assert "1 invalid run, 1 crashed run: nothing above rests on them." in text
    assert "schedule lateness p99 was 84 ms" in text
    assert "java.lang.OutOfMemoryError: Java heap space" in text
    assert "all is well" not in text  # of two logs the one that shows the error
    failures = [case for case in report.cases if case.group == "runs" and case.result is Result.ERROR]
    assert len(failures) == 2


def test_a_damaged_bundle_is_listed_and_the_rest_is_told(tmp_path: Path) -> None:
    """One torn file must cost one figure, not the report."""
    runs = fixtures.quickstart(tmp_path)
    assert runs[0].bundle is not None
    torn = runs[0].bundle / "series.parquet"
    torn.write_bytes(torn.read_bytes()[:100])
    text = render.markdown(fixtures.story(tmp_path, runs).report)
    assert "Could not be read" in text and "series.parquet: truncated" in text
    assert "SUPPORTED" in text


def test_disagreement_with_the_oracle_is_shown_and_counted(tmp_path: Path) -> None:
    """A job that answers wrongly has no latency; the reader must see what it got wrong."""
    runs = fixtures.quickstart(tmp_path)
    wrong = replace(runs[0].checks[2], actual=123_000.0, ok=False, detail="window ending 12:10")
    runs[0] = replace(runs[0], checks=(*runs[0].checks[:2], wrong))
    report = fixtures.story(tmp_path, runs).report
    text = render.markdown(report)
    assert "1 of 27 comparisons disagree" in text and "window ending 12:10" in text and "123,000" in text
    assert [case.result for case in report.cases if case.group == "checks"].count(Result.FAILED) == 1


def test_many_numeric_arms_become_a_ladder_and_all_stay_in_the_table(tmp_path: Path) -> None:
    """Ten partition counts as ten rows of dots hide the curve that the question is about."""
    partitions = [1, 6, 24, 96, 384]
    runs = [fixtures.steady(tmp_path, p, rep, 2 * i + rep) for i, p in enumerate(partitions) for rep in range(2)]
    report = fixtures.story(tmp_path, runs).report
    figure = next(f for f in walk(report) if isinstance(f, plots.Intervals))
    assert [arm.at for arm in figure.panels[0].arms] == partitions
    text = render.markdown(report)
    assert all(f"| disk bytes per event | partitions {p} |" in text for p in partitions)


def test_sections_of_single_runs_are_folded(told: Story) -> None:
    """Two hundred runs unfolded bury the answer."""
    section = next(s for s in told.report.sections if s.key == "runs")
    assert section.bulky and len(section.blocks) == len(told.runs)
    assert all(isinstance(block, Section) and block.folded for block in section.blocks)
