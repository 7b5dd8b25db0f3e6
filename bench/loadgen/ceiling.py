"""What the instrument itself can do: encode only, against a mock broker, against a real one; and read.

A generator near its ceiling measures itself. Each ceiling is a closed loop for a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.loadgen.consume import start_consumers
from bench.loadgen.drive import Spawn, drive, prefill, spawn_process
from bench.loadgen.engine import Router
from bench.loadgen.mock import MockCluster
from bench.loadgen.schedule import Schedule
from bench.loadgen.sender import CHUNK_EVENTS
from bench.workloads import open_workload

Sink = Literal["null", "mock", "broker", "reader"]
READ_TIMEOUT_S = 120.0
READ_EDGES = (0.1, 0.9)  # of the events: a reader's first and last are not its pace
HEADROOM = 0.8  # of a measured ceiling: a rate above it is likely to be late


@dataclass(frozen=True)
class Ceiling:
    """Events per second that one arrangement reached, and what an event cost the generator's CPU (the reader's).

    `workers` are load workers, or members of the reading group.
    """

    sink: Sink
    engine: str
    workers: int
    partitions: int
    rate_eps: float
    cpu_us_per_event: float
    note: str = ""


def encode_ceiling(settings: Mapping[str, Any], partitions: int, *, seconds: float = 2.0, seed: int = 1) -> Ceiling:
    """The null sink: encode and route, hand to nobody. One worker, in this process."""
    workload = open_workload(_Namespace(settings["workload"]), seed, 0)
    schedule = Schedule.constant(0, 1_000_000, 1e6)
    router = Router(str(settings["producer"].get("routing", "keyed")), partitions, 900_000)
    page, sent = workload.page(CHUNK_EVENTS), 0
    bounds = np.array([0, CHUNK_EVENTS], dtype=np.int64)
    seq = np.arange(CHUNK_EVENTS, dtype=np.int64)
    router.route(workload.encode(seq, schedule.due_ns(seq), page), bounds)
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        batch = workload.encode(seq + sent, schedule.due_ns(seq + sent), page)
        router.route(batch, bounds)
        sent += CHUNK_EVENTS
    took, used = time.perf_counter() - wall, time.process_time() - cpu
    return Ceiling("null", "native", 1, partitions, sent / took, used / sent * 1e6)


def send_ceiling(
    settings: Mapping[str, Any], *, partitions: int, workers: int, engine: str, run_dir: Path, bootstrap: str = "",
    topic: str = "ceiling", seconds: float = 5.0, seed: int = 1, spawn: Spawn = spawn_process,
) -> Ceiling:  # fmt: skip
    """A maximum load of `seconds` (after 2 s of warm-up) against `bootstrap`, or a mock broker if that is empty."""
    trial = {
        "workload": settings["workload"],
        "producer": {**settings["producer"], "engine": engine},
        "load": {"rate_eps": "maximum", "workers": workers},
    }

    def run(address: str) -> Any:
        return drive(
            trial, bootstrap=address, topic=topic, partitions=partitions, duration_s=seconds + 2, warmup_s=2.0,
            run_dir=run_dir, seed=seed, spawn=spawn,
        )  # fmt: skip

    if bootstrap:
        sent = run(bootstrap)
    else:
        with MockCluster({topic: partitions}) as mock:
            sent = run(mock.bootstrap)
    note = "; ".join(sent.worker_failures)
    rate = sent.in_window("acked") / sent.window_s
    sink: Sink = "broker" if bootstrap else "mock"
    return Ceiling(sink, engine, workers, partitions, rate, sent.cpu_s_per_million_events, note)


def read_ceiling(
    settings: Mapping[str, Any], *, partitions: int, members: int, run_dir: Path, bootstrap: str, topic: str,
    events: int = 3_000_000, spawn: Spawn = spawn_process,
) -> Ceiling:  # fmt: skip
    """The consuming engine's own: a topic of `events` is filled, then a group of so many members reads it flat out."""
    sent = prefill(
        settings, events, bootstrap=bootstrap, topic=topic, partitions=partitions, run_dir=run_dir, seed=1,
        t0_ns=time.time_ns(), spawn=spawn,
    )  # fmt: skip
    consuming = start_consumers(
        [{"group": "ceiling", "members": members}], bootstrap=bootstrap, topic=topic, partitions=partitions,
        run_dir=run_dir, fmt=settings["workload"]["format"], spawn=spawn,
    )  # fmt: skip
    try:
        consuming.begin(partitions)
        complete = consuming.wait_for(sent.acknowledged_events, READ_TIMEOUT_S)
        [read] = consuming.stop()
    finally:
        consuming.kill()
    if not complete or read.records != events:
        return Ceiling("reader", "native", members, partitions, 0.0, 0.0, f"{read.records:,} of {events:,} were read")
    at_s, done = read.series.index.to_numpy(), read.series["position"].to_numpy()
    grew = np.diff(done, prepend=-1.0) > 0
    edges_s = np.interp(np.array(READ_EDGES) * events, done[grew], at_s[grew])
    cpu_s = np.diff(np.interp(edges_s, at_s, read.series["cpu_s"].to_numpy()))[0]
    handled = (READ_EDGES[1] - READ_EDGES[0]) * events
    rate = handled / (edges_s[1] - edges_s[0])
    return Ceiling("reader", "native", members, partitions, float(rate), float(cpu_s / handled * 1e6))


