"""What happens to the command or to Kafka in mid-run: nothing is left behind, and what was measured is kept."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import command
import pytest

from bench import record
from bench.record import Outcome

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

# A broker and no Flink: starts in seconds.
SCENARIO = """\
schema: 1
name: broker-only
workload: {{name: clicks, keys: {{distinct: 1000}}}}
load: {{rate_eps: 2000}}
cluster: {{broker_heap_mb: 512}}
phases: {{warmup_s: 0.5, measure_s: {measure_s}, settle_s: 1}}
repeats: {repeats}
thresholds: [e2e_latency_ms p99 < 60000]
"""


def scenario(folder: Path, *, measure_s: float, repeats: int) -> str:
    path = folder / "broker-only.yaml"
    path.write_text(SCENARIO.format(measure_s=measure_s, repeats=repeats))
    return str(path)


def test_kill_minus_nine_leaves_no_process_and_no_data(tmp_path: Path) -> None:
    """A broker that outlives its study loads the next one's, and its data fills the disk."""
    with command.started("run", scenario(tmp_path, measure_s=120, repeats=1), out=tmp_path / "results") as study:
        study.until(lambda: study.below("bench.loadgen.worker"))
        below = study.below()
        assert len(below) >= 3  # supervisor, broker, load worker
        assert study.run_dirs()
        study.process.kill()
        command.assert_gone(below, study)
    (left,) = [record.load(bundle) for bundle in study.bundles()]  # says that it began, and is no evidence
    assert left.outcome is Outcome.UNFINISHED
    assert left.metrics == {}
    with command.started("report", str(study.out / "broker-only"), out=study.out) as report:
        assert report.wait() == 4, report.stderr  # told, and nothing passes
    assert "unfinished" in report.stdout


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """An hour of finished runs must survive an impatient moment, and the half-finished one must not count."""
    with command.started("run", scenario(tmp_path, measure_s=3, repeats=9), out=tmp_path / "results") as study:
        study.until(lambda: [path for path in study.bundles() if record.load(path).outcome is Outcome.FINISHED])
        study.until(lambda: study.below("bench.loadgen.worker"))
        below = study.below()
        os.killpg(study.process.pid, signal.SIGINT)
        assert study.wait() == 130, study.stderr
        command.assert_gone(below, study)
    assert "interrupted" in study.stderr
    assert "Traceback" not in study.stderr
    runs = [record.load(bundle) for bundle in study.bundles()]
    kept = [run for run in runs if run.outcome is Outcome.FINISHED]
    assert [run.outcome for run in runs if run not in kept] in ([], [Outcome.UNFINISHED])
    assert 1 <= len(kept) < 9
    with command.started("plan", str(tmp_path / "broker-only.yaml"), "--json", out=tmp_path / "results") as plan:
        assert plan.wait() == 0
    assert plan.document["todo"] == 9 - len(kept)


def test_a_broker_that_dies_costs_its_own_run_only(tmp_path: Path) -> None:
    """A dead broker read as a slow one would be a verdict about Kafka; a study that stops there wastes the rest."""
    asked = scenario(tmp_path, measure_s=4, repeats=2)
    with command.started("run", asked, "--json", out=tmp_path / "results") as study:
        study.until(lambda: [*study.out.rglob("go.json")])  # the load's clock is set
        (broker,) = study.below("kafka.Kafka")
        broker.kill()
        assert study.wait() == 0, study.stderr
    assert "Traceback" not in study.stderr
    crashed, finished = study.document["runs"]
    assert crashed["outcome"] == "crashed"
    assert crashed["reason"].startswith("broker 1 ended (exit code -9)\n")
    assert "INFO" in crashed["reason"]  # the end of its log
    assert (Path(crashed["bundle"]) / "logs" / "broker-1.log").stat().st_size
    command.assert_ran(finished)
    assert finished["metrics"]["acknowledged_events"]["value"] == 9_000
    assert study.run_dirs() == []
