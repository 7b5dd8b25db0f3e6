"""What acting sooner is worth: no loss without a delay, never less for more of it, and what it was calibrated to."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import bench.cli.forecasts  # noqa: F401 -- registers `simulate`
import costmodel
from bench import record, study, trial
from bench.cli import cli
from bench.errors import ScenarioError
from bench.metrics import METRICS
from bench.record import Measurement, Outcome
from costmodel import odds, promptness
from costmodel.promptness import Cadence, Promptness, lost_share
from costmodel.usage import Usage

JOB = Path(costmodel.__file__).parent / "examples" / "flink-job.yaml"
CASE: dict[str, Any] = {
    "schema": 1,
    "loss": {"usd_month": 50_000, "under": "daily"},
    "tau_s": {"hour": 3600},
    "cadences": {
        "daily": {"every_s": 86_400, "takes_s": 3600},
        "hourly": {"every_s": 3600, "takes_s": 300},
        "streaming": {"takes_s": 2},
    },
}
seconds = st.floats(0.1, 1e6)


def job() -> Usage:
    found = costmodel.load(JOB)
    assert isinstance(found, Usage)
    return found


def rows(**changes: Any) -> dict[str, promptness.Row]:
    found = promptness.compare(Promptness.model_validate({**CASE, **changes}), job(), "flink-ec2")
    return {row.cadence: row for row in found}


@given(seconds, seconds, seconds, st.floats(1, 10))
def test_no_delay_loses_nothing_and_more_delay_never_less(every: float, takes: float, tau: float, more: float) -> None:
    """A curve that fell somewhere would advise to wait."""
    share = lost_share(Cadence(every_s=every, takes_s=takes), tau)

    assert lost_share(Cadence(), tau) == 0
    assert 0 <= share <= 1
    assert share <= lost_share(Cadence(every_s=every * more, takes_s=takes), tau) + 1e-12
    assert share <= lost_share(Cadence(every_s=every, takes_s=takes * more), tau) + 1e-12
    assert lost_share(Cadence(takes_s=takes), tau) <= share + 1e-12  # a stream as slow as a batch never waits for it
    assert lost_share(Cadence(every_s=every, takes_s=takes), tau * more) <= share + 1e-12


def test_the_share_is_the_mean_over_delays_that_are_drawn() -> None:
    delays = 300 + 3600 * (np.arange(100_000) + 0.5) / 100_000

    assert lost_share(Cadence(every_s=3600, takes_s=300), 1800) == pytest.approx(1 - np.exp(-delays / 1800).mean())


def test_losses_are_what_their_owner_said_under_the_cadence_they_were_said_of() -> None:
    found = rows(detector={"recall": 0.8, "precision": 0.5, "cases_month": 500, "usd_per_false_alarm": 5})

    assert found["daily"].lost_usd_month == pytest.approx(50_000)
    assert found["hourly"].lost_usd_month == pytest.approx(27_069, abs=1)  # by hand: 0.5347 / 0.9877 of 50,000
    for row in found.values():
        assert row.total_usd_month == pytest.approx(row.lost_usd_month + row.bill_usd_month + 2_000)


def test_a_detector_that_misses_cannot_be_made_up_for_by_speed() -> None:
    blind, keen = rows(detector={"recall": 0.5}), rows(detector={"recall": 1})

    assert blind["streaming"].lost_usd_month > 0.5 * 50_000
    assert keen["streaming"].lost_usd_month < 0.01 * 50_000


def test_a_stream_is_its_platforms_bill_and_a_batch_the_hours_of_its_runs() -> None:
    (stream,) = costmodel.price(job(), ["flink-ec2"], draws=0)
    daily = rows()["daily"]
    # 864 million events x 10 CPU-s, at 70 % of two cores for an hour: two TaskManagers and a JobManager, 30.4 days
    assert daily.bill_usd_month == pytest.approx(730 / 24 * 3 * 0.0816)
    assert rows()["streaming"].bill_usd_month == pytest.approx(float(stream.usd_month or 0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": {"usd_month": 50_000, "under": "dayly"}}, "no cadence 'dayly'; did you mean daily?"),
        ({"loss": {"usd_month": -1, "under": "daily"}}, "greater than 0"),
        ({"tau_s": {"hour": 0}}, "greater than 0"),
        ({"cadences": {"daily": {}}}, "acts at once and loses nothing"),
    ],
)
def test_a_case_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(json.dumps({**CASE, **changes}))
    with pytest.raises(ScenarioError) as refused:
        promptness.read(file)
    assert said in str(refused.value) and "case.yaml:" in str(refused.value)


def test_the_command_names_the_cheapest_cadence_for_each_tau(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(json.dumps({**CASE, "tau_s": {"minutes": 300, "years": 1e8}}))
    words = ["simulate", "promptness", str(JOB), "--case", str(file)]
    document = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)
    told = CliRunner().invoke(cli, words, catch_exceptions=False).stdout

    minutes, years = document["sentences"]
    assert minutes.startswith("tau minutes: streaming costs least")
    assert years.startswith("tau years: ") and minutes in told and years in told
    assert "Assumed: 50,000 USD a month are lost under daily" in told


def measured_detectors(folder: Path, metrics: dict[str, dict[str, float]]) -> Path:
    """results/fraud-detection with these metrics, two runs a job."""
    asked = study.Asked("fraud-detection", repeats=2)
    scenario = study.scenario(asked)
    trials = study.trials(scenario, "local")
    study.remember(asked, scenario, trials, folder)
    for one in trials:
        found = {
            name: Measurement(value, METRICS[name].unit) for name, value in metrics[one.knobs["pipeline.job"]].items()
        }
        run = replace(trial.crashed(one, "local", ""), outcome=Outcome.FINISHED, metrics=found)
        record.save(run, folder / scenario.name / one.id / "20261123T120000Z")
    return folder / scenario.name


def test_a_measured_detector_is_held_against_the_loss_of_todays(tmp_path: Path) -> None:
    """Calibrated anew, a detector that finds twice as much would make the frauds that there are twice as dear."""
    poor = {"recall": 0.4, "precision": 0.9, "alert_latency_ms": 500.0}
    good = {"recall": 0.8, "precision": 0.9, "alert_latency_ms": 60_000.0}
    folder = measured_detectors(tmp_path, {"fraud-rules": poor, "fraud-model": good})
    file = tmp_path / "case.yaml"
    file.write_text(json.dumps({**CASE, "detector": {"recall": 0.8, "precision": 0.9}}))
    words = ["simulate", "promptness", str(JOB), "--case", str(file), "--detector", str(folder)]
    document = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)
    told = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    lost = {
        label: {row["cadence"]: row["lost_usd_month"] for row in found["rows"]}
        for label, found in document["detectors"].items()
    }
    model, rules = lost["job fraud-model"], lost["job fraud-rules"]

    assert model["daily"] == pytest.approx(50_000)  # finds as much as today's: loses what its owner said
    at_most = 50_000 / (1 - 0.8 * (1 - lost_share(Cadence(every_s=86_400, takes_s=3600), 3600)))
    assert rules["streaming"] == pytest.approx(at_most * (1 - 0.4 * np.exp(-0.5 / 3600)))
    assert model["streaming"] == pytest.approx(at_most * (1 - 0.8 * np.exp(-60 / 3600)))
    assert (
        "recall 0.400 (0.400 to 0.400), n = 2" in told and "alerts 60 s late" in told and "; measured: recall" in told
    )


def test_runs_that_detect_nothing_are_no_detector(tmp_path: Path) -> None:
    bare = {"lost_events": 0.0}
    folder = measured_detectors(tmp_path, {"fraud-rules": bare, "fraud-model": bare})
    words = ["simulate", "promptness", str(JOB), "--detector", str(folder)]
    refused = CliRunner().invoke(cli, words)

    assert isinstance(refused.exception, ScenarioError) and "recall and precision" in str(refused.exception)


def test_a_detector_that_finds_nothing_is_told_and_not_left_out(tmp_path: Path) -> None:
    """Zero is an answer, and the worst one: a list without it recommends the best of the others as if it were all."""
    blind = {"recall": 0.0, "precision": 0.0}
    good = {"recall": 0.8, "precision": 0.9, "alert_latency_ms": 60_000.0}
    folder = measured_detectors(tmp_path, {"fraud-rules": blind, "fraud-model": good})
    words = ["simulate", "promptness", str(JOB), "--detector", str(folder)]
    document = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)["detectors"]
    told = CliRunner().invoke(cli, words, catch_exceptions=False).stdout

    assert document["job fraud-rules"]["rows"] == [] and document["job fraud-model"]["rows"]
    assert "recall 0.000" in document["job fraud-rules"]["measured"]
    assert "job fraud-rules: recall 0.000" in told and "found nothing, all is lost at any cadence" in told


def test_a_sum_that_is_reached_in_no_draw_is_not_reached() -> None:
    assert odds.reaches(job(), "flink-ec2", Decimal(1), draws=20) == 1
    assert odds.reaches(job(), "flink-ec2", Decimal(1_000_000), draws=20) == 0
    assert odds.reaches(job(), "flink-ec2", Decimal(1), kind="egress", draws=20) == 0


def test_a_mistyped_tau_of_a_sentence_is_refused(tmp_path: Path) -> None:
    sentence = {"usage": str(JOB), "case": str(promptness.EXAMPLE), "platform": "flink-ec2", "tau": "5 minuets",
                "cadence": "streaming", "than": "hourly"}  # fmt: skip
    file = tmp_path / "odds.yaml"
    file.write_text(json.dumps({"schema": 1, "odds": {}, "sooner": {"wrong": sentence}}))
    with pytest.raises(ScenarioError, match="has no '5 minuets'; did you mean 5 minutes"):
        odds.estimates(file=file, draws=2)
