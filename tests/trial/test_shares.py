"""A rate that is a share of what the same cell drained: cells of different speed, equally busy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.campaign import at_share
from bench.errors import ScenarioError
from bench.record import Measurement, Outcome, Run
from bench.scenario import Scenario, Trial, estimate_s, load
from bench.trial.attempt import blank

TEXT = """\
schema: 1
workload: {name: clicks}
pipeline: {job: margin, function: row}
axes: {pipeline.function: [java, row]}
loads:
  flat-out: {drain: 1_000_000}
  half: {of_drain: 0.5, axes: {pipeline.function: [java, row], topic.partitions: [6, 12]}}
"""


def asked(folder: Path, text: str = TEXT) -> Scenario:
    file = folder / "shares.yaml"
    file.write_text(text)
    return load(file)


def trials(folder: Path) -> list[Trial]:
    return asked(folder).trials(backend="local", workload_version=1, measurement_version=1, host_class="")


def drained(one: Trial, eps: float, outcome: Outcome = Outcome.FINISHED) -> Run:
    return replace(blank(one, "local", outcome, ""), metrics={"drain_eps": Measurement(eps, "events/s")})


def test_each_cell_gets_its_share_of_what_it_drained_itself(tmp_path: Path) -> None:
    """One rate for all would have the slow one at its limit and the fast one asleep."""
    every = trials(tmp_path)
    eps = {"java": (90_000.0, 200_000.0, 110_000.0), "row": (30_000.0, 20_000.0, 31_040.0)}
    runs = [drained(one, eps[str(one.knobs["pipeline.function"])][one.repetition]) for one in every if one.load.drain]
    assert len(runs) == 6
    for one in (one for one in every if one.load.of_drain):
        rated = at_share(one, runs)
        assert rated.load.rate_eps == {"java": 55_000, "row": 15_000}[str(one.knobs["pipeline.function"])]
        assert (rated.load.kind, rated.load.of_drain, rated.id, rated.knobs) == ("rate", None, one.id, one.knobs)


def test_a_cell_that_varies_something_else_is_of_the_form_it_has(tmp_path: Path) -> None:
    """Bundles ran at 40 % of the median over Java, SQL and Python, and not of what their own form drains."""
    own = "  bundles: {of_drain: 0.5, axes: {pipeline.python.bundle_ms: [10, 1000]}}\n"
    every = asked(tmp_path, TEXT + own).trials(
        backend="local", workload_version=1, measurement_version=1, host_class=""
    )
    eps = {"java": 200_000.0, "row": 30_000.0}
    runs = [drained(one, eps[str(one.knobs["pipeline.function"])]) for one in every if one.load.drain]
    bundles = [one for one in every if one.load_name == "bundles"]
    assert {at_share(one, runs).load.rate_eps for one in bundles} == {15_000}  # the scenario's function is row
    only_java = [run for run in runs if run.knobs["pipeline.function"] == "java"]
    assert at_share(bundles[0], only_java) is bundles[0]


def test_what_did_not_finish_or_ran_elsewhere_says_no_rate(tmp_path: Path) -> None:
    """A crashed drain's rate is anything."""
    every = trials(tmp_path)
    half = next(one for one in every if one.load.of_drain)
    same = next(one for one in every if one.load.drain and one.knobs.items() <= half.knobs.items())
    assert at_share(half, [drained(same, 1e5, Outcome.INVALID), replace(drained(same, 1e5), backend="compose")]) is half
    assert at_share(half, [drained(same, 1e5)]).load.rate_eps == 50_000
    assert at_share(same, [drained(same, 1e5)]) is same


def test_a_share_without_a_drain_before_it_is_refused(tmp_path: Path) -> None:
    """After hours of other loads it would find that nobody knows its rate."""
    first = "  half: {of_drain: 0.5}\n  flat-out: {drain: 1_000_000}\n"
    with pytest.raises(
        ScenarioError, match=r"6: loads.half.of_drain: is a share of nothing, expected a load with drain"
    ):
        asked(tmp_path, TEXT.partition("  flat-out")[0] + first)
    with pytest.raises(ScenarioError, match=r"load.of_drain: is a share of nothing"):
        asked(tmp_path, "schema: 1\nworkload: {name: clicks}\nload: {of_drain: 0.5}\npipeline: {job: revenue}\n")


def test_its_time_is_that_of_its_phases(tmp_path: Path) -> None:
    half = [one for one in trials(tmp_path) if one.load.of_drain][:1]
    assert 40 < estimate_s(half) - 50 < 90  # without the cluster: 40 s of load, and what it sends to be compared
