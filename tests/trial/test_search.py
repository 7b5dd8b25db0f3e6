"""The search as a trial, on systems whose truth is known: what is kept on the way, how it ends, what its run says."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import record, study
from bench.analysis.histogram import LogLinearHistogram
from bench.analysis.search import Status
from bench.errors import BrokerError
from bench.measure import Window
from bench.record import Outcome
from bench.scenario import Trial
from bench.study import Asked
from bench.trial.stage import Recorded, Stage
from tests.simulated.system import CAPACITY, STARVED, Bench, System

search = importlib.import_module("bench.trial.search")

SCENARIO = """\
schema: 1
name: seek
workload: {name: clicks}
load: {rate_eps: search}
pipeline: {job: revenue}
phases: {warmup_s: 10, measure_s: 30}
repeats: 1
thresholds: [e2e_latency_ms p99 < 2000, lost_events value == 0]
"""


class Cluster:
    """One that answers until it is told to die."""

    backend, versions = "local", {"kafka": "4.3.1"}
    alive = True

    def check(self) -> None:
        if not self.alive:
            raise BrokerError("broker 1 ended (exit code -9)")


def stage_on(cluster: Any) -> Stage:
    """Nothing but a cluster is asked of it: attempts are made up."""
    return Stage(cluster, None, Path(), lambda *_, **__: pytest.fail("nothing is started here"))


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    (tmp_path / "seek.yaml").write_text(SCENARIO)
    return study.trials(study.scenario(Asked(str(tmp_path / "seek.yaml"))), "local")[0]


Hunt = Callable[..., tuple[Recorded, list[Recorded]]]


@pytest.fixture
def hunt(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Hunt:
    """A search on a simulated system; the recorded end, and what was kept on the way."""

    def run(system: System, on: Callable[[int, Cluster], None] = lambda *_: None) -> tuple[Recorded, list[Recorded]]:
        bench, cluster, kept, asked = Bench(system, np.random.default_rng(3)), Cluster(), [], []

        def attempt(one: Trial, _stage: Any, **_how: Any) -> Recorded:
            rate = one.load.rate_eps
            assert isinstance(rate, float)
            asked.append(one.seed)
            made, series = bench.run(rate)
            on(len(asked), cluster)
            late = made.reason if made.outcome is Outcome.INVALID else ""
            return Recorded(made, series, {}, late, Window(bench.warmup_s, bench.warmup_s + bench.measure_s))

        monkeypatch.setattr(search, "attempt", attempt)
        stage = stage_on(cluster)
        ended = search.search(trial, stage, keep=kept.append)
        assert len(set(asked)) == len(asked)  # every attempt has events of its own
        return ended, kept

    return run


def test_the_run_holds_every_attempt_with_every_reason(hunt: Hunt, tmp_path: Path) -> None:
    """Prevents a rate from being published that nobody can trace to the runs that passed and failed."""
    ended, kept = hunt(System("linear", CAPACITY))
    run = record.save(ended.run, tmp_path / "bundle", series=ended.series)
    found = record.load(tmp_path / "bundle").search
    assert found is not None and found == run.search
    assert found.status == str(Status.FOUND)
    assert found.rate_eps == pytest.approx(CAPACITY, rel=0.05)
    assert run.metrics["sustainable_rate_eps"].value == found.rate_eps
    assert found.thresholds == ("e2e_latency_ms p99 < 2000", "lost_events value == 0")
    assert run.settings["thresholds"] == list(found.thresholds)
    confirmed = [one for one in found.attempts if one.purpose == "confirm" and one.rate_eps == found.rate_eps]
    assert [one.outcome for one in confirmed] == ["pass"] * 4
    assert run.metrics["flink_cpu_s_per_million_events"].value == pytest.approx(
        np.mean([one.metrics["flink_cpu_s_per_million_events"].value for one in confirmed])
    )
    for one in found.attempts:
        assert {"backlog slope", "outputs", "threshold", "latency growth"} <= {each.name for each in one.criteria}
        assert (one.reason == "") == (one.outcome == "pass") == all(each.ok for each in one.criteria)
        assert f"attempt-{one.number + 1:02}/backlog_events" in record.load_series(tmp_path / "bundle")
    assert [len(each.run.search.attempts) for each in kept if each.run.search] == list(range(len(found.attempts) + 1))
    assert {each.run.outcome for each in kept} == {Outcome.UNFINISHED}
    assert "\n".join(study.run_lines(run)).count("attempt ") == len(found.attempts)


def test_a_starved_generator_ends_in_a_lower_bound_that_says_so(hunt: Hunt) -> None:
    """Prevents the generator's limit from being printed as Kafka's, or Flink's."""
    ended, _ = hunt(STARVED)
    assert ended.run.search is not None
    assert ended.run.search.status == str(Status.AT_LEAST)
    assert "at least" in ended.run.warnings[0]
    assert any(one.outcome == "invalid" and "offered" in one.reason for one in ended.run.search.attempts)


