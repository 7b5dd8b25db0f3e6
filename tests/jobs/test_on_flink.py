"""Every job on a real Kafka and a real Flink, as a trial runs it: its output agrees with its oracle."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from bench import jobs, trial
from bench.backends import ClusterSpec
from bench.backends.local import LocalCluster, open_local
from bench.jobs.session import JobSession
from bench.record import Outcome, Run
from bench.scenario import Trial, load
from bench.scenario.sections import Keys
from bench.trial import Stage
from bench.trial.stores import AS_SLOW_AS_TOLD

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

EVENTS = 50_000
SPEED = {"outages": 60}  # event-time seconds a second: enough of them for each job's windows to close
KEYS = {"outages": 100}


def a_trial(folder: Path, job: str, guarantee: str, **sections: Any) -> Trial:
    """A small stream with all that makes life hard: disorder, duplicates, unreadable events, busy keys."""
    document = {
        "schema": 1,
        "name": "jobs",
        "workload": {
            "name": jobs.find(job).reads or "clicks", "event_bytes": 300, "disorder_s": 2, "malformed": 0.01,
            "keys": {"distinct": KEYS.get(job, 1_000), "zipf": 0.5}, "duplicates": 0.02,
            "event_time_speed": SPEED.get(job, 600),
        },
        "load": {"drain": EVENTS},
        "topic": {"partitions": 4},
        "pipeline": {"job": job, "parallelism": 2, "guarantee": guarantee, "checkpoint": {"interval_s": 1}},
    } | sections  # fmt: skip
    path = folder / "jobs.yaml"
    YAML().dump(document, path)
    return load(path).trials(backend="local", workload_version=1, measurement_version=1, host_class="")[0]


KILLED = {
    "load": {"rate_eps": 4_000},  # over 13 s: 52,000 events, so that the kill comes in the middle
    "phases": {"warmup_s": 3, "measure_s": 10, "settle_s": 120},
    "faults": [{"at_s": 4, "do": "kill", "target": "taskmanager"}],
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("jobs")
    spec = ClusterSpec(broker_heap_mb=512, task_managers=1, slots=2, task_heap_mb=768)
    with open_local(spec, run_dir=folder / "run", log_dir=folder / "logs") as cluster:
        session = JobSession(cluster, folder / "logs" / "job-client.log")
        yield Stage(cluster, session, folder / "run", cluster.spawn)
        session.close()


def checked(run: Run) -> dict[str, Any]:
    """The run's metrics, after all of its checks have been found right."""
    assert run.outcome is Outcome.FINISHED, run.reason
    assert run.checks
    return {name: metric.value for name, metric in run.metrics.items()}


# the weaker guarantee where it takes another path: an upsert sink, Python workers; every job has both in benchmarks/
CASES = [*((job, "exactly-once") for job in jobs.names()), ("count-by-user", "at-least-once"),
         ("fraud-model", "at-least-once")]  # fmt: skip


@pytest.mark.parametrize(("job", "guarantee"), CASES)
def test_its_output_agrees_with_its_oracle(stage: Stage, tmp_path: Path, job: str, guarantee: str) -> None:
    """A job that answers wrongly has no latency: disorder, duplicates and unreadable events are where they do."""
    found = checked(trial.run(a_trial(tmp_path, job, guarantee), stage).run)
    assert found["lost_events"] == found["duplicated_events"] == 0
    assert found["malformed_events"] > 100  # and each of them lies aside


FORMS = [("java", "process"), ("row", "process"), ("row", "thread"), ("pandas", "process")]  # sql is above


@pytest.mark.parametrize(("form", "mode"), FORMS)
def test_a_function_computes_the_same_in_every_form_and_runs_where_it_is_told(
    stage: Stage, tmp_path: Path, form: str, mode: str
) -> None:
    """Forms that computed something else could not be compared, nor a thread that fell back to a process."""
    small = a_trial(tmp_path, "margin", "at-least-once", load={"drain": 20_000})
    assert small.settings.pipeline is not None
    python = type(small.settings.pipeline.python)(mode=mode, bundle_ms=10)
    told = {"function": form, "python": python, "object_reuse": True, "buffer_timeout_ms": 5}
    pipeline = small.settings.pipeline.model_copy(update=told)
    settings = small.settings.model_copy(update={"pipeline": pipeline})
    done = trial.run(replace(small, settings=settings), stage).run
    assert checked(done)["lost_events"] == 0
    ran = done.environment["flink_ran_with"]
    assert ran["options"]["pipeline.object-reuse"] == "true"
    assert ran["options"]["execution.buffer-timeout.interval"] == "5 ms"
    if form != "java":
        assert ran["python"] == mode
    assert not any("was told" in warning for warning in done.warnings), done.warnings


def test_a_partition_without_events_stops_windows_until_it_counts_as_idle(stage: Stage, tmp_path: Path) -> None:
    """Three keys on four partitions: at least one never has an event. Both answers are predicted, and found."""
    closed = {}
    for idle_s in (0.0, 1.0):
        some = a_trial(tmp_path, "revenue", "at-least-once", load={"drain": 20_000})
        assert some.settings.pipeline is not None
        workload = some.settings.workload.model_copy(update={"keys": Keys(distinct=3, zipf=0.0)})
        pipeline = some.settings.pipeline.model_copy(update={"idle_timeout_s": idle_s})
        settings = some.settings.model_copy(update={"workload": workload, "pipeline": pipeline})
        closed[idle_s] = checked(trial.run(replace(some, settings=settings), stage).run)["windows_closed"]
    assert closed[0.0] == 0
    assert closed[1.0] >= 1  # two minutes of event time are in the stream


