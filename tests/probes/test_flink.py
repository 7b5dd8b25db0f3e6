"""What Flink's REST interface says, as it really says it; and what it does not say is missing."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.errors import JobError
from bench.probes import Samples, flink, watch

SOURCE = "Source__KafkaSource-default_catalog_default_database_clicks"
PENDING = [f"0.{SOURCE}.pendingRecords", f"1.{SOURCE}.pendingRecords"]

JOB: dict[str, Any] = {
    "vertices": [
        {"id": "v0", "name": "Source: clicks -> Calc", "parallelism": 2},
        {"id": "v1", "name": "Window", "parallelism": 2},
    ]
}  # fmt: skip


def overview(state: str = "RUNNING", **tasks: int) -> dict[str, Any]:
    """Flink's list of jobs, ours behind one that is over."""
    counts = {"total": 4, "running": 0, "finished": 0, **tasks}
    return {"jobs": [{"jid": "i", "state": "CANCELED", "tasks": counts}, {"jid": "j", "state": state, "tasks": counts}]}


# As Flink 2.3 tells them for the revenue job: the task's operators side by side, the source neither first nor last.
METRICS: dict[str, dict[str, dict[str, float]]] = {
    "v0": {
        "Calc[2].numRecordsIn": {"sum": 4980.0}, "Calc[2].currentOutputWatermark": {"min": 111.0, "max": 999.0},
        PENDING[0]: {"sum": 7.0}, PENDING[1]: {"sum": 5.0}, f"{SOURCE}.numRecordsIn": {"sum": 5000.0},
        "clean[3]__Writer.numRecordsIn": {"sum": 4954.0}, "numRecordsIn": {"sum": 5000.0},
        "accumulateBusyTimeMs": {"sum": 1200.0}, "accumulateBackPressuredTimeMs": {"sum": 30.0},
        "accumulateIdleTimeMs": {"sum": 800.0},
    },
    "v1": {
        "accumulateBusyTimeMs": {"sum": 90.0},
        "LocalWindowAggregate[5].numLateRecordsDropped": {"sum": 3.0}, "Window.numLateRecordsDropped": {"sum": 1.0},
    },
}  # fmt: skip
CHECKPOINTS = {
    "history": [
        {"status": "COMPLETED", "trigger_timestamp": 3000, "end_to_end_duration": 40, "state_size": 900,
         "checkpointed_size": 90},
        {"status": "FAILED", "trigger_timestamp": 2000},
        {"status": "COMPLETED", "trigger_timestamp": 1000, "end_to_end_duration": 20, "state_size": 700},
        {"status": "IN_PROGRESS", "trigger_timestamp": 4000},
    ]
}  # fmt: skip