@dataclass(frozen=True)
class Question:
    """Which ceilings: every combination. `bootstrap` "" leaves the real broker and the readers out."""

    engines: tuple[str, ...] = ("native", "produce_batch", "produce")
    workers: tuple[int, ...] = (1, 2)
    partitions: tuple[int, ...] = (6,)
    bootstrap: str = ""
    seconds: float = 5.0


def measure(
    settings: Mapping[str, Any], question: Question, *, run_dir: Path, spawn: Spawn = spawn_process,
    new_topic: Callable[[int], str] = lambda _partitions: "ceiling",
) -> Iterator[Ceiling]:  # fmt: skip
    """One by one; `new_topic` makes a topic of so many partitions on the real broker and names it."""
    for partitions in question.partitions:
        yield encode_ceiling(settings, partitions)
        for engine in question.engines:
            for n in question.workers:
                for address in ("", question.bootstrap) if question.bootstrap else ("",):
                    yield send_ceiling(
                        settings, partitions=partitions, workers=n, engine=engine, run_dir=run_dir, bootstrap=address,
                        topic=new_topic(partitions) if address else "ceiling", seconds=question.seconds, spawn=spawn,
                    )  # fmt: skip
        for n in question.workers if question.bootstrap else ():
            yield read_ceiling(
                settings, partitions=partitions, members=n, run_dir=run_dir, bootstrap=question.bootstrap,
                topic=new_topic(partitions), spawn=spawn,
            )  # fmt: skip


def beyond(rate_eps: float, ceilings: list[Ceiling], *, workers: int, engine: str, partitions: int) -> str:
    """A sentence if this host's generator cannot be expected to hold a rate; "" if it can, or nothing was measured."""
    alike = [c for c in ceilings if c.engine == engine and c.workers == workers and c.sink in ("mock", "broker")]
    if not alike:
        return ""
    nearest = min(alike, key=lambda c: (abs(c.partitions - partitions), c.rate_eps))
    if rate_eps <= nearest.rate_eps * HEADROOM:
        return ""
    return (
        f"load.rate_eps: {rate_eps:,.0f} events/s is beyond {HEADROOM:.0%} of this host's ceiling of "
        f"{nearest.rate_eps:,.0f} ({engine}, {workers} workers, {nearest.partitions} partitions, {nearest.sink}); "
        f"expected at most {nearest.rate_eps * HEADROOM:,.0f}, or more workers"
    )


class _Namespace:
    """A mapping with attributes, as `Knobs.of` wants them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            setattr(self, name, _Namespace(value) if isinstance(value, Mapping) else value)