def test_exactly_once_survives_a_killed_taskmanager(stage: Stage, tmp_path: Path) -> None:
    """The promise that people pay for: nothing lost, nothing twice for who reads what is committed, no sum too high."""
    done = trial.run(a_trial(tmp_path, "revenue", "exactly-once", **KILLED), stage, latency_slo_ms=60_000.0).run
    found = checked(done)
    assert found["acknowledged_events"] == 52_000
    assert found["restarts"] >= 1
    assert found["lost_events"] == found["duplicated_events"] == 0
    assert all(found[name] >= 0 for name in ("detect_s", "restart_s", "restore_s"))
    assert found["detect_s"] < 60
    percentiles = done.metrics["e2e_latency_ms"].percentiles
    assert percentiles is not None
    assert percentiles["max"] > found["detect_s"] * 1_000  # who came meanwhile has waited


TO_S3 = {
    "load": {"rate_eps": 2_000},
    "phases": {"warmup_s": 3, "measure_s": 8, "settle_s": 60},
    "workload": {"name": "clicks", "event_bytes": 300, "keys": {"distinct": 20_000, "zipf": 0.0}},
    "pipeline": {
        "job": "count-by-user", "parallelism": 2,
        "checkpoint": {
            "interval_s": 1, "min_pause_s": 0.2, "mode": "exactly-once", "storage": "s3", "s3": {"latency_ms": 40},
            "backend": "rocksdb", "incremental": True,
        },
    },
}  # fmt: skip


class NoStore:
    """An object store's address, at which there is whatever the test puts there."""

    url = "http://127.0.0.1"

    def pace(self, latency_ms: float, bandwidth_mb_s: float | None) -> None: ...


class Forbidding(BaseHTTPRequestHandler):
    """S3 to somebody with the wrong key; a connection for each request: Flink must keep none beyond the test."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815 -- http.server's names

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize(("answers", "cause"), [("nothing", "refused|connect"), ("403", "403|denied|Forbidden")])
def test_an_object_store_that_cannot_be_written_to_is_a_crash_with_its_cause(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str, cause: str
) -> None:
    """Flink would try for ever, and the run be invalid after minutes for restarts that nobody asked for."""
    cluster = stage.cluster
    assert isinstance(cluster, LocalCluster)
    assert cluster.flink is not None
    monkeypatch.setattr(cluster, "object_store", NoStore)
    with ExitStack() as stack:
        if answers == "403":
            port = urlsplit(cluster.flink.plan.s3_url).port
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", port or 0), Forbidding))
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        done = trial.run(a_trial(tmp_path, "count-by-user", "at-least-once", **TO_S3), stage).run
    assert done.outcome is Outcome.CRASHED
    assert len(done.reason.splitlines()) == 1, done.reason
    assert re.search(cause, done.reason, re.IGNORECASE), done.reason
    assert "s3://streamgauge/" in done.reason


def test_a_checkpoint_directory_that_cannot_be_written_is_a_crash_with_its_cause(stage: Stage, tmp_path: Path) -> None:
    """A file stands where the folder should be: root too may not write there."""
    (tmp_path / "taken").write_text("")
    checkpoint = {"interval_s": 1, "directory": str(tmp_path / "taken" / "checkpoints")}
    pipeline = {"job": "count-by-user", "parallelism": 2, "checkpoint": checkpoint}
    done = trial.run(a_trial(tmp_path, "count-by-user", "at-least-once", pipeline=pipeline), stage).run
    assert done.outcome is Outcome.CRASHED
    assert len(done.reason.splitlines()) == 1, done.reason
    assert "taken" in done.reason


def test_checkpoints_in_an_object_store_are_counted_and_as_slow_as_told(stage: Stage, tmp_path: Path) -> None:
    """What a checkpoint asks of S3 is what it costs; what a call takes there is what the study varies."""
    (tmp_path / "work").mkdir()
    sections: dict[str, Any] = deepcopy(TO_S3)
    sections["pipeline"]["checkpoint"]["working_directory"] = str(tmp_path / "work")
    done = trial.run(
        a_trial(tmp_path, "count-by-user", "at-least-once", **sections), stage, latency_slo_ms=60_000.0
    ).run
    found = {name: metric.value for name, metric in done.metrics.items()}
    # on a busy host the generator is held up, and so is the store's door: said by the run, and no fault of either
    assert done.outcome in (Outcome.FINISHED, Outcome.INVALID), done.reason
    assert {check.name for check in done.checks if not check.ok} <= {AS_SLOW_AS_TOLD}
    assert AS_SLOW_AS_TOLD in {check.name for check in done.checks}
    assert found["checkpoints_completed"] >= 1
    assert found["s3_requests"] > found["checkpoints_completed"]
    kinds = ("put", "multipart", "list", "get", "head", "delete")
    assert found["s3_requests"] == sum(found[f"s3_{kind}_requests"] for kind in kinds)
    assert min(found["s3_uploaded_bytes"], found["checkpoint_written_bytes"]) > 1_000
    assert found["s3_failed_requests"] == 0
    assert found["s3_latency_ms"] >= 40
    assert found["checkpoint_async_ms"] >= 40  # at least one call
    assert found["checkpoint_duration_ms"] >= found["checkpoint_async_ms"]
    assert found["checkpoint_sync_ms"] >= 0
    assert found["checkpoint_alignment_ms"] >= 0
    assert found["store_cpu_s_per_million_events"] > 0
    assert 0 < found["probes_cpu_share"] < 1
    ran = done.environment["flink_ran_with"]["options"]
    assert ran["state.backend.type"] == "rocksdb"
    assert ran["state.backend.rocksdb.localdir"] == str(tmp_path / "work")
    assert not any("was told" in warning for warning in done.warnings), done.warnings
