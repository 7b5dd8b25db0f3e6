"""A job as reader, on a Flink that is only said to be there: what is proven first, and what makes a run void."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import study, topics
from bench.backends.containers.cluster import ContainerCluster
from bench.backends.local import LocalCluster
from bench.errors import JobError
from bench.jobs import job_params, session
from bench.jobs.session import JobSession
from bench.probes import Samples
from bench.scenario import Trial
from bench.trial import loads
from bench.trial.job import JobReader
from bench.trial.loads import Load
from bench.trial.notes import Notes
from bench.trial.stage import silence


class Session:
    """Takes every job, and notes where a first checkpoint is to be made."""

    flink_url = "http://nowhere"

    def __init__(self) -> None:
        self.proven: list[str] = []
        self.submitted: dict[str, str] = {}

    def submit(self, _job: str, params: Any) -> str:
        self.submitted = dict(params.settings)
        return "82c0"

    def prove_checkpoint(self, _job_id: str, where: str) -> None:
        self.proven.append(where)

    def failure(self, _job_id: str) -> str:
        return "IOException: Size of the state is larger than the maximum permitted memory-backed state"


class Store:
    url = "http://127.0.0.1:9"

    def pace(self, latency_ms: float, bandwidth_mb_s: float | None) -> None: ...


def a_trial(tmp_path: Path, checkpoint: str, load: str = "rate_eps: 1000") -> Trial:
    file = tmp_path / "asked.yaml"
    text = "schema: 1\nname: asked\nquestion: Where?\nworkload: {name: clicks}\n"
    file.write_text(f"{text}load: {{{load}}}\npipeline: {{job: revenue, checkpoint: {checkpoint}}}\n")
    return study.trials(study.scenario(study.Asked(str(file))), "local")[0]


def a_reader(trial: Trial, told: Session) -> JobReader:
    cluster = SimpleNamespace(bootstrap="nowhere:1", object_store=Store, backend="local")
    stage: Any = SimpleNamespace(cluster=cluster)
    anybody: Any = told
    return JobReader(trial, anybody, topics.fresh(trial, ("clean", "revenue"), "sg-"), stage)


@pytest.mark.parametrize(
    ("checkpoint", "where"),
    [
        ("{storage: local}", ""),
        ("{storage: jobmanager, directory: /mnt/x}", ""),  # as an arm of a comparison with a disk
        ("{directory: /mnt/x}", "in file:///mnt/x"),
        ("{storage: s3}", "at http://127.0.0.1:9"),
        ("{storage: s3, directory: /mnt/x}", "at http://127.0.0.1:9"),
        ("none", ""),
    ],
)
def test_a_first_checkpoint_is_made_where_checkpoints_go(tmp_path: Path, checkpoint: str, where: str) -> None:
    """A store that cannot be written to fails every run, and should at once; a heap can always."""
    told = Session()
    reader = a_reader(a_trial(tmp_path, checkpoint), told)
    reader.start()
    assert told.proven == []
    reader.prove()
    assert [where in said for said in told.proven] == ([True] if where else [])


def test_a_restart_that_nobody_asked_for_is_told_with_its_cause(tmp_path: Path) -> None:
    """Without it the reader of the report has to look for a log."""
    reader, notes = a_reader(a_trial(tmp_path, "{storage: jobmanager}"), Session()), Notes()
    notes.found.put("restarts", 0.0)
    reader._judge_restarts(notes)
    assert notes.invalid == []
    notes.found.put("restarts", 3.0)
    reader._judge_restarts(notes)
    assert notes.invalid == [f"the job restarted 3 times, and no fault was asked for: {Session().failure('')}"]


class Order:
    """A reader of which it shows what was done to it while it was watched."""

    component, counter = "flink", "source_events"

    def __init__(self) -> None:
        self.watched, self.done = False, list[tuple[str, bool]]()

    def __getattr__(self, name: str) -> Any:
        def note(*_: object) -> list[Any]:
            self.done.append((name, self.watched))
            return []

        return note

    @contextmanager
    def watch(self, *_: object, **__: object) -> Iterator[Samples]:
        self.watched = True
        yield Samples(0)


def test_a_drain_is_watched_from_its_first_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a store is tried out the job reads on: such an arm's window would begin later than another's."""
    order, sent = Order(), SimpleNamespace(acknowledged_events=10)
    one = a_trial(tmp_path, "{storage: s3}", "drain: 1000")
    readers: Sequence[Any] = [order]
    stage: Any = SimpleNamespace(cluster=SimpleNamespace())
    for name, stand_in in {
        "_start": lambda *_: None, "_sent": lambda *_: sent, "_probes": lambda _: [], "_settle": lambda *_: 0.0,
        "_faults": lambda *_: nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(Load, name, stand_in)
    monkeypatch.setattr(loads, "watch", order.watch)
    Load(one, stage, topics.fresh(one, (), "sg-"), readers, Notes(), silence)._drain()
    assert order.done[:2] == [("start", False), ("prove", True)]


def test_a_checkpoint_that_never_ends_is_told_with_flinks_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes connections and answers nothing: the reason would be that it took 45 s."""
    log = tmp_path / "jobmanager.log"
    asked = JobSession.__new__(JobSession)
    asked.flink_url, asked._log = "http://nowhere", log
    history = {"exceptionHistory": {"entries": [{"stacktrace": "some.SdkClientException: Read timed out\n\tat x.Y"}]}}
    monkeypatch.setattr(session, "get_json", lambda url: history if url.endswith("/exceptions") else None)
    monkeypatch.setattr(session, "PROOF_TIMEOUT_S", 0.0)
    monkeypatch.setattr(JobSession, "begin_checkpoint", lambda *_: "request")
    with pytest.raises(JobError, match=r"none was done after 0 s; SdkClientException: Read timed out$"):
        asked.prove_checkpoint("82c0", "in s3://streamgauge/run")
    log.write_text(
        "2026-11-28 INFO CheckpointCoordinator - Decline checkpoint 1 by task 3 of job 82c0 at tm0-1.\n"
        "org.apache.flink.x.CheckpointException: declined\nCaused by: java.io.IOException: No route to host\n"
    )
    with pytest.raises(JobError, match=r"none was done after 0 s; IOException: No route to host$"):
        asked.prove_checkpoint("82c0", "in s3://streamgauge/run")


def test_in_containers_python_functions_run_with_the_images_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This command's own interpreter is not there: a worker that cannot be started makes the job restart for ever."""
    trial = a_trial(tmp_path, "none")
    params = job_params(trial.settings, "kafka-1:9092", "run", "in", {"clean": "c", "revenue": "r"})
    found: dict[str, Mapping[str, str]] = {}
    monkeypatch.setattr(JobSession, "await_running", lambda *_: None)
    for cluster in (ContainerCluster, LocalCluster):
        orders = io.StringIO()
        asked = JobSession.__new__(JobSession)
        asked._terms, asked._warm, asked._orders = cluster.terms, True, orders
        asked.flink_url, asked.bootstrap = "http://127.0.0.1:8081", "kafka-1:9092"
        monkeypatch.setattr(JobSession, "_answer", lambda *_: {"job_id": "82c0", "settings": {}})
        asked.submit("revenue", params)
        found[cluster.__name__] = json.loads(orders.getvalue())["params"]["settings"]
    assert found["ContainerCluster"]["python.executable"] == "python"
    assert "python.executable" not in found["LocalCluster"]  # its client says its own
