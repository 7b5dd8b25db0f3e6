"""Starts generator processes, follows them, and says what they sent."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench import keyring
from bench.analysis.histogram import LogLinearHistogram
from bench.errors import HostError, StreamgaugeError
from bench.loadgen.handover import HandOver
from bench.loadgen.schedule import Schedule
from bench.loadgen.sender import Mode
from bench.loadgen.sent import Progress, Sent
from bench.loadgen.shapes import plan
from bench.loadgen.totals import histogram, last, merged, seconds
from bench.loadgen.wire import wire_from_json
from bench.workloads.recorded import read_recording

READY_TIMEOUT_S = 60.0
START_DELAY_S = 0.3  # from "go" to t0, so that every worker has read it
MASTER_END_S = 10.0
FINISH_TIMEOUT_S = 60.0  # flush and result, after the schedule's end
HISTOGRAMS = ("lateness", "lateness_blocked", "produce_latency", "produce_service")


class Process(Protocol):
    """What `spawn` returns: a subprocess.Popen, or anything like it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...


class Event(Protocol):
    def is_set(self) -> bool: ...


Spawn = Callable[..., Process]
"""`spawn(argv, log)`, with `env=` where a child is told more than others."""


def spawn_process(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Process:
    """A plain child process, its output appended to `log`."""
    with log.open("ab") as out:
        own = {**os.environ, **env} if env else None
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=own)


@dataclass(frozen=True)
class _Worker:
    process: Process
    stem: Path

    @property
    def result(self) -> dict[str, Any] | None:
        path = self.stem.with_suffix(".result.json")
        return dict(json.loads(path.read_text())) if path.exists() else None

    def rows(self) -> list[dict[str, float]]:
        """Rows written so far; a line still being written is left for the next time."""
        path = self.stem.with_suffix(".rows.jsonl")
        if not path.exists():
            return []
        whole = path.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.split("\n") if line][1:]

    @property
    def is_ready(self) -> bool:
        path = self.stem.with_suffix(".rows.jsonl")
        return path.exists() and "\n" in path.read_text()

    def log_tail(self) -> str:
        log = self.stem.with_suffix(".log")
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1] if lines else "no output"


@dataclass(frozen=True)
class Master:
    """Where a Locust master listens: loopback, unless workers on other machines (`spawn_workers=False`) reach it."""

    bind_host: str = "127.0.0.1"
    port: int | None = None  # None: a free one
    web_port: int | None = None  # always on loopback
    spawn_workers: bool = True


