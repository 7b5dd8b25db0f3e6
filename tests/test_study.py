"""A study's life on disk: what resumes, what can be told again from results alone, and what its exit code says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import campaign, planning, record, study, trial
from bench.analysis.decide import Answer, Reason
from bench.errors import HostError, ScenarioError
from bench.metrics import METRICS
from bench.record import Measurement, Outcome, Run
from bench.scenario import Scenario, Trial
from bench.study import Asked
from bench.verdict import Verdict

SCENARIO = """\
schema: 1
name: small
workload: {name: clicks}
load: {rate_eps: 1000}
axes: {topic.partitions: [6, 96]}
claims: [over-partitioning-inflates-storage]
thresholds: [produce_latency_ms p99 < 500, delivery_errors value == 0]
repeats: 2
"""
GOOD: Mapping[str, float] = {"delivery_errors": 0.0, "disk_bytes_per_event": 100.0, "wire_bytes_per_event": 90.0}


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    (tmp_path / "small.yaml").write_text(SCENARIO)
    return Asked(str(tmp_path / "small.yaml"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


def opened(asked: Asked) -> tuple[Scenario, list[Trial]]:
    scenario = study.scenario(asked)
    return scenario, study.trials(scenario, "local")


def made(one: Trial, *, p99_ms: float | None = 20.0, outcome: Outcome = Outcome.FINISHED, at: int = 0) -> Run:
    metrics = {
        name: Measurement(value * one.settings.topic.partitions, METRICS[name].unit) for name, value in GOOD.items()
    }
    if p99_ms is not None:
        metrics["produce_latency_ms"] = Measurement(5.0, "ms", {"p50": 5.0, "p99": p99_ms}, 5_000)
    blank = trial.crashed(one, "local", "")
    return replace(blank, outcome=outcome, reason="" if outcome is Outcome.FINISHED else "why", metrics=metrics,
                   started_utc=f"2026-11-23T12:00:{at:02d}Z")  # fmt: skip


def kept(run: Run, out: Path) -> Path:
    bundle = out / run.scenario / run.trial_id / run.started_utc.replace(":", "")
    record.save(run, bundle)
    return bundle


# ---- resuming


def test_only_finished_runs_are_resumed_from(asked: Asked, out: Path) -> None:
    """A crashed or invalid run taken for done would leave a hole in the study that no repetition ever fills."""
    _, trials = opened(asked)
    kept(made(trials[0], outcome=Outcome.CRASHED), out)
    again = kept(made(trials[0], at=1), out)  # tried again, and good
    kept(made(trials[1], outcome=Outcome.INVALID), out)
    kept(made(trials[2]), out)
    kept(made(trials[2], outcome=Outcome.CRASHED, at=1), out)  # under --fresh it failed: reports tell the latest
    (kept(made(trials[3]), out) / "run.json").write_text('{"schema": 1, "run": {')  # the power failed
    known = campaign.finished(trials, out)
    assert {trial_id: run.bundle for trial_id, run in known.items()} == {trials[0].id: again}


def test_a_changed_knob_or_instrument_is_another_trial(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming from runs of other settings, or of another meaning of a metric, mixes two experiments."""
    before = {one.id for one in opened(asked)[1]}
    assert len(before) == 4
    assert before.isdisjoint(one.id for one in opened(replace(asked, overrides=("load.rate_eps=2000",)))[1])
    assert before < {one.id for one in opened(replace(asked, repeats=3))[1]}  # more repeats keep the first ones
    monkeypatch.setattr(study, "MEASUREMENT_VERSION", study.MEASUREMENT_VERSION + 1)
    assert before.isdisjoint(one.id for one in opened(asked)[1])


