"""The main job, end to end, on a real Kafka and a real Flink: from a scenario to verdict, price and report."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import command
import jsonschema
import pytest
from ruamel.yaml import YAML

from bench import record
from bench.record import Outcome

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
BROKEN = "pipeline.flink.execution.checkpointing.timeout"
RATE_EPS, WARMUP_S, MEASURE_S, DRAIN = 5_000, 5, 10, 300_000

# What issue and method promise of a steady run; every one of them, or the report has holes.
PROMISED = {
    "offered_eps", "acknowledged_eps", "acknowledged_events", "schedule_lateness_ms", "produce_latency_ms",
    "e2e_latency_ms", "backlog_events", "backlog_slope_eps", "busy_share", "backpressured_share", "watermark_lag_ms",
    "checkpoint_duration_ms", "checkpoint_size_bytes", "checkpoints_completed", "checkpoints_failed", "restarts",
    "broker_cpu_s_per_million_events", "flink_cpu_s_per_million_events", "generator_cpu_s_per_million_events",
    "broker_rss_bytes", "flink_rss_bytes", "generator_rss_bytes", "wire_bytes_per_event", "disk_bytes_per_event",
    "batch_records", "late_events", "lost_events", "duplicated_events", "host_busy_share", "host_steal_share",
}  # fmt: skip

# What is held against what of each run; one that is no longer made would pass unseen.
CHECKED = {
    "acknowledged events are in the topic", "record bytes by DescribeLogDirs", "record bytes by BytesIn",
    "clean: events lost", "clean: events nobody sent", "clean: rows with a wrong field", "aside: unreadable events",
    "revenue: windows that agree",
}  # fmt: skip


def write_scenario(path: Path, *, broken: bool, partitions: Sequence[int] = (6, 96)) -> str:
    """The quickstart with a small load, a few unreadable events and, if asked, a job that Flink refuses, and one that
    commits exactly once.
    """
    document: Any = YAML(typ="safe").load(ROOT / "scenarios" / "quickstart.yaml")
    document |= {
        "name": "small",
        "repeats": 1,
        "phases": {"warmup_s": WARMUP_S, "measure_s": MEASURE_S, "settle_s": 60},
    }
    document["workload"] |= {"keys": {"distinct": 1_000, "zipf": 1.05}, "malformed": 0.01}
    document["cluster"] |= {"broker_heap_mb": 512, "prime_s": 2}
    document["pipeline"]["checkpoint"]["interval_s"] = 1.5
    document["loads"]["steady"] |= {"rate_eps": RATE_EPS, "axes": {"topic.partitions": list(partitions)}}
    document["loads"]["drain"] |= {"drain": DRAIN, "repeats": 1}
    # a generator may be late by a tenth of the latency objective: a busy CI machine is no reason to fail here
    document["thresholds"] = ["lost_events value == 0", "e2e_latency_ms p99 < 60000"]
    if broken:
        document["loads"]["broken"] = {"rate_eps": RATE_EPS, "axes": {BROKEN: ["soon"]}, "claims": []}
        once = {"pipeline.guarantee": ["exactly-once"]}
        document["loads"]["once"] = {"rate_eps": RATE_EPS, "axes": once, "claims": []}
    YAML().dump(document, path)
    return str(path)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> command.Command:
    folder = tmp_path_factory.mktemp("main")
    return command.run("run", write_scenario(folder / "small.yaml", broken=True), "--json", out=folder / "results")


def runs(done: command.Command, load: str) -> list[dict[str, Any]]:
    return [run for run in done.document["runs"] if run["load"] == load]


def test_every_trial_ends_as_it_should(first: command.Command) -> None:
    """One trial that Flink refuses must neither stop the study nor pass as a result; and nothing else may fail."""
    assert first.process.returncode == 0, first.stderr
    good = runs(first, "steady") + runs(first, "drain") + runs(first, "once")
    assert len(good) == 4
    for run in good:
        command.assert_ran(run)
    (broken,) = runs(first, "broken")
    assert broken["outcome"] == "crashed"
    assert "execution.checkpointing.timeout" in broken["reason"]
    assert "soon" in broken["reason"]
    assert "Traceback" not in first.stderr
    assert "\n" not in broken["reason"], "Flink's cause is one line"


def test_no_event_is_lost_doubled_or_miscounted(first: command.Command) -> None:
    """Every rate, latency and dollar rests on it: what was acknowledged is in the topic, and the oracle agrees."""
    for run in runs(first, "steady") + runs(first, "drain"):
        checks = {check["name"]: check for check in run["checks"]}
        assert CHECKED - checks.keys() == set()
        assert all(check["ok"] for check in checks.values()), checks
        stored = checks["acknowledged events are in the topic"]
        sent = DRAIN if run["load"] == "drain" else RATE_EPS * (WARMUP_S + MEASURE_S)
        assert stored["expected"] == stored["actual"] == run["metrics"]["acknowledged_events"]["value"] == sent
        assert run["metrics"]["lost_events"]["value"] == run["metrics"]["duplicated_events"]["value"] == 0
        windows = checks["revenue: windows that agree"]
        assert windows["expected"] == windows["actual"] > 10


def test_everything_promised_is_measured_and_plausible(first: command.Command) -> None:
    """A metric that vanished would leave a claim inconclusive for ever; one a thousandfold off would decide it."""
    for run in runs(first, "steady"):
        metrics = {name: m["value"] for name, m in run["metrics"].items()}
        assert PROMISED - metrics.keys() == set(), run["warnings"]
        assert all(math.isfinite(value) for value in metrics.values())
        assert metrics["offered_eps"] == pytest.approx(RATE_EPS, rel=0.02)
        assert metrics["restarts"] == metrics["late_events"] == metrics["delivery_errors"] == 0
        assert 40 < metrics["wire_bytes_per_event"] < 400
        assert 40 < metrics["disk_bytes_per_event"] < 800
        assert 0 < metrics["busy_share"] <= 1.05
        assert 0 < metrics["e2e_latency_ms"] < 60_000
        assert metrics["produce_latency_ms"] < metrics["e2e_latency_ms"]  # Flink comes after the broker
        assert 1 <= metrics["checkpoints_completed"] <= 8
        for component in ("broker", "flink", "generator"):
            assert 0.1 < metrics[f"{component}_cpu_s_per_million_events"] < 2_000
            assert 50 << 20 < metrics[f"{component}_rss_bytes"] < 8 << 30
    (drain,) = runs(first, "drain")
    assert drain["metrics"]["drain_eps"]["value"] > RATE_EPS
    assert "e2e_latency_ms" not in drain["metrics"]  # its due times are nominal: a latency would be fiction


def test_exactly_once_counts_until_a_row_can_be_seen(first: command.Command) -> None:
    """A row lies in the topic a checkpoint before anybody may read it: its append would flatter the pipeline."""
    (run,) = runs(first, "once")
    assert all(check["ok"] for check in run["checks"]), run["checks"]
    latency = run["metrics"]["e2e_latency_ms"]
    assert latency["n"] > 0.8 * RATE_EPS * MEASURE_S  # every row of whole seconds, at this rate
    assert latency["value"] > 0.25 * 1500  # half of the checkpoints' interval on average, and more on a busy machine
    assert "e2e_service_ms" not in run["metrics"]
    for one in runs(first, "steady"):  # the other loads: the three clocks of the same events
        metrics = one["metrics"]
        for path in ("produce", "e2e"):
            response, service = metrics[f"{path}_latency_ms"], metrics[f"{path}_service_ms"]
            assert response["n"] == service["n"]
            assert service["value"] <= response["value"] * 1.01 + 1  # append times are whole milliseconds


def test_the_axis_reaches_the_broker(first: command.Command) -> None:
    """Arms that ran alike would refute every claim about partitions."""
    for run in runs(first, "steady"):
        events = record.load_series(Path(run["bundle"]))["input_partition_events"].value
        assert len(events) == run["knobs"]["topic.partitions"]
        assert events.min() > 0
        assert events.sum() == RATE_EPS * (WARMUP_S + MEASURE_S)
    assert {run["knobs"]["topic.partitions"] for run in runs(first, "steady")} == {6, 96}


def test_it_ends_with_verdict_price_and_report(first: command.Command) -> None:
    """The promise of the command: an answer, honest about what one repetition can decide, in dollars, and told."""
    verdicts = first.document["verdicts"]
    primary = next(v for v in verdicts if v["claim"] == "over-partitioning-inflates-storage" and v["primary"])
    assert primary["verdict"] in {"supported", "refuted", "inconclusive"}
    assert primary["sentence"]
    bills = first.document["bills"]
    assert len(bills) == sum(map(command.assert_ran, runs(first, "steady") + runs(first, "once")))
    for bill in bills.values():
        assert {option["platform"] for option in bill["options"]} == {
            "self-ec2+flink-ec2",
            "msk-standard+flink-managed-aws",
        }
        assert all(option["usd_month"]["p50"] > 0 for option in bill["options"] if option["feasible"])
        assert any(option["feasible"] for option in bill["options"])
    folder = first.out / "small"
    html = (folder / "report.html").read_text()
    assert "<svg" in html
    assert "topic.partitions" in (folder / "report.md").read_text()
    assert ET.parse(folder / "junit.xml").getroot().tag in ("testsuites", "testsuite")


def test_bundles_hold_series_histograms_and_logs(first: command.Command) -> None:
    """A number that cannot be looked into is not evidence; nor is one whose machine nobody knows."""
    found = [record.load(bundle) for bundle in first.bundles()]
    assert len(found) == 5
    for run in found:
        assert run.bundle is not None
        jsonschema.validate(json.loads((run.bundle / "run.json").read_text()), record.json_schema())
        assert run.environment["cores"]
        assert abs(run.environment["over_the_run"]["clock_drift_ns"]) < 1e9
        if run.outcome is Outcome.CRASHED:
            continue
        assert run.environment["kafka"]
        assert run.environment["flink"]
        series = record.load_series(run.bundle)
        assert {"source_events", "broker_cpu_s", "flink_cpu_s", "broker_bytes_in", "host_busy_s"} <= series.keys()
        assert {path.stem for path in (run.bundle / "logs").glob("*.log")} & {"broker-1", "taskmanager-0", "jobmanager"}
        if run.load == "steady":
            assert record.load_histograms(run.bundle)["e2e_latency_ms"].n > 0.9 * RATE_EPS * MEASURE_S


def test_only_loopback_was_listened_on_and_nothing_is_left_behind(first: command.Command) -> None:
    """No part of it asks for a password, load workers and job client included; and the next study wants the memory."""
    names = " ".join(path.name for path in first.out.glob("small/logs/*/*.log"))
    assert "job-client" in names
    assert len(first.seen) >= 8  # supervisor, format, broker, JobManager, TaskManager, job client and its JVM, worker
    assert first.addresses <= command.LOOPBACK
    assert first.addresses
    command.assert_gone([*first.seen], first)


def test_running_again_resumes_without_a_cluster(first: command.Command) -> None:
    """A study interrupted after an hour must not begin anew; and asking for less must not run what is there."""
    scenario = write_scenario(first.out.parent / "small.yaml", broken=False)
    again = command.run("run", scenario, "--json", out=first.out)
    assert again.process.returncode == 0, again.stderr
    before = {run["trial_id"]: run for run in first.document["runs"] if run["load"] not in ("broken", "once")}
    after = {run["trial_id"]: run for run in again.document["runs"]}
    assert after.keys() == before.keys()
    kept = {trial for trial, run in before.items() if run["outcome"] == "finished"}
    assert all(after[trial]["bundle"] == before[trial]["bundle"] for trial in kept)
    if len(kept) == len(before):  # what was invalid is tried again, and rightly so
        assert "starting Kafka" not in again.stderr
        assert "3 are there, 0 to run" in again.stderr