class Drive:
    """A running generator. `poll` it as you like; `wait` ends it. `start` makes one."""

    def __init__(
        self, workers: list[_Worker], control: Process | None, schedule: Schedule, *, mode: Mode, started_ns: int,
        warmup_s: float, duration_s: float, folder: Path,
    ) -> None:  # fmt: skip
        self._control = control
        self._workers, self.schedule, self.mode, self.started_ns = workers, schedule, mode, started_ns
        self._warmup_s, self._duration_s, self._folder = warmup_s, duration_s, folder
        self._clock_gap_ns = time.time_ns() - time.monotonic_ns()

    @property
    def t0_ns(self) -> int:
        return self.schedule.t0_ns

    @property
    def pids(self) -> list[int]:
        """Of the generator: workers, and the Locust master if there is one."""
        control = [self._control.pid] if self._control is not None else []
        return sorted({w.process.pid for w in self._workers} | set(control))

    @property
    def worker_pids(self) -> list[int]:
        """Of the workers alone, in their order."""
        return [w.process.pid for w in self._workers]

    def poll(self) -> Progress:
        """Where it stands; cheap enough for once or twice a second."""
        newest = [rows[-1] for w in self._workers if (rows := w.rows())]
        return Progress(
            t_s=(time.time_ns() - self.started_ns) / 1e9,
            offered=int(sum(r["offered"] for r in newest)),
            acknowledged=int(sum(r["acked"] for r in newest)),
            failed=int(sum(r["failed"] for r in newest)),
            queued=int(sum(r["queued"] for r in newest)),
            lateness_p99_ms=max((r["lateness_p99_ms"] for r in newest), default=0.0),
            queue_full_s=sum(r["queue_full_s"] for r in newest),
            done=all(w.process.poll() is not None for w in self._workers),
        )

    def stop(self) -> None:
        """Ask the workers to end now; they flush what they have handed over. `wait` still gives what was sent."""
        (self._folder / "stop").touch()

    def wait(self, timeout_s: float | None = None, every_s: float = 0.1) -> Sent:
        """What was sent, once every worker has ended. A worker that outlives the timeout is killed and named."""
        limit = timeout_s if timeout_s is not None else self._duration_s + FINISH_TIMEOUT_S
        end = time.monotonic() + limit
        while any(w.process.poll() is None for w in self._workers) and time.monotonic() < end:
            time.sleep(every_s)
        failures = []
        for k, worker in enumerate(self._workers):
            if worker.process.poll() is None:
                worker.process.kill()
                failures.append(f"load worker {k} did not end within {limit:g} s and was killed")
            elif (result := worker.result) is None:
                code = worker.process.poll()
                failures.append(f"load worker {k} died (exit {code}): {worker.log_tail()}")
            elif result.get("error"):
                failures.append(f"load worker {k} failed: {result['error']}")
        self._end_control()
        return self._sent(failures)

    def _end_control(self) -> None:
        """The master ends by itself once it has every result."""
        end = time.monotonic() + MASTER_END_S
        while self._control is not None and self._control.poll() is None:
            if time.monotonic() > end:
                self._control.kill()
                return
            time.sleep(0.05)

    def _sent(self, failures: list[str]) -> Sent:
        results = [w.result or {} for w in self._workers]
        rows = [w.rows() for w in self._workers]
        histograms = {name: LogLinearHistogram("ms") for name in HISTOGRAMS}
        for result in results:
            for name, into in histograms.items():
                if name in result:
                    into.merge(histogram(result[name]))
        step_ns = time.time_ns() - time.monotonic_ns() - self._clock_gap_ns
        table = seconds(rows, self.schedule, self._duration_s, self.mode)
        return Sent(
            schedule=self.schedule,
            mode=self.mode,
            started_ns=self.started_ns,
            workers=len(self._workers),
            warmup_s=self._warmup_s,
            duration_s=self._duration_s if self.mode != "drain" else float(len(table)),
            offered_by_worker=tuple(int(last(r, rs, "offered")) for r, rs in zip(results, rows, strict=True)),
            acknowledged_events=int(sum(last(r, rs, "acked") for r, rs in zip(results, rows, strict=True))),
            failed=merged(r.get("failed", {}) for r in results),
            errors=merged(r.get("errors", {}) for r in results),
            flushed_s=max((r.get("flushed_s", 0.0) for r in results), default=0.0),
            without_report=sum(r.get("without_report", 0) for r in results),
            seconds=table,
            **{f"{name}_ms": one for name, one in histograms.items()},
            handed=tuple(HandOver.from_json(r["handed"]) if "handed" in r else HandOver() for r in results),
            wire=tuple(wire_from_json(r.get("wire", {})) for r in results),
            cpu_s=sum(last(r, rs, "cpu_s") for r, rs in zip(results, rows, strict=True)),
            rss_peak_bytes=int(sum(r.get("rss_peak_bytes", 0) for r in results)),
            clock_step_ms=step_ns / 1e6,
            versions=next((r["versions"] for r in results if "versions" in r), {}),
            worker_failures=tuple(failures),
            stopped=(self._folder / "stop").exists(),
            logs=tuple(w.stem.with_suffix(".log") for w in self._workers),
        )


def start(
    settings: Mapping[str, Any], *, bootstrap: str, topic: str, partitions: int, duration_s: float, warmup_s: float,
    run_dir: Path, seed: int, t0_ns: int | None = None, spawn: Spawn = spawn_process, web_port: int | None = None,
    master: Master | None = None, ready_s: float = READY_TIMEOUT_S,
) -> Drive:  # fmt: skip
    """Start a trial's load and return once its clock is set.

    `settings`: mapping (or objects) with `workload`, `load`, `producer` as in a scenario. `duration_s` counts from t0
    and includes `warmup_s`. `t0_ns`: None for "now", or a time in the future (for a drain any time); the same seed
    and t0 give the same bytes. `web_port`: Locust's own page on loopback, with a master behind it. `master`: its
    addresses, for workers that are started by hand elsewhere; `ready_s`: how long to wait for them. A generator that
    cannot start is a HostError or what its client said.
    """
    load, workload, producer = (_plain(_section(settings, name)) for name in ("load", "workload", "producer"))
    replay = (load.get("shape") or {}).get("replay")
    recording = read_recording(replay) if replay else None
    mode, schedule = plan(load, duration_s=duration_s, warmup_s=warmup_s, seed=seed, recording=recording)
    folder = run_dir / "loadgen"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    count = int(load.get("workers") or 1)
    common = {
        "count": count, "workload": workload, "replay": replay, "producer": producer, "bootstrap": bootstrap,
        "topic": topic, "partitions": partitions, "seed": seed, "mode": mode, "schedule": schedule.to_json(),
        "window_s": [warmup_s, schedule.seconds] if mode != "drain" else [0, 0],  # a drain has no due times to keep
    }  # fmt: skip
    if web_port is not None or master is not None:
        workers, control = _spawn_distributed(common, folder, spawn, master or Master(web_port=web_port))
    else:
        workers, control = _spawn_local(common, folder, spawn), None
    _await_ready(workers, control, ready_s)
    soon_ns = time.time_ns() + int(START_DELAY_S * 1e9)
    t0_ns = t0_ns if t0_ns is not None else soon_ns
    started_ns = soon_ns if mode == "drain" else t0_ns
    drive = Drive(
        workers, control, schedule.starting(t0_ns), mode=mode, started_ns=started_ns, warmup_s=warmup_s,
        duration_s=schedule.seconds, folder=folder,
    )  # fmt: skip
    part = folder / "go.part"
    part.write_text(json.dumps({"t0_ns": t0_ns, "started_ns": started_ns}))
    part.rename(folder / "go.json")
    return drive


