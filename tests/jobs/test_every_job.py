"""What every job must be. Jobs are found by scanning the folder, as the bench does: a new one needs no line here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import jobs
from bench.errors import ScenarioError
from bench.jobs import JobParams, Output, Terms
from bench.scenario import Settings, load
from bench.scenario.reading import scan
from bench.topics import json_rows
from bench.workloads import find as find_workloads

ROOT = Path(__file__).resolve().parents[2]


def quickstart() -> Settings:
    """The settings of the quickstart's first cell."""
    scenario = load(ROOT / "scenarios" / "quickstart.yaml")
    return scenario.cells(next(iter(scenario.plans.values())))[0][1]


def params(**pipeline: Any) -> JobParams:
    """What a job of the quickstart is told, with other `pipeline` settings."""
    settings = quickstart()
    assert settings.pipeline is not None
    section = type(settings.pipeline)(**(settings.pipeline.model_dump() | pipeline))
    settings = settings.model_copy(update={"pipeline": section})
    return jobs.job_params(settings, "127.0.0.1:1", "run", "in", {"clean": "out-clean", "revenue": "out-revenue"})


@pytest.mark.parametrize("name", jobs.names())
def test_a_job_has_everything_the_bench_asks_of_it(name: str) -> None:
    """A job that lacks something would crash its trial after the load, when the time has been spent."""
    job = jobs.find(name)
    assert isinstance(job.version, int)
    assert job.version >= 1
    assert job.outputs
    assert len(set(job.outputs)) == len(job.outputs)
    assert all(output.isidentifier() for output in job.outputs)  # it becomes part of a topic's name
    assert job.per_event in (*job.outputs, "")
    assert jobs.ASIDE not in job.outputs  # its stream's unreadable events have that one
    assert job.reads in (*find_workloads(), "")
    assert all(isinstance(value, str) for value in job.settings.values())
    assert callable(job.build)
    assert callable(job.verify)


