"""What `plan` says before an hour is spent: repeats for a precision, from the noise that is really there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import noise, planning, record, study, trial
from bench.analysis import power
from bench.environment import host_class
from bench.errors import ScenarioError
from bench.metrics import METRICS
from bench.record import Knob, Measurement, Outcome, Run
from bench.scenario import Scenario
from bench.study import Asked

SCENARIO = """\
schema: 1
name: small
workload: {name: clicks}
load: {rate_eps: 1000}
axes: {topic.partitions: [6, 96]}
claims: [over-partitioning-inflates-storage]
repeats: 4
"""
DISK = "log_bytes_per_event"


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    (tmp_path / "small.yaml").write_text(SCENARIO)
    monkeypatch.setattr(noise, "RECORDED", tmp_path / "studies")
    return study.scenario(Asked(str(tmp_path / "small.yaml")))


def aa(scenario: Scenario, folder: Path, cv: float, *, pairs: int = 8, drift: float = 0.0) -> list[Run]:
    """Runs that differ in a label only, on a host that gets slower from pair to pair."""
    rng = np.random.default_rng(5)
    one = study.trials(scenario, "local")[0]
    runs = []
    for repetition in range(pairs):
        for label in "ab":
            value = 100 * (1 + drift) ** repetition * rng.lognormal(0, cv)
            run = replace(
                trial.crashed(one, "local", ""), outcome=Outcome.FINISHED, repetition=repetition,
                trial_id=f"{label}{repetition}", knobs={"label": label},
                metrics={DISK: Measurement(value, METRICS[DISK].unit)},
            )  # fmt: skip
            runs.append(record.save(run, folder / f"{label}{repetition}" / "20261124T120000Z"))
    return runs


def test_variation_comes_from_the_nearest_runs_there_are(scenario: Scenario, tmp_path: Path) -> None:
    """Prevents a plan for this laptop from being made with somebody else's noise, and an old guess from winning."""
    out = tmp_path / "results"
    assert noise.noise(DISK, "value", (), out) == noise.Noise(power.CV, 0, "the literature: nothing was recorded")
    aa(scenario, tmp_path / "studies", 0.02)
    found = noise.noise(DISK, "value", (), out)
    assert (found.freedom, found.source) == (8, "recorded A/A runs of this class of host (8 pairs)")
    assert found.cv == pytest.approx(0.02, rel=0.5)
    aa(scenario, out / "noise", 0.10)
    found = noise.noise(DISK, "value", (), out)
    assert found.source == "A/A runs of this host (8 pairs)"
    assert found.cv == pytest.approx(0.10, rel=0.5)
    (own, *_) = aa(scenario, tmp_path / "own", 0.01)
    values: Sequence[float] = (100.0, 101.0, 99.0, 100.5, 99.5)
    knobs: dict[str, Knob] = {"topic.partitions": 6}
    mine = [replace(own, knobs=knobs, metrics={DISK: Measurement(v, "bytes")}) for v in values]
    found = noise.noise(DISK, "value", mine, out)
    assert found.source == "this scenario's own runs here (4 degrees of freedom)"
    assert found.cv == pytest.approx(0.0079, rel=0.01)
    assert noise.noise(DISK, "value", mine[:3], out).source == "A/A runs of this host (8 pairs)"  # too few to say


def test_noise_of_pairs_leaves_out_what_pairs_share(scenario: Scenario, tmp_path: Path) -> None:
    """Prevents a host that drifts from demanding hours of repeats that interleaving makes needless."""
    cv, freedom = noise.variation(aa(scenario, tmp_path / "x", 0.02, pairs=40, drift=0.05), DISK)
    assert freedom == 40
    assert cv == pytest.approx(0.02, rel=0.25)


def test_a_precision_picks_the_repeats_that_reach_it(scenario: Scenario, tmp_path: Path) -> None:
    """Prevents `--precision 2%` from ending in an interval of ±4 %, and a night from being spent on ±0.1 %."""
    aa(scenario, tmp_path / "studies", 0.03, pairs=40)
    found = planning.precise(scenario, 0.02, {}, tmp_path)
    sd = power.sd_of_pairs(found.noise.cv)
    assert found.metric == DISK
    assert power.half_width(sd, found.repeats) <= np.log1p(0.02) < power.half_width(sd, found.repeats - 1)
    with pytest.raises(ScenarioError, match=r"log_bytes_per_event varies by .* no number of repeats up to 1,000"):
        planning.precise(scenario, 0.0005, {}, tmp_path)
    document = planning.plan(scenario, study.trials(scenario, "local"), {}, quick=False, precision=found)
    assert f"±2.0% takes {found.repeats} repeats: log_bytes_per_event" in "\n".join(planning.plan_lines(document))


def test_a_plan_names_the_effect_that_its_pairs_decide_and_the_noise_it_supposes(
    scenario: Scenario, tmp_path: Path
) -> None:
    """Prevents "4 repeats" from being run for a difference that only 40 would show."""
    aa(scenario, tmp_path / "studies", 0.05)
    document = planning.plan(scenario, study.trials(scenario, "local"), {}, quick=False)
    (disk,) = [one for one in document["decides"] if one["hypothesis"] == "disk"]
    cv, _ = noise.variation(noise._runs(tmp_path / "studies"), DISK)
    assert disk["variation"] == cv
    assert disk["variation_from"].endswith("this class of host (8 pairs)")
    assert disk["true_effect_decided"] == power.decidable_effect(disk["variation"], 4, 0.05)
    assert host_class()


@pytest.mark.parametrize(("edit", "metric"), [
    ("claims: [over-partitioning-inflates-storage]", "broker_cpu_s_per_million_events"),
    ("load: {rate_eps: 1000}\naxes: {topic.partitions: [6, 96]}\nclaims: [over-partitioning-inflates-storage]",
     "drain_eps"),
])  # fmt: skip
def test_without_a_claim_the_precision_is_of_what_costs(
    scenario: Scenario, tmp_path: Path, edit: str, metric: str
) -> None:
    """Prevents `--precision` from doing nothing on a scenario that only measures."""
    drain = "pipeline: {job: revenue}\nload: {drain: 100_000}\naxes: {topic.partitions: [6]}" if "load" in edit else ""
    scenario.file.write_text(SCENARIO.replace(edit, drain))
    assert planning.precise(study.scenario(Asked(str(scenario.file))), 0.05, {}, tmp_path).metric == metric


def test_what_a_single_run_or_another_place_would_have_to_decide_is_not_promised() -> None:
    """A plan that "decides" what it has one run of, or what needs S3 itself, is believed for 20 minutes too long."""
    asked = study.scenario(Asked("checkpoint-storage", quick=True))
    document = planning.plan(asked, study.trials(asked, "local"), {}, quick=True)
    decided = {one["hypothesis"] for one in document["decides"]}
    assert {"throughput", "duration"} <= decided
    assert not {"recovery", "real-s3"} & decided
    assert document["single"] == ["s3-checkpoints-bottleneck/recovery"]
    assert any("s3-checkpoints-bottleneck/recovery" in line for line in planning.plan_lines(document))