def _spawn_local(common: Mapping[str, Any], folder: Path, spawn: Spawn) -> list[_Worker]:
    workers, spawn_client = [], keyring.entrusted(spawn, common["bootstrap"])
    for k in range(common["count"]):
        stem = folder / f"worker-{k}"
        stem.with_suffix(".json").write_text(json.dumps({**common, "index": k}))
        argv = [sys.executable, "-m", "bench.loadgen.worker", str(stem.with_suffix(".json"))]
        workers.append(_Worker(spawn_client(argv, stem.with_suffix(".log")), stem))
    return workers


def _spawn_distributed(
    common: Mapping[str, Any], folder: Path, spawn: Spawn, master: Master
) -> tuple[list[_Worker], Process]:
    """A Locust master, and (unless they are started elsewhere) its workers; the master is one of the processes."""
    body = {
        "count": common["count"], "bind_host": master.bind_host, "port": master.port or _free_port(),
        "web_port": master.web_port, "task": common,
    }  # fmt: skip
    path = folder / "master.json"
    path.write_text(json.dumps(body))
    control = spawn([sys.executable, "-m", "bench.loadgen.worker_master", str(path)], folder / "master.log")
    workers = []
    for k in range(common["count"]):
        stem, process = folder / f"worker-{k}", control
        if master.spawn_workers:
            argv = [sys.executable, "-m", "bench.loadgen.worker", "--master", f"127.0.0.1:{body['port']}"]
            process = keyring.entrusted(spawn, common["bootstrap"])(argv, stem.with_suffix(".log"))
        workers.append(_Worker(process, stem))
    return workers, control


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def drive(
    settings: Mapping[str, Any], *, bootstrap: str, topic: str, partitions: int, duration_s: float, warmup_s: float,
    run_dir: Path, seed: int, t0_ns: int | None = None, spawn: Spawn = spawn_process,
    on_progress: Callable[[Progress], None] | None = None, stop: Event | None = None, every_s: float = 0.5,
) -> Sent:  # fmt: skip
    """`start` and `wait` in one; `on_progress` is called every `every_s`, `stop` (when set) ends it early."""
    running = start(
        settings, bootstrap=bootstrap, topic=topic, partitions=partitions, duration_s=duration_s, warmup_s=warmup_s,
        run_dir=run_dir, seed=seed, t0_ns=t0_ns, spawn=spawn,
    )  # fmt: skip
    end = time.monotonic() + running.schedule.seconds + FINISH_TIMEOUT_S
    while not (progress := running.poll()).done and time.monotonic() < end:
        if on_progress is not None:
            on_progress(progress)
        if stop is not None and stop.is_set():
            running.stop()
        time.sleep(every_s)
    return running.wait(max(1.0, end - time.monotonic()))


def prefill(
    settings: Mapping[str, Any], n_events: int, *, bootstrap: str, topic: str, partitions: int, run_dir: Path,
    seed: int, t0_ns: int, spawn: Spawn = spawn_process, stop: Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Sent:  # fmt: skip
    """Write n events as fast as the broker takes them. Due times are those of a nominal rate from `t0_ns`."""
    load = {**_plain(_section(settings, "load")), "drain": n_events, "rate_eps": None}
    return drive(
        {**{name: _section(settings, name) for name in ("workload", "producer")}, "load": load}, bootstrap=bootstrap,
        topic=topic, partitions=partitions, duration_s=0, warmup_s=0, run_dir=run_dir, seed=seed, t0_ns=t0_ns,
        spawn=spawn, stop=stop, on_progress=on_progress,
    )  # fmt: skip


def _await_ready(workers: list[_Worker], control: Process | None, ready_s: float) -> None:
    end = time.monotonic() + ready_s
    while not all(w.is_ready for w in workers):
        for k, worker in enumerate(workers):
            if worker.process.poll() is not None:
                said = (worker.result or {}).get("error") or worker.log_tail()
                _end(workers, control)
                raise StreamgaugeError(f"load worker {k} could not start: {said}")
        if time.monotonic() > end:
            _end(workers, control)
            raise HostError(f"the load workers were not ready within {ready_s:g} s")
        time.sleep(0.02)


def _end(workers: list[_Worker], control: Process | None) -> None:
    for process in [w.process for w in workers] + ([control] if control is not None else []):
        if process.poll() is None:
            process.kill()


def _section(settings: Any, name: str) -> Any:
    return settings[name] if isinstance(settings, Mapping) else getattr(settings, name)


def _plain(section: Any) -> dict[str, Any]:
    return dict(section.model_dump(mode="json")) if hasattr(section, "model_dump") else dict(section)


__all__ = ["Drive", "Master", "drive", "prefill", "spawn_process", "start"]
