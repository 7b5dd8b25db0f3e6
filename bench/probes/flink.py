"""Flink's REST interface: backlog, busy and backpressured time, watermarks, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.backends.flink import get_json
from bench.errors import JobError
from bench.probes import Probe

FETCH_S = 0.1  # on loopback a fetch takes some milliseconds; without this wait every number is one sample old
# Rounds in which a job is asked which metrics it has, while some are missing: ever more seldom, for a subtask without a
# partition never has its own
ASKED_IN = frozenset({0, 1, 2, 3, 5, 7, 9, 12, 15, 18, 22, 26})
NO_WATERMARK = -1e18  # Long.MIN, in Flink's way of saying that there was none yet
# Cumulative, in ms summed over a vertex's subtasks: differences of these, never the smoothed per-second gauges
_TIMES = {
    "accumulateBusyTimeMs": "busy_ms",
    "accumulateBackPressuredTimeMs": "backpressured_ms",
    "accumulateIdleTimeMs": "idle_ms",
}


@dataclass(frozen=True)
class Vertex:
    """A task of the job graph: its id, name, parallelism and the metric ids of its operators."""

    id: str
    name: str
    parallelism: int
    metrics: tuple[str, ...]

    def ending(self, suffix: str) -> tuple[str, ...]:
        return tuple(m for m in self.metrics if m.endswith(suffix))

    @property
    def pending(self) -> tuple[str, ...]:
        """Of a source: one for each subtask that has a partition; of other tasks none."""
        return self.ending(".pendingRecords")

    @property
    def read(self) -> tuple[str, ...]:
        """The source's own count: what is chained behind it sees only what could be read and was not filtered out."""
        return tuple(m for m in self.ending(".numRecordsIn") if m.startswith("Source"))[:1] if self.pending else ()

    @property
    def marks(self) -> tuple[str, ...]:
        """The source's watermark."""
        return self.ending(".currentOutputWatermark")[:1] if self.pending else ()

    @property
    def is_told(self) -> bool:
        """Whether its metrics are all there: a source's subtask registers its backlog with its first record."""
        reads = any("KafkaSource" in metric for metric in self.metrics)
        return bool(self.metrics) and (not reads or len(self.pending) >= self.parallelism)


def vertices(url: str, job_id: str) -> list[Vertex]:
    """The job's tasks in topological order; JobError when Flink does not answer."""
    job = get_json(f"{url}/jobs/{job_id}")
    if job is None:
        raise JobError(f"Flink does not answer for job {job_id}")
    found = []
    for vertex in job["vertices"]:
        names = get_json(f"{url}/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics") or []
        ids = tuple(sorted(entry["id"] for entry in names))
        found.append(Vertex(vertex["id"], vertex["name"], vertex["parallelism"], ids))
    return found


def job_probe(url: str, job_id: str) -> Probe:
    """`source_events` and `backlog_events` (pendingRecords: behind the *read position*), `busy_ms`, … a vertex each.

    Which metrics a vertex has is asked until every source's appear: Flink registers them when the tasks run. After that
    a round asks for nothing that makes the JobManager write down its graph of the job, as `/jobs/ID` does: asked once a
    second, that alone took some 30 ms of its CPU (28, standard error 13: 5 rounds of 7 s under 20,000 events/s).
    """
    known: list[Vertex] = []
    rounds = 0

    def probe() -> Mapping[str, float]:
        nonlocal known, rounds
        if rounds in ASKED_IN and not (known and all(vertex.is_told for vertex in known)):
            known = vertices(url, job_id)
        rounds += 1
        # Flink fetches from its TaskManagers when asked for a metric, and answers with what it had: so the one that is
        # cheap to tell and seldom changes goes first
        found = {"restarts": _restarts(url, job_id)}
        time.sleep(FETCH_S)
        job = _standing(url, job_id)
        found["tasks_running"] = float(job["tasks"]["running"]) if job else float("nan")
        found |= _capacity(url)
        answers = [_answers(url, job_id, vertex) for vertex in known]
        for index, by_id in enumerate(answers):
            for key, name in _TIMES.items():
                found[f"{name}:{index}"] = by_id[key]["sum"] if key in by_id else float("nan")
        if not job or not _is_up(job):  # Flink would go on telling what its dead tasks said last
            return found | {"backlog_events": float("nan"), "source_events": float("nan")}
        sources = [(vertex, by_id) for vertex, by_id in zip(known, answers, strict=True) if vertex.pending]
        return found | slowest([_source(vertex, by_id) for vertex, by_id in sources])

    return probe


