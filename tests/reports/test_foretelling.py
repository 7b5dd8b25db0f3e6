"""The report of a prediction: told as within, beyond or open, and never as good where something else was the limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.analysis.cells import cells
from bench.analysis.prediction import Drained
from bench.record import Run
from reports import foretelling
from reports.evidence import gather
from reports.report import Intervals, Paragraph, Section, Table, Tone, plain
from tests.analysis.test_prediction import drains, runs
from tests.test_verdict import run


def told(found: list[Run]) -> Section | None:
    return foretelling.section(gather(found, cells(found)))


def halved(each: list[Drained], *, cpu: float) -> list[Drained]:
    last = each[-1]
    slow = replace(last, rate_eps=last.rate_eps / 2, cpu_s_per_million_events=last.cpu_s_per_million_events * cpu)
    return [*each[:-1], slow]


@pytest.mark.parametrize(
    ("repetitions", "tone", "said"),
    [
        ([drains(0.02, seed) for seed in range(5)], Tone.GOOD, "within the 15 % that sizing can live with"),
        ([drains(0.3, seed) for seed in range(3)], Tone.UNSURE, "is open"),
        ([halved(drains(0.02, seed), cpu=2) for seed in range(5)], Tone.BAD, "sizes from CPU per event mislead"),
    ],
)
def test_a_prediction_is_within_beyond_or_open(repetitions: list[list[Drained]], tone: Tone, said: str) -> None:
    section = told(runs(repetitions))
    assert section is not None
    verdict, table, figure = section.blocks
    found = runs(repetitions)

    assert [*foretelling.answers(gather(found, cells(found)))] == [verdict]  # at the top of the page, too
    assert isinstance(verdict, Paragraph) and verdict.tone is tone and said in plain(verdict.words)
    assert isinstance(table, Table) and [plain(row[3]) for row in table.rows] == ["fitted"] * 3 + ["held out"]
    assert isinstance(figure, Intervals)
    assert [arm.arm for arm in figure.panels[0].arms][-2:] == ["1, predicted", "1, drained"]


def test_what_waited_for_something_else_is_never_good() -> None:
    section = told(runs([halved(drains(0.01, seed), cpu=1) for seed in range(5)]))
    assert section is not None
    verdict, warning, *_ = section.blocks

    assert verdict.tone is not Tone.GOOD
    assert warning.tone is Tone.WARNING and "Under 1 the job did not use up its quota" in plain(warning.words)


def test_other_studies_have_no_such_section_and_half_a_one_says_what_is_missing() -> None:
    half = told(runs([drains()]))

    assert told([run(6, 0, {"disk_bytes_per_event": 76.0})]) is None
    assert not [*foretelling.answers(gather(runs([drains()]), ()))]
    assert half is not None and "Nothing is predicted yet" in plain(half.blocks[0].words)