def test_without_a_confirmed_rate_there_is_no_number(hunt: Hunt) -> None:
    """Prevents a search that was blind from ending in a rate."""
    ended, _ = hunt(System("missing samples", CAPACITY, missing=0.3))
    assert ended.run.outcome is Outcome.FINISHED
    assert ended.run.metrics == {}
    assert ended.run.search is not None
    assert ended.run.search.rate_eps is None


def test_a_cluster_that_dies_ends_it_with_what_was_tried(hunt: Hunt) -> None:
    """Prevents fourteen minutes of attempts from being lost to the fifteenth."""

    def die(number: int, cluster: Cluster) -> None:
        cluster.alive = number < 3

    ended, kept = hunt(System("linear", CAPACITY), die)
    assert ended.run.outcome is Outcome.CRASHED
    assert ended.run.reason.startswith("broker 1 ended")
    assert ended.run.search is not None
    assert len(ended.run.search.attempts) == 2 == len(kept) - 1


def test_a_job_that_had_not_caught_up_fails_at_its_rate(trial: Trial) -> None:
    """Prevents an overloaded job from being called the generator's fault, which would end the search below it."""
    bench = Bench(System("linear", CAPACITY), np.random.default_rng(1))
    run, series = bench.run(2 * CAPACITY)
    known = {name: m for name, m in run.metrics.items() if name not in ("output_share", "e2e_latency_ms")}
    behind = replace(run, outcome=Outcome.INVALID, reason="the job had not caught up", metrics=known)
    hunting = search._Hunt(trial, stage_on(Cluster()), None, print, lambda _: None)
    judged = hunting._judged(Recorded(behind, series, {}, "", Window(10, 40)))
    assert judged.outcome == "fail"
    assert judged.reasons[0].startswith("backlog grows")
    assert hunting._judged(Recorded(behind, series, {}, "lateness p99 31 ms", Window(10, 40))).outcome == "invalid"


def test_another_objective_is_another_search(tmp_path: Path) -> None:
    """Prevents yesterday's rate under 2 s from being told as today's under 200 ms."""
    ids = []
    for limit in (2000, 200):
        (tmp_path / "seek.yaml").write_text(SCENARIO.replace("2000", str(limit)))
        ids.append(study.trials(study.scenario(Asked(str(tmp_path / "seek.yaml"))), "local")[0].id)
    assert ids[0] != ids[1]


class Killed(BaseException):
    """What nothing catches, as nothing catches kill -9."""


NOISY = System("noisy", CAPACITY, noise=0.02, run_noise=0.01)