def test_nothing_to_run_starts_nothing(asked: Asked, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report made again must not cost a cluster, nor be refused for lack of memory."""
    scenario, trials = opened(asked)
    for at, one in enumerate(trials):
        kept(made(one, at=at), out)
    monkeypatch.setattr(campaign, "open_cluster", lambda *_, **__: pytest.fail("a cluster was started"))
    monkeypatch.setattr(campaign, "preflight", lambda *_: pytest.fail("the host was examined"))
    told: list[campaign.Event] = []
    runs = campaign.run_all(trials, out=out, listen=told.append)
    assert [run.trial_id for run in runs] == [one.id for one in trials]
    assert told == []
    assert planning.plan(scenario, trials, campaign.finished(trials, out), quick=False)["todo"] == 0


def test_a_host_that_has_no_cluster_ends_the_trial_and_not_the_study(
    asked: Asked, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that is taken, or memory that ran out at night, cost every trial that was still to come."""

    def refused(*_: object, **__: object) -> None:
        raise HostError("no memory for a broker")

    monkeypatch.setattr(campaign, "open_cluster", refused)
    monkeypatch.setattr(campaign, "preflight", lambda *_: None)
    trials = opened(asked)[1]
    runs = campaign.run_all(trials, out=out, listen=lambda _event: None)
    assert [run.outcome for run in runs] == [Outcome.CRASHED] * len(trials)
    assert "no memory for a broker" in runs[0].reason


# ---- telling it again


def test_a_study_is_recalled_as_it_was_asked(asked: Asked, out: Path) -> None:
    """A report of other runs than those that were asked for last compares what nobody wanted compared."""
    scenario, earlier = opened(asked)
    kept(made(earlier[0]), out)
    asked = replace(asked, overrides=("load.rate_eps=2000",), repeats=1)
    scenario, trials = opened(asked)
    study.remember(asked, scenario, trials, out)
    for at, one in enumerate(trials):
        kept(made(one, at=at), out)
    Path(asked.scenario).unlink()  # results stand alone
    found = study.recall(out / "small")
    assert found.unreadable == []
    assert [run.trial_id for run in found.runs] == [one.id for one in trials]
    assert [(cell.knobs["topic.partitions"], cell.n) for cell in found.cells] == [
        (run.knobs["topic.partitions"], 1) for run in found.runs
    ]
    assert found.scenario.load is not None
    assert found.scenario.load.rate_eps == 2000
    study.write_index(out / "small", study.document(found))  # the answer lies beside, and what was asked survives it
    assert study.recall(out / "small").runs == found.runs


def test_a_half_finished_and_damaged_study_is_told_with_what_is_there(asked: Asked, out: Path) -> None:
    """One bad bundle must not take the others with it, nor be passed over in silence."""
    scenario, trials = opened(asked)
    study.remember(asked, scenario, trials, out)
    kept(made(trials[0]), out)
    path = kept(made(trials[1]), out) / "run.json"
    path.write_text(path.read_text().replace('"reason": ""', '"reason": "none"'))
    kept(made(trials[2], outcome=Outcome.CRASHED), out)
    found = study.recall(out / "small")
    assert [run.outcome for run in found.runs] == [Outcome.FINISHED, Outcome.CRASHED]
    assert found.finished == 1
    (sentence,) = found.unreadable
    assert trials[1].id in sentence
    assert "checksum" in sentence
    assert all(verdict.verdict is Answer.INCONCLUSIVE for verdict in found.verdicts if verdict.primary)


@pytest.mark.parametrize("damaged", ["index.json", "scenario.yaml", "both"])
def test_a_study_whose_papers_are_damaged_is_told_from_its_runs(
    damaged: str, asked: Asked, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evening of runs must not be lost to one torn file; nor may anybody think that nothing was torn."""
    scenario, trials = opened(asked)
    study.remember(asked, scenario, trials, out)
    for at, one in enumerate(trials):
        kept(made(one, at=at), out)
    (out / "small" / trials[0].id / "20261124T010203.000Z" / "logs").mkdir(parents=True)
    for name in ("index.json", "scenario.yaml") if damaged == "both" else (damaged,):
        (out / "small" / name).write_text("{")
    monkeypatch.setattr(study, "scenario_files", lambda: [Path(asked.scenario)])  # as if it were the repository's
    found = study.recall(out / "small")
    assert [run.trial_id for run in found.runs] == [one.id for one in trials]
    assert found.asked_for == len(trials)
    said = " ".join(found.unreadable)
    assert ("index.json: missing or damaged" in said) is (damaged != "scenario.yaml")
    assert ("stands in for it" in said) is (damaged != "index.json")
    assert "20261124T010203.000Z: no run.json: this run never ended" in said
    monkeypatch.setattr(study, "scenario_files", list)
    if damaged != "index.json":
        with pytest.raises(ScenarioError):
            study.recall(out / "small")


@pytest.mark.parametrize("index", [None, "{", "[]", "{}", '{"asked": {}, "trials": []}'])
def test_a_folder_that_is_no_study_is_the_users_error(index: str | None, asked: Asked, out: Path) -> None:
    """A traceback about a missing key tells nobody that the wrong folder was named."""
    scenario, trials = opened(asked)
    study.remember(asked, scenario, trials, out)
    path = out / "small" / "index.json"
    path.unlink() if index is None else path.write_text(index)
    with pytest.raises(ScenarioError, match=r"small: expected a folder that `streamgauge run` made"):
        study.recall(out / "small")


# ---- the exit code


def verdict(answer: Answer, *, primary: bool = True) -> Verdict:
    return Verdict("c", "h", primary, "quoted", answer, Reason.NONE, "ratio", 1.2, 1.1, 1.3, 3, 0, "A sentence.")


@pytest.mark.parametrize(
    ("p99_ms", "answers", "fail_on", "code"),
    [
        ([20.0, 20.0], [Answer.SUPPORTED], [], 0),
        ([20.0, 20.0], [Answer.REFUTED, Answer.INCONCLUSIVE], [], 0),  # an answer is an ending, not an error
        ([20.0, 20.0], [Answer.REFUTED], ["refuted"], 1),
        ([20.0, 20.0], [Answer.INCONCLUSIVE], ["inconclusive"], 3),
        ([20.0, 20.0], [Answer.INCONCLUSIVE, Answer.REFUTED], ["refuted", "inconclusive"], 1),
        ([20.0, 20.0], [Answer.SUPPORTED], ["refuted", "inconclusive"], 0),
        ([20.0, 501.0], [Answer.SUPPORTED], [], 1),  # one run over the threshold
        ([20.0, None], [], [], 0),  # one run knows
        ([None, None], [], ["inconclusive"], 3),  # nobody knows: that is not a pass
        ([], [Answer.INCONCLUSIVE], [], 4),  # nothing finished
    ],
)
def test_the_exit_code_says_what_a_pipeline_must_know(
    p99_ms: Sequence[float | None], answers: Sequence[Answer], fail_on: Sequence[str], code: int, asked: Asked
) -> None:
    """A release gate reads nothing else: 0 where a threshold failed, or where nothing ran, ships the regression."""
    scenario, trials = opened(asked)
    runs = [made(one, p99_ms=ms) for one, ms in zip(trials, p99_ms, strict=False)]
    runs.append(made(trials[3], p99_ms=9_999.0, outcome=Outcome.INVALID))  # no evidence, for or against
    secondary = verdict(Answer.REFUTED, primary=False)  # never the claim's verdict
    found = study.Study(scenario, runs, [], [*map(verdict, answers), secondary])
    assert study.exit_code(found, fail_on) == code


def test_a_plan_says_what_its_repeats_can_decide_and_refuses_a_slow_quick(asked: Asked, tmp_path: Path) -> None:
    """A study that cannot decide its claim is known before the hour is spent; so is a "quick" one that is not."""
    scenario, trials = opened(asked)
    document = planning.plan(scenario, trials, {}, quick=False)
    assert document["todo"] == len(document["trials"]) == 4
    assert document["todo_s"] > 4 * 40
    disk = next(one for one in document["decides"] if one["hypothesis"] == "disk")
    assert disk["minimum_effect"] == 0.05 < disk["true_effect_decided"]
    more = planning.plan(*opened(replace(asked, repeats=9)), {}, quick=False)
    assert (
        next(o for o in more["decides"] if o["hypothesis"] == "disk")["true_effect_decided"]
        < disk["true_effect_decided"]
    )
    with pytest.raises(ScenarioError, match=r"small: --quick would take \d+ min, expected at most 20"):
        planning.plan(*opened(replace(asked, repeats=40)), {}, quick=True)
    assert json.dumps(document)