def test_judging_an_output_needs_no_flink() -> None:
    """PyFlink starts a JVM when it wants to: in the measuring process that is CPU booked to nobody."""
    code = """if True:
        import sys
        from bench.jobs import find, names
        assert [find(name) for name in names()]
        print([m for m in sys.modules if 'pyflink' in m])"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", jobs.names())
def test_a_job_that_wrote_nothing_is_wrong(name: str) -> None:
    """An empty output that counts as right would give a dead job the best latency of all."""
    from bench.workloads import Knobs, open_workload

    job, seq = jobs.find(name), np.arange(2_000)
    knobs = Knobs(job.reads or "clicks", distinct=50, zipf=1.0, event_bytes=300)
    truth = open_workload(knobs, 7, 0).columns(seq, seq * 1_000_000)
    nothing = Output(json_rows([]), np.zeros(0, dtype=np.int64))
    verified = job.verify(truth, dict.fromkeys(job.outputs, nothing), Terms(10**15))
    assert not all(check.ok for check in verified.checks)
    if job.per_event:
        assert verified.counts["lost_events"] == 2_000


def test_an_unknown_job_is_the_users_error_with_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match=r"no job 'revenu'.*revenue"):
        jobs.find("revenu")
    assert {"client", "session", "oracle", "scoring"}.isdisjoint(jobs.names())  # plumbing beside the jobs is no job
    assert {*jobs.names(), "none"} == scan(ROOT).job  # what a scenario may say is what there is


def test_a_job_that_reads_another_workload_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """Flink would find no such column, after a minute of starting clusters."""
    scenario = tmp_path / "mixed.yaml"
    scenario.write_text("schema: 1\nworkload: {name: clicks}\nload: {rate_eps: 1_000}\npipeline: {job: outages}\n")
    with pytest.raises(ScenarioError, match=r"4: pipeline.job: 'outages' reads telco, expected workload.name: telco"):
        load(scenario)
    scenario.write_text(scenario.read_text().replace("outages", "fan-out"))
    assert load(scenario).pipeline is not None  # reads anything


def test_a_stream_that_may_hold_unreadable_events_has_an_output_for_them() -> None:
    """Without it Flink skips them and says nothing; with it on every stream, every job would read its topic twice."""
    settings = quickstart()
    assert jobs.outputs_of(settings) == ("clean", "revenue")
    broken = settings.workload.model_copy(update={"malformed": 0.01})
    assert jobs.outputs_of(settings.model_copy(update={"workload": broken})) == ("clean", "revenue", "aside")
    assert jobs.outputs_of(settings.model_copy(update={"pipeline": None})) == ()


def test_what_the_scenario_says_reaches_flink() -> None:
    """A checkpoint interval or guarantee that gets lost on the way would compare a setting with itself."""
    told = params(
        guarantee="exactly-once",
        idle_timeout_s=2.5,
        checkpoint={"interval_s": 0.5, "backend": "rocksdb", "incremental": True, "storage": "jobmanager"},
        object_reuse=True,
        slot_idle_timeout_s=3.0,
        flink={"table.optimizer.agg-phase-strategy": "ONE_PHASE", "taskmanager.x": 1, "table.exec.async-x": True},
    )
    assert told.settings == {
        "execution.checkpointing.interval": "500 ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.storage": "jobmanager",
        "state.backend.type": "rocksdb",
        "table.exec.source.idle-timeout": "2500 ms",
        "table.optimizer.agg-phase-strategy": "ONE_PHASE",
        "pipeline.object-reuse": "true",
        "table.exec.async-x": "true",  # taskmanager.x and slot.idle.timeout are the cluster's, not the job's
    }
    assert told.watermark_delay_ms == 2_000
    assert JobParams(**json.loads(json.dumps(asdict(told)))).settings == told.settings  # it crosses as JSON


def test_switched_off_checkpoints_are_off() -> None:
    """An interval left in the settings would checkpoint in the very run that measures what checkpoints cost."""
    assert params(checkpoint=None).settings == {}


def test_only_what_was_promised_is_in_the_tables() -> None:
    """A reserved word, a missing watermark or a guarantee that is not in the sink changes what is measured."""
    source = jobs.kafka_source("clicks", params())
    assert "`user` STRING" in source
    assert "WATERMARK FOR event_time AS event_time - INTERVAL '0 00:00:02.000' DAY TO SECOND(3)" in source
    assert "'scan.startup.mode' = 'earliest-offset'" in source
    assert "'json.ignore-parse-errors' = 'true'" in source  # one unreadable event would fail the job for ever
    sink = jobs.kafka_sink("clean", "clean", "seq BIGINT", params())
    assert "'topic' = 'out-clean'" in sink
    assert "'sink.delivery-guarantee' = 'at-least-once'" in sink
    assert "transaction" not in sink
    assert "'connector' = 'kafka'" in sink
    upsert = jobs.kafka_sink("clean", "clean", "seq BIGINT, PRIMARY KEY (seq) NOT ENFORCED", params())
    assert "'connector' = 'upsert-kafka'" in upsert
    assert "'key.format' = 'json'" in upsert
    exact = jobs.kafka_sink("clean", "clean", "seq BIGINT", params(guarantee="exactly-once"))
    assert "'sink.transactional-id-prefix' = 'run-clean'" in exact
    assert "'properties.transaction.timeout.ms' = '60000'" in exact


def test_jobs_ask_for_nothing_that_flinks_workers_have_not() -> None:
    """In a container they have Flink's own Python and what `WORKERS` names; one that asks for more never runs there."""
    absent = ("boto3", "confluent_kafka", "docker", "locust", "matplotlib", "psutil", "rich", "scipy", "testcontainers")
    without = f"import sys; sys.modules.update(dict.fromkeys({absent}))"
    code = f"{without}; from bench import jobs; [*map(jobs.find, jobs.names())]"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