class Fake:
    """Flink's REST interface, to be broken by the test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.metrics: dict[str, dict[str, Mapping[str, float]]] = {v: dict(found) for v, found in METRICS.items()}
        self.answers: dict[str, Any] = {
            "/jobs/j": JOB, "/jobs/j/checkpoints": CHECKPOINTS, "/jobs/overview": overview(running=4),
            "/jobs/j/metrics": [{"id": "numRestarts", "value": "2"}],
            "/overview": {"taskmanagers": 2, "slots-total": 4, "slots-available": 1},
        }  # fmt: skip

    def answer(self, path: str) -> Any:
        parts = urlsplit(path)
        if parts.path.endswith("/subtasks/metrics"):
            if (known := self.metrics.get(parts.path.split("/")[4])) is None:
                return None
            wanted = parse_qs(parts.query).get("get")
            names = known if wanted is None else [name for name in wanted[0].split(",") if name in known]
            return [{"id": name} | ({} if wanted is None else dict(known[name])) for name in names]
        return self.answers.get(parts.path)


@pytest.fixture
def fake() -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = here.answer(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: object) -> None:
            """Nothing to standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Fake(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield here
        server.shutdown()
        thread.join()


def test_the_sources_own_numbers_are_read(fake: Fake) -> None:
    """What is chained behind the source counts only what it could read: the job would never seem to catch up, and its
    backlog never to end.
    """
    assert dict(flink.job_probe(fake.url, "j")()) == {
        "busy_ms:0": 1200, "backpressured_ms:0": 30, "idle_ms:0": 800, "busy_ms:1": 90,
        "backpressured_ms:1": pytest.approx(math.nan, nan_ok=True), "idle_ms:1": pytest.approx(math.nan, nan_ok=True),
        "restarts": 2, "backlog_events": 12, "source_events": 5000, "watermark_ms": 111,
        "tasks_running": 4, "slots_used": 3, "task_managers": 2,
    }  # fmt: skip


def test_one_silent_subtask_makes_the_backlog_unknown(fake: Fake) -> None:
    """The sum of those that answered reads as a job that keeps up while one subtask drowns."""
    probe = flink.job_probe(fake.url, "j")
    probe()
    del fake.metrics["v0"][PENDING[1]]
    assert math.isnan(probe()["backlog_events"])


def test_a_silent_flink_is_missing_never_zero(fake: Fake) -> None:
    """Missing lag read as 0 is a pass for a dead job."""
    probe = flink.job_probe(fake.url, "j")
    probe()
    fake.answers.clear()
    fake.metrics.clear()
    assert all(math.isnan(value) for value in probe().values())
    for ask in (flink.vertices, flink.checkpoints, flink.late_events, flink.source_records):
        with pytest.raises(JobError, match="does not answer"):
            ask(fake.url, "j")


def test_a_job_that_is_down_has_no_backlog_to_tell(fake: Fake) -> None:
    """Flink repeats the last word of tasks that are dead: a backlog of 0 while the events pile up."""
    probe = flink.job_probe(fake.url, "j")
    assert probe()["backlog_events"] == 12
    fake.answers["/jobs/overview"] = overview("RESTARTING", running=4)
    assert math.isnan(probe()["backlog_events"])
    fake.answers["/jobs/overview"] = overview(running=3)
    assert math.isnan(probe()["source_events"])
    fake.answers["/jobs/overview"] = overview(running=3, finished=1)
    assert probe()["backlog_events"] == 12
    fake.answers["/jobs/overview"] = {"jobs": overview()["jobs"][:1]}
    assert math.isnan(probe()["backlog_events"])


def test_metrics_that_come_late_are_waited_for(fake: Fake) -> None:
    """Flink registers a source's metrics when its task runs: asked for once, they would be missing for good."""
    late, fake.metrics["v0"] = fake.metrics["v0"], {}
    probe = flink.job_probe(fake.url, "j")
    assert "backlog_events" not in probe()
    second = late.pop(PENDING[1])  # a subtask registers its own with its first record
    fake.metrics["v0"] = late
    assert probe()["backlog_events"] == 7
    fake.metrics["v0"] = {**late, PENDING[1]: second}
    assert probe()["backlog_events"] == 12


def test_two_readers_of_one_topic_are_as_far_as_the_slower_one(fake: Fake) -> None:
    """The branch of unreadable events reads the topic too: a run that ends when one of the two is through has lost the
    rest of the other; and a reader without a watermark must not hold every window open.
    """
    other = f"{SOURCE}_as_sent"
    fake.metrics["v1"] = {
        f"0.{other}.pendingRecords": {"sum": 2000.0}, f"1.{other}.pendingRecords": {"sum": 12.0},
        f"{other}.numRecordsIn": {"sum": 3000.0}, "Calc[9].currentOutputWatermark": {"min": -9223372036854775808.0},
    }  # fmt: skip
    seen = flink.job_probe(fake.url, "j")()
    assert (seen["source_events"], seen["backlog_events"], seen["watermark_ms"]) == (3000, 2012, 111)


def test_late_events_are_counted_over_every_window(fake: Fake) -> None:
    """Events dropped as late are lost ones; a job whose windows are not known is not one that dropped none."""
    assert flink.late_events(fake.url, "j") == 4
    fake.metrics["v1"] = {}
    assert math.isnan(flink.late_events(fake.url, "j"))


def test_each_subtask_of_a_source_tells_what_it_read(fake: Fake) -> None:
    """Flink's sums leave out who is silent: three subtasks without a partition would be three that nobody misses."""
    fake.answers["/jobs/j"] = {"vertices": [{"id": "v0", "name": "Source: clicks", "parallelism": 3}]}
    asked = "/jobs/j/vertices/v0/subtasks/{}/metrics"
    for subtask, value in enumerate(["3000", "2000", "0"]):
        fake.answers[asked.format(subtask)] = [{"id": f"{SOURCE}.numRecordsIn", "value": value}]
    assert flink.source_records(fake.url, "j") == [[3000, 2000, 0]]
    fake.answers[asked.format(2)] = []  # it has no such metric yet
    assert flink.source_records(fake.url, "j") == [[3000, 2000, pytest.approx(math.nan, nan_ok=True)]]
    del fake.answers[asked.format(1)]  # and this one is not there
    assert flink.source_records(fake.url, "j") == [[3000, *[pytest.approx(math.nan, nan_ok=True)] * 2]]


def test_tasks_that_are_no_kafka_source_have_no_records_of_one(fake: Fake) -> None:
    """A window or a bounded table that has nothing to read is no idle subtask."""
    fake.metrics["v0"] = {}
    assert flink.source_records(fake.url, "j") == []


def test_checkpoints_are_those_that_completed(fake: Fake) -> None:
    """A failed or unfinished checkpoint has no duration: as 0 it would make the worst interval look the best."""
    found = flink.checkpoints(fake.url, "j")
    assert found.completed["trigger_ms"].tolist() == [1000, 3000]
    assert found.completed["duration_ms"].tolist() == [20, 40]
    assert math.isnan(found.completed["written_bytes"][0])
    assert found.failed_at_ms == (2000,)


def test_a_return_from_a_failure_has_its_moments(fake: Fake) -> None:
    """Seconds booked to the wrong phase send people to tune what was never slow."""

    def subtask(initializing: int, running: int, finished: int = 0) -> dict[str, Any]:
        return {"timestamps": {"INITIALIZING": initializing, "RUNNING": running, "FINISHED": finished}}

    fake.answers["/jobs/j/exceptions"] = {
        "exceptionHistory": {"entries": [{"timestamp": 9_500}, {"timestamp": 6_000}, {"timestamp": 900}]}
    }
    fake.answers["/jobs/j/vertices/v0/subtasktimes"] = {"subtasks": [subtask(9_700, 9_900), subtask(9_750, 10_200)]}
    fake.answers["/jobs/j/vertices/v1/subtasktimes"] = {"subtasks": [subtask(9_800, 9_850), subtask(1, 2, 3)]}
    found = flink.restart(fake.url, "j", since_ms=5_000)
    assert found == flink.Restart(noticed_ms=6_000, deployed_ms=9_800, running_ms=10_200)
    assert flink.restart(fake.url, "j", since_ms=9_600) is None  # nothing failed after that
    fake.answers["/jobs/j/vertices/v1/subtasktimes"]["subtasks"][0] = subtask(9_800, 0)
    assert flink.restart(fake.url, "j", since_ms=5_000) is None  # it is not back yet


def test_a_counter_that_began_anew_says_nothing_about_the_time_across(fake: Fake) -> None:
    """After a restart Flink counts from zero: the difference would be events, or busy time, that never were."""
    samples = Samples(0)
    for t_s, value in enumerate([0.0, 10.0, 20.0, 5.0, 15.0, 25.0]):
        samples.add(float(t_s), {"read": value})
    assert samples.delta("read", 0.0, 2.0) == 20
    assert samples.delta("read", 3.0, 5.0) == 20
    assert math.isnan(samples.delta("read", 1.0, 4.0))
    assert math.isnan(samples.delta("read", 2.2, 2.8))


def test_a_busy_time_that_steps_back_a_little_is_still_a_busy_time() -> None:
    """Flink did so in a healthy run (4321, 4115, 4338): without a busy share it could not be told from a stall."""
    samples = Samples(0)
    for t_s, value in enumerate([3896.0, 4051.0, 4321.0, 4115.0, 4338.0]):
        samples.add(float(t_s), {"busy_ms:1": value})
    assert samples.delta("busy_ms:1", 0.0, 4.0) == 442


def test_a_probe_that_fails_never_ends_a_run_and_leaves_no_number() -> None:
    """One probe's trouble must neither cost the hour nor be papered over with its last value."""
    calls: list[int] = []
    enough = threading.Event()

    def flaky() -> Mapping[str, float]:
        calls.append(1)
        if len(calls) > 4:
            enough.set()
        if len(calls) % 2:
            raise OSError("gone")
        return {"flaky": float(len(calls))}

    with watch([flaky, lambda: {"steady": 1.0}], interval_s=0.01, zero_ns=1) as samples:
        assert enough.wait(30)
    assert samples.series("flaky").value.tolist() == [float(n) for n in range(2, len(calls) + 1, 2)]
    assert len(samples.series("steady")) == len(calls)
    assert samples.series("steady").t_s.is_monotonic_increasing
    assert samples.series("nobody").empty


# As Flink 2.3 tells of one task's checkpoint; what it does not know yet is -1
PARTS: dict[str, Any] = {
    "id": 7, "status": "COMPLETED", "state_size": 900, "checkpointed_size": 90, "num_subtasks": 2,
    "summary": {
        "checkpoint_duration": {"sync": {"min": 1, "max": 4, "avg": 2}, "async": {"min": 10, "max": 310, "avg": 99}},
        "alignment": {"duration": {"min": 0, "max": 12, "avg": 6}, "persisted": {"min": 0, "max": 2048, "avg": 7}},
        "start_delay": {"min": 1, "max": -1, "avg": 3}, "end_to_end_duration": {"min": 20, "max": 340, "avg": 180},
    },
}  # fmt: skip


def test_a_checkpoint_is_told_task_by_task(fake: Fake) -> None:
    """The slowest subtask is what a checkpoint waits for; a task that Flink says nothing of did not take 0."""
    fake.answers["/jobs/j/checkpoints/details/7/subtasks/v0"] = PARTS
    (told,) = flink.checkpoint_tasks(fake.url, "j", [7, 8]).to_dict("records")
    assert math.isnan(told.pop("start_delay_ms"))
    assert told == {
        "id": 7, "task": 0, "size_bytes": 900, "written_bytes": 90, "sync_ms": 4, "async_ms": 310, "alignment_ms": 12,
        "in_flight_bytes": 2048, "duration_ms": 340,
    }  # fmt: skip
    fake.answers.clear()
    assert flink.checkpoint_tasks(fake.url, "j", [7]).empty
