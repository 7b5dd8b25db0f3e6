"""The generator's own process: a Locust user that runs the open loop.

    python -m bench.loadgen.worker FILE                  orders in files (see `bench.loadgen.desk`)
    python -m bench.loadgen.worker --master HOST:PORT    orders from `bench.loadgen.worker_master`, here or far away

Locust is imported here and in the master, nowhere else: importing it monkey-patches the interpreter with gevent. C
calls block gevent's hub, so there is one user a process, it hands over a tick's events at a time and never polls with
a timeout.
"""

from __future__ import annotations

import locust  # isort: skip  # first: it patches

import contextlib
import gc
import os
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gevent
import gevent.monkey
import numpy as np
from locust import User, task
from locust.env import Environment
from locust.stats import StatsEntry

from bench import keyring
from bench.errors import StreamgaugeError
from bench.loadgen import librdkafka
from bench.loadgen.desk import Desk, FileDesk, MessageDesk
from bench.loadgen.engine import Engine, open_engine
from bench.loadgen.recorder import Recorder, Row
from bench.loadgen.schedule import Schedule
from bench.loadgen.sender import Ports, Sender, Share
from bench.workloads import Source, Workload, open_workload
from bench.workloads.recorded import RecordedEvents, read_recording

_nanosleep = gevent.monkey.get_original("time", "sleep")
NICE = -10
GEVENT_SLACK_NS = 1_500_000  # gevent's sleep overshoots by about 0.7 ms: the rest is slept by the kernel
FLUSH_TIMEOUT_NS = 40_000_000_000  # longer than message.timeout.ms: every event gets its report
EVERY_EVENT_BELOW_EPS = 50_000  # below this rate each event's lateness is kept, above it one in eight
# Produce latencies kept a second and worker: p99.9 from ten seconds, 0.4 us each. From 400,000 a second on one event in
# 4,096, which most batches of 1,800 events do not hold: walking all of them would cost 0.08 us an event
ACKNOWLEDGED_EPS, WALK_BELOW_EPS, SPARSE = 1_000, 400_000, 4_096


