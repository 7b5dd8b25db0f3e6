"""What the instrument itself can do: encode only, against a mock broker, against a real one.

A generator near its ceiling measures itself. Each ceiling is a closed loop for a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.loadgen.drive import Spawn, drive, spawn_process
from bench.loadgen.engine import Router
from bench.loadgen.mock import MockCluster
from bench.loadgen.schedule import Schedule
from bench.loadgen.sender import CHUNK_EVENTS
from bench.workloads import open_workload

Sink = Literal["null", "mock", "broker"]
HEADROOM = 0.8  # of a measured ceiling: a rate above it is likely to be late


@dataclass(frozen=True)
class Ceiling:
    """Events per second that one arrangement reached, and what the generator's CPU cost."""

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


def measure(
    settings: Mapping[str, Any], *, run_dir: Path, engines: tuple[str, ...] = ("native", "produce_batch", "produce"),
    workers: tuple[int, ...] = (1, 2), partitions: tuple[int, ...] = (6,), bootstrap: str = "",
    new_topic: Callable[[int], str] = lambda _partitions: "ceiling", seconds: float = 5.0,
    tell: Callable[[Ceiling], None] = lambda _ceiling: None,
) -> list[Ceiling]:  # fmt: skip
    """Every combination; `new_topic` makes a topic of so many partitions on the real broker and names it."""
    found: list[Ceiling] = []

    def add(ceiling: Ceiling) -> None:
        found.append(ceiling)
        tell(ceiling)

    for count in partitions:
        add(encode_ceiling(settings, count))
        for engine in engines:
            for n in workers:
                for address in ("", bootstrap) if bootstrap else ("",):
                    topic = new_topic(count) if address else "ceiling"
                    add(
                        send_ceiling(
                            settings, partitions=count, workers=n, engine=engine, run_dir=run_dir, bootstrap=address,
                            topic=topic, seconds=seconds,
                        )
                    )  # fmt: skip
    return found


def beyond(rate_eps: float, ceilings: list[Ceiling], *, workers: int, engine: str, partitions: int) -> str:
    """A sentence if this host's generator cannot be expected to hold a rate; "" if it can, or nothing was measured."""
    alike = [c for c in ceilings if c.engine == engine and c.workers == workers and c.sink != "null"]
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