class Searching:
    """Searches of one trial whose attempts depend on their events alone, kept on disk, and killed when asked."""

    def __init__(self, trial: Trial, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trial, self.root, self.monkeypatch = trial, root, monkeypatch
        self.asked: list[tuple[float, int]] = []
        self.cluster = Cluster()

    def __call__(self, name: str, *, die_at: int = 1000, trial: Trial | None = None) -> record.Run:
        bundle, ran = self.root / self.trial.id / name, 0

        def attempt(one: Trial, _stage: Any, **_how: Any) -> Recorded:
            nonlocal ran
            if ran == die_at:
                raise Killed
            ran, rate = ran + 1, one.load.rate_eps
            assert isinstance(rate, float)
            self.asked.append((rate, one.seed))
            bench = Bench(NOISY, np.random.default_rng(one.seed))
            made, series = bench.run(rate)
            histogram = LogLinearHistogram("ms").add(np.random.default_rng(one.seed).lognormal(3, 0.3, 2000))
            window = Window(bench.warmup_s, bench.warmup_s + bench.measure_s)
            return Recorded(made, series, {"e2e_latency_ms": histogram}, "", window)

        def keep(recorded: Recorded) -> record.Run:
            return record.save(recorded.run, bundle, series=recorded.series, histograms=recorded.histograms)

        self.monkeypatch.setattr(search, "attempt", attempt)
        stage = stage_on(self.cluster)
        return keep(search.search(trial or self.trial, stage, keep=keep, earlier=record.find(self.root)))


@pytest.fixture
def searching(trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Searching:
    return Searching(trial, tmp_path / "results", monkeypatch)


def measured(run: record.Run) -> Any:
    """All of a search that depends on what it tried, not on when."""
    assert run.search is not None
    tried = [replace(one, took_s=0.0, started_utc="") for one in run.search.attempts]
    return run.outcome, run.metrics, replace(run.search, attempts=tuple(tried))


@pytest.mark.parametrize("killed_after", [1, 6, 11])
def test_a_killed_search_goes_on_where_it_was_killed(
    killed_after: int, searching: Searching, trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents ten minutes of attempts from being run again, and a search from ending elsewhere because of a kill."""
    whole = Searching(trial, tmp_path / "whole", monkeypatch)
    undisturbed = whole("1")
    for name in ("1", "2"):  # twice: what was taken up once is taken up again
        with pytest.raises(Killed):
            searching(name, die_at=killed_after if name == "1" else 1)
        assert record.load(searching.root / trial.id / name).outcome is Outcome.UNFINISHED
    ended = searching("3")
    assert searching.asked == whole.asked  # together exactly the same attempts, each once
    assert measured(ended) == measured(undisturbed)
    assert ended.metrics["e2e_latency_ms"].percentiles is not None  # of all confirmations, also those before the kill
    assert f"{killed_after + 1} attempts of " in ended.warnings[-1] and "were taken up" in ended.warnings[-1]
    assert "attempt-01/backlog_events" in record.load_series(searching.root / trial.id / "3")


def test_attempts_of_other_conditions_are_not_taken_up(searching: Searching, trial: Trial) -> None:
    """Prevents a rate from being confirmed half by another Kafka, half by another objective, or from a damaged file."""
    with pytest.raises(Killed):
        searching("1", die_at=5)
    first = list(searching.asked)
    searching.cluster.versions = {"kafka": "4.4.0"}
    with pytest.raises(Killed):
        searching("2", die_at=2)
    assert searching.asked == first + first[:2]  # begun anew
    said = record.load(searching.root / trial.id / "2").warnings[-1]
    assert "not taken up" in said and "environment.kafka: 4.3.1 then, 4.4.0 now" in said
    with pytest.raises(Killed):  # another objective, should its bundle ever lie there
        searching("3", die_at=1, trial=replace(trial, thresholds=("e2e_latency_ms p99 < 100",)))
    assert "thresholds" in record.load(searching.root / trial.id / "3").warnings[-1]
    with pytest.raises(Killed):
        searching("4", die_at=1, trial=replace(trial, scenario="sought"))
    assert "of another search" in record.load(searching.root / trial.id / "4").warnings[-1]
    for name in ("1", "2", "3", "4"):
        (searching.root / trial.id / name / "run.json").write_text("{")
    searching.asked.clear()
    with pytest.raises(Killed):
        searching("5", die_at=2)
    assert searching.asked == first[:2]


def test_a_search_that_ended_is_not_taken_up(searching: Searching) -> None:
    """Prevents `--fresh`, or a search asked for again, from answering with yesterday's attempts."""
    searching("1")
    tried = len(searching.asked)
    searching("2")
    assert searching.asked[:tried] == searching.asked[tried:]