def sample_every(rate_eps: float) -> int:
    """Of how many acknowledged events one is timed, at this peak rate of a worker."""
    return max(1, int(rate_eps) // ACKNOWLEDGED_EPS) if rate_eps < WALK_BELOW_EPS else SPARSE


def wait_until_ns(due_ns: int) -> None:
    """Sleep until then without overshooting. Other greenlets get their turn when it is far off, or already past."""
    left = due_ns - time.time_ns()
    if left > GEVENT_SLACK_NS or left <= 0:
        gevent.sleep(max(0.0, (left - GEVENT_SLACK_NS) / 1e9))
        left = due_ns - time.time_ns()
    if left > 0:
        _nanosleep(left / 1e9)


class Job:
    """One worker's task, from its desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self.settings = desk, desk.settings
        self.share = Share(self.settings["index"], self.settings["count"])
        self.error = ""

    def run(self, environment: Environment) -> None:
        """Open, say ready, wait for the start, send, flush, write the result; an error is part of the result."""
        try:
            self._run(environment)
        except Exception as e:  # whatever it is, the parent must read it
            self.error = f"{type(e).__name__}: {e}"
            raise
        finally:
            if self.error:
                self._desk.result({"error": self.error})

    def _run(self, environment: Environment) -> None:
        s = self.settings
        rough = Schedule.from_json({**s["schedule"], "t0_ns": time.time_ns()})
        engine = open_engine(
            s["producer"],
            bootstrap=s["bootstrap"],
            topic=s["topic"],
            partitions=s["partitions"],
            worker=self.share.index,
            workers=self.share.count,
            sample_every=sample_every(self._peak_eps(rough)),
        )
        source = RecordedEvents(read_recording(s["replay"])) if s["replay"] else self._workload(rough)
        self._assemble(engine, source, rough, environment, rough.t0_ns)[0].warm()
        self._desk.row({"ready": os.getpid(), "librdkafka": librdkafka.version()})
        go = self._desk.go()
        if go is None:
            self._desk.result({"error": "stopped before the start"})
            return
        schedule = Schedule.from_json({**s["schedule"], "t0_ns": go["t0_ns"]})
        timed = source.starting(schedule.t0_ns, schedule) if isinstance(source, Workload) else source
        sender, recorder = self._assemble(engine, timed, schedule, environment, go["started_ns"])
        sender.warm()
        gc.collect()
        gc.freeze()
        sender.run()
        left, flushed_ns = sender.flush(FLUSH_TIMEOUT_NS)
        recorder.close_second(time.time_ns())
        result = self._result(engine, recorder)
        self._desk.result({**result, "without_report": left, "flushed_s": (flushed_ns - go["started_ns"]) / 1e9})
        engine.close()

    def _assemble(
        self, engine: Engine, source: Source, schedule: Schedule, environment: Environment, started_ns: int
    ) -> tuple[Sender, Recorder]:
        s = self.settings
        window = tuple(started_ns + int(t * 1e9) for t in s["window_s"])
        every = 1 if self._peak_eps(schedule) < EVERY_EVENT_BELOW_EPS else 8
        tell = _LocustStats(environment, s["topic"])
        recorder = Recorder(
            engine, started_ns=started_ns, window_ns=(window[0], window[1]), every=every, out=self._desk.row,
            on_second=tell,
        )  # fmt: skip
        ports = Ports(time.time_ns, wait_until_ns, self._desk.stopped)
        sender = Sender(engine, source, schedule, share=self.share, mode=s["mode"], recorder=recorder, ports=ports)
        return sender, recorder

    def _peak_eps(self, schedule: Schedule) -> float:
        return max(max(g.from_eps, g.to_eps) for g in schedule.segments) / self.share.count

    def _workload(self, schedule: Schedule) -> Source:
        s = self.settings
        return open_workload(_namespace(s["workload"]), s["seed"], schedule.t0_ns, schedule)

    def _result(self, engine: Engine, recorder: Recorder) -> dict[str, Any]:
        use = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "offered": recorder.offered,
            "offered_bytes": recorder.offered_bytes,
            "acked": engine.acked,
            "failed": engine.failed,
            "errors": engine.errors,
            "stopped": self._desk.stopped(),
            "lateness": _plain(recorder.lateness.to_arrays()),
            "lateness_blocked": _plain(recorder.lateness_blocked.to_arrays()),
            "produce_latency": _plain(recorder.produce_latency.to_arrays()),
            "produce_service": _plain(recorder.produce_service.to_arrays()),
            "handed": recorder.handed.to_json(),
            "wire": recorder.wire,
            "rss_peak_bytes": use.ru_maxrss * 1024,
            "cpu_s": use.ru_utime + use.ru_stime,
            "versions": {
                "librdkafka": librdkafka.version(), "locust": locust.__version__,
                "nice": str(os.getpriority(os.PRIO_PROCESS, 0)),
            },
        }  # fmt: skip


class _LocustStats:
    """Tells Locust once a second, in one merge: firing its event for every request costs 4 us of Python each."""

    def __init__(self, environment: Environment, topic: str) -> None:
        self._environment = environment
        self._name, self._bytes_name = f"produce {topic}", f"kilobytes to {topic}"
        self._before: Row = {}

    def __call__(self, row: Row) -> None:
        stats = self._environment.stats
        now, late = int(time.time()), round(row["lateness_p99_ms"])
        before, self._before = self._before, row
        n, failures = (int(row[name] - before.get(name, 0)) for name in ("acked", "failed"))
        entry = StatsEntry(stats, self._name, "KAFKA", use_response_times_cache=False)
        entry.num_requests, entry.num_failures = n + failures, failures
        entry.num_reqs_per_sec[now] += n + failures
        entry.num_fail_per_sec[now] += failures
        entry.response_times[late] += n
        entry.min_response_time = entry.max_response_time = late
        entry.total_response_time = n * late
        entry.total_content_length = int(row["offered_bytes"] - before.get("offered_bytes", 0))
        entry.last_request_timestamp = time.time()
        stats.get(self._name, "KAFKA").extend(entry)
        stats.total.extend(entry)
        self._tell_bytes(now, entry.total_content_length)

    def _tell_bytes(self, now: int, count: int) -> None:
        """Locust shows no bytes a second: a line of its own, whose "requests" are kilobytes, left out of the total."""
        entry = StatsEntry(self._environment.stats, self._bytes_name, "KAFKA", use_response_times_cache=False)
        entry.num_requests = entry.num_reqs_per_sec[now] = count // 1000
        entry.last_request_timestamp = time.time()
        self._environment.stats.get(self._bytes_name, "KAFKA").extend(entry)


def _namespace(data: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**{k: _namespace(v) if isinstance(v, dict) else v for k, v in data.items()})


def _plain(arrays: tuple[Any, Any, dict[str, float]]) -> list[Any]:
    buckets, counts, exact = arrays
    return [np.asarray(buckets).tolist(), np.asarray(counts).tolist(), exact]


class ProducerUser(User):
    """The only user of this process: it runs the whole job once."""

    desk: ClassVar[Desk]
    error: ClassVar[str] = ""

    @task
    def drive(self) -> None:
        """Runs until the schedule is done."""
        while not self.desk.settings:  # a master may start the user a moment before its task is here
            gevent.sleep(0.01)
        job = Job(self.desk)
        try:
            job.run(self.environment)
        finally:
            ProducerUser.error = job.error
            self.environment.runner.quit()
        raise locust.exception.StopUser


def _go_first() -> None:
    """Where allowed, run before what is measured: in the field a generator has its own machine and is never starved.

    It must come before librdkafka's threads, which inherit it. What was got is in the result's versions.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)


def main(arguments: list[str]) -> int:
    """Run the job under a local runner, or as a worker of a master that starts its user."""
    try:
        keyring.inherit()
    except StreamgaugeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    _go_first()
    environment = Environment(user_classes=[ProducerUser], catch_exceptions=False)
    if arguments[0] == "--master":
        host, _, port = arguments[1].rpartition(":")
        worker = environment.create_worker_runner(host, int(port))
        desk = MessageDesk(worker, gevent.sleep)
        ProducerUser.desk = desk
        if not desk.ask():
            print(f"no task from a master at {arguments[1]}", file=sys.stderr)
            return 1
        worker.greenlet.join()
    else:
        ProducerUser.desk = FileDesk(Path(arguments[0]), gevent.sleep)
        local = environment.create_local_runner()
        local.start(1, spawn_rate=1)
        local.greenlet.join()
    return 1 if ProducerUser.error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