def _standing(url: str, job_id: str) -> Mapping[str, Any]:
    """The job's line in Flink's overview: its state and how many tasks are in which; empty if Flink has none."""
    jobs = (get_json(f"{url}/jobs/overview") or {"jobs": []})["jobs"]
    return next((job for job in jobs if job["jid"] == job_id), {})


def _is_up(job: Mapping[str, Any]) -> bool:
    """Whether job and tasks run, by the overview; a bounded source may have ended."""
    tasks = job["tasks"]
    return bool(job["state"] == "RUNNING" and tasks["running"] + tasks["finished"] == tasks["total"])


def _capacity(url: str) -> dict[str, float]:
    """`slots_used` and `task_managers` of a session cluster."""
    overview = get_json(f"{url}/overview")
    if overview is None:
        return {"slots_used": float("nan"), "task_managers": float("nan")}
    used = float(overview["slots-total"] - overview["slots-available"])
    return {"slots_used": used, "task_managers": float(overview["taskmanagers"])}


def all_run(job: Mapping[str, Any]) -> bool:
    """Whether the job and each of its tasks run; a bounded source may have ended."""
    counts = [(vertex.get("tasks"), vertex["parallelism"]) for vertex in job["vertices"]]
    up = [tasks is None or tasks["RUNNING"] + tasks["FINISHED"] == parallelism for tasks, parallelism in counts]
    return job.get("state", "RUNNING") == "RUNNING" and all(up)


