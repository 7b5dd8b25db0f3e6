# noqa: INP001  # scripts, not a package
# ruff: noqa: D103
"""Every job on a million events with disorder, duplicates and unreadable ones: right, also after a kill.

    .venv/bin/python -m pytest benchmarks/jobs_on_a_million.py -s            about 50 min on two cores
    .venv/bin/python -m pytest benchmarks/jobs_on_a_million.py -s -k outages

For each job and guarantee: a drain of a million events, held against the oracle; and a run on schedule in which the
TaskManager is killed and replaced. Exactly-once: 0 lost and 0 duplicated for a read_committed reader. At-least-once:
0 lost, duplicates counted. And the time from submission to running, on a warm client. Prints a row a run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bench import jobs, topics, trial
from bench.backends import ClusterSpec
from bench.backends.local import open_local
from bench.jobs.session import JobSession
from bench.record import Outcome, Run
from bench.scenario import Trial, load
from bench.trial import Stage

pytestmark = pytest.mark.timeout(1_200)

EVENTS = 1_000_000
KILLED_EPS, KILLED_S, KILL_AT_S = 5_000, 40, 12
SUBMITTED_S = 15.0  # on a warm cluster
GUARANTEES = ("at-least-once", "exactly-once")
SPEED = {"outages": 6}
FAULTS = [{"at_s": KILL_AT_S, "do": "kill", "target": "taskmanager"}]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("million")
    spec = ClusterSpec(broker_heap_mb=1024, task_managers=1, slots=2)
    with open_local(spec, run_dir=folder / "run", log_dir=folder / "logs") as cluster:
        session = JobSession(cluster, folder / "logs" / "job-client.log")
        yield Stage(cluster, session, folder / "run", cluster.spawn)
        session.close()


def a_trial(folder: Path, job: str, guarantee: str, **sections: Any) -> Trial:
    document = {
        "schema": 1,
        "name": "million",
        "workload": {
            "name": jobs.find(job).reads or "clicks", "event_bytes": 300, "disorder_s": 2, "malformed": 0.01,
            "duplicates": 0.02, "keys": {"distinct": 2_000, "zipf": 0.8}, "event_time_speed": SPEED.get(job, 60),
        },
        "topic": {"partitions": 6},
        "pipeline": {"job": job, "parallelism": 2, "guarantee": guarantee, "checkpoint": {"interval_s": 5}},
        "phases": {"warmup_s": 5, "measure_s": KILLED_S, "settle_s": 120},
    } | sections  # fmt: skip
    path = folder / "million.yaml"
    YAML().dump(document, path)
    return load(path).trials(backend="local", workload_version=1, measurement_version=1, host_class="")[0]


def run(stage: Stage, folder: Path, job: str, guarantee: str, **sections: Any) -> Run:
    return trial.run(a_trial(folder, job, guarantee, **sections), stage, latency_slo_ms=60_000.0).run


def report(job: str, guarantee: str, how: str, done: Run) -> dict[str, float]:
    values = {name: metric.value for name, metric in done.metrics.items()}
    shown = ("lost_events", "duplicated_events", "malformed_events", "drain_eps", "recovery_s", "detect_s", "restart_s",
             "restore_s", "catch_up_s")  # fmt: skip
    print(f"\n{job:14} {guarantee:14} {how:6}", {name: round(values[name], 2) for name in shown if name in values})
    assert done.outcome is Outcome.FINISHED, done.reason
    assert done.checks
    assert all(check.ok for check in done.checks)
    return values


@pytest.mark.parametrize("job", jobs.names())
def test_submission_to_running(stage: Stage, tmp_path: Path, job: str) -> None:
    assert stage.session is not None
    one = a_trial(tmp_path, job, "exactly-once", load={"rate_eps": KILLED_EPS})
    names = topics.fresh(one, jobs.outputs_of(one.settings))
    topics.create_all(names, one.settings, stage.cluster.bootstrap)
    stage.session.await_warm()
    params = jobs.job_params(one.settings, stage.cluster.bootstrap, names.run, names.input, names.outputs)
    began = time.monotonic()
    job_id = stage.session.submit(job, params)
    took_s = time.monotonic() - began
    stage.session.cancel(job_id)
    topics.delete(stage.cluster.bootstrap, *names.all)
    print(f"\n{job:14} submission to running: {took_s:.1f} s")
    assert took_s < SUBMITTED_S


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("job", jobs.names())
def test_a_million_events(stage: Stage, tmp_path: Path, job: str, guarantee: str) -> None:
    found = report(job, guarantee, "drain", run(stage, tmp_path, job, guarantee, load={"drain": EVENTS}))
    assert found["lost_events"] == found["duplicated_events"] == 0


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("job", jobs.names())
def test_a_killed_taskmanager(stage: Stage, tmp_path: Path, job: str, guarantee: str) -> None:
    found = report(
        job, guarantee, "killed", run(stage, tmp_path, job, guarantee, load={"rate_eps": KILLED_EPS}, faults=FAULTS)
    )
    assert found["lost_events"] == 0
    if guarantee == "exactly-once":
        assert found["duplicated_events"] == 0