def slowest(sources: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Several readers of the same topic as one: the topic has been read when the slowest of them has.

    A reader without a watermark (Long.MIN) has no say in it.
    """
    nan = float("nan")
    read = [one.get("source_events", nan) for one in sources]
    behind = [one.get("backlog_events", nan) for one in sources]
    marks = [one["watermark_ms"] for one in sources if "watermark_ms" in one]
    found = {"source_events": float(np.min(read)), "backlog_events": float(np.max(behind))} if sources else {}
    return found | ({"watermark_ms": min([mark for mark in marks if mark > NO_WATERMARK] or marks)} if marks else {})


def _answers(url: str, job_id: str, vertex: Vertex) -> dict[str, Mapping[str, float]]:
    """What Flink tells of a vertex's metrics that are read each round, by id, over its subtasks."""
    wanted = ",".join([*_TIMES, *vertex.pending, *vertex.read, *vertex.marks])
    answer = get_json(f"{url}/jobs/{job_id}/vertices/{vertex.id}/subtasks/metrics?get={wanted}") or []
    return {entry["id"]: entry for entry in answer}


def _source(vertex: Vertex, by_id: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    nan, pending = float("nan"), vertex.pending
    # pendingRecords is a gauge a subtask: complete only when every subtask is in the aggregate
    found = {"backlog_events": sum(by_id[m]["sum"] for m in pending) if all(m in by_id for m in pending) else nan}
    found["source_events"] = next((by_id[m]["sum"] for m in vertex.read if m in by_id), nan)
    marks = [by_id[m]["min"] for m in vertex.marks if m in by_id]
    return found | ({"watermark_ms": marks[0]} if marks else {})


def _restarts(url: str, job_id: str) -> float:
    answer = get_json(f"{url}/jobs/{job_id}/metrics?get=numRestarts") or []
    return float(answer[0]["value"]) if answer else float("nan")


def late_events(url: str, job_id: str) -> float:
    """Records dropped by windows because they came after the watermark, over all window operators; NaN if unknown."""
    total, seen = 0.0, False
    for vertex in vertices(url, job_id):
        for metric in vertex.ending(".numLateRecordsDropped"):
            answer = get_json(f"{url}/jobs/{job_id}/vertices/{vertex.id}/subtasks/metrics?get={metric}") or []
            for entry in answer:
                total, seen = total + entry["sum"], True
    return total if seen else float("nan")


def source_records(url: str, job_id: str) -> list[list[float]]:
    """What each subtask of each Kafka source has read, in records: a list a source, by subtask; NaN for one that is not
    told. Since the job began, or last restarted: asked once, after the load, so that no look in the window pays for it.

    A subtask without a partition tells 0. What Flink sums up over subtasks would not do: it leaves silent ones out.
    """
    found = []
    for vertex in vertices(url, job_id):
        for metric in vertex.read:
            subtasks = f"{url}/jobs/{job_id}/vertices/{vertex.id}/subtasks"
            answers = [get_json(f"{subtasks}/{n}/metrics?get={metric}") or [] for n in range(vertex.parallelism)]
            found.append([float(answer[0]["value"]) if answer else float("nan") for answer in answers])
    return found


@dataclass(frozen=True)
class Restart:
    """When a job that was brought down came back, in ms since the epoch."""

    noticed_ms: float  # Flink's first record of the failure
    deployed_ms: float  # the last task had found its place
    running_ms: float  # the last task had its state back


def restart(url: str, job_id: str, since_ms: float) -> Restart | None:
    """The job's return from what failed after `since_ms`; None when nothing did, or not every task runs again."""
    history = get_json(f"{url}/jobs/{job_id}/exceptions")
    entries = (history or {}).get("exceptionHistory", {}).get("entries", [])
    noticed = [float(entry["timestamp"]) for entry in entries if entry["timestamp"] >= since_ms]
    if not noticed:
        return None
    deployed, running = [], []
    for vertex in vertices(url, job_id):
        times = get_json(f"{url}/jobs/{job_id}/vertices/{vertex.id}/subtasktimes") or {"subtasks": []}
        for subtask in times["subtasks"]:
            stamps = subtask["timestamps"]
            if stamps.get("FINISHED", 0) > 0:
                continue  # a bounded source that had ended before has nothing to come back to
            deployed.append(float(stamps["INITIALIZING"]))
            running.append(float(stamps["RUNNING"]))
    back = [at for at in running if at > min(noticed)]
    return Restart(min(noticed), max(deployed), max(running)) if back and min(running) > 0 else None


@dataclass(frozen=True)
class Checkpoints:
    """Every checkpoint of a job: completed ones with trigger time, duration and sizes; when the failed ones began."""

    completed: pd.DataFrame  # id, trigger_ms, duration_ms, size_bytes (state), written_bytes (this checkpoint's own)
    failed_at_ms: tuple[float, ...]  # trigger times; the first one fails when it comes before the tasks run


def checkpoints(url: str, job_id: str) -> Checkpoints:
    """What Flink's history holds (it is told to forget nothing). JobError if Flink is silent."""
    answer: dict[str, Any] | None = get_json(f"{url}/jobs/{job_id}/checkpoints")
    if answer is None:
        raise JobError(f"Flink does not answer for the checkpoints of job {job_id}")
    done = [c for c in answer["history"] if c["status"] == "COMPLETED"]
    table = pd.DataFrame(
        {
            "id": [c.get("id", np.nan) for c in done],
            "trigger_ms": [c["trigger_timestamp"] for c in done],
            "duration_ms": [c["end_to_end_duration"] for c in done],
            "size_bytes": [c["state_size"] for c in done],
            "written_bytes": [c.get("checkpointed_size", np.nan) for c in done],
        },
        dtype=float,
    )
    failed = tuple(float(c["trigger_timestamp"]) for c in answer["history"] if c["status"] == "FAILED")
    return Checkpoints(table.sort_values("trigger_ms", ignore_index=True), failed)


# of a task's checkpoint: where Flink's summary of its subtasks has it (the slowest subtask, or the sum of bytes)
_PARTS = {
    "sync_ms": ("checkpoint_duration", "sync", "max"),
    "async_ms": ("checkpoint_duration", "async", "max"),
    "alignment_ms": ("alignment", "duration", "max"),
    "in_flight_bytes": ("alignment", "persisted", "max"),
    "start_delay_ms": ("start_delay", "max"),
    "duration_ms": ("end_to_end_duration", "max"),
}


def checkpoint_tasks(url: str, job_id: str, ids: Sequence[int]) -> pd.DataFrame:
    """What each task did in these checkpoints, a row each: id, task (its place in the job), trigger_ms, the slowest of
    its subtasks in `_PARTS`, size_bytes and written_bytes of all. What Flink does not tell is left out.
    """
    job = get_json(f"{url}/jobs/{job_id}") or {"vertices": []}
    rows = []
    for number in ids:
        for place, vertex in enumerate(job["vertices"]):
            told = get_json(f"{url}/jobs/{job_id}/checkpoints/details/{number}/subtasks/{vertex['id']}")
            if told is not None and "summary" in told:
                sizes = {"size_bytes": told.get("state_size"), "written_bytes": told.get("checkpointed_size")}
                parts = {name: _within(told["summary"], path) for name, path in _PARTS.items()}
                rows.append({"id": number, "task": place, **sizes, **parts})
    columns = ["id", "task", "size_bytes", "written_bytes", *_PARTS]
    return pd.DataFrame(rows, columns=columns, dtype=float)


def _within(document: Mapping[str, Any], path: Sequence[str]) -> float:
    """A number deep in a document; NaN where it is not, or where Flink says -1: not known."""
    found: Any = document
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return float(found) if isinstance(found, int | float) and found >= 0 else float("nan")
