"""A broker whose limits are known, and the ladder of runs that a study of it would record.

One partition carries `partition_mb_s`, one consumer `reader_mb_s`, the host `host_mb_s`; bytes follow the rate that
fills a batch by a curve that is known too. Each run is the fluid queue of `tests.simulated.system`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.record import Measurement, Run
from costmodel.advice import Need, advise
from costmodel.ladder import Ladder, hot_share
from costmodel.rungs import ladder, top_key_share
from tests.simulated.system import Bench, System

WINDOW_S = 20.0
PRICING = {"region": "us-east-1", "retention_days": 7.0, "replication_factor": 3, "zones": 3, "groups": 3}


@dataclass(frozen=True)
class Broker:
    """What is true. `top_key`: share of the busiest key; `per_partition_ms`: latency that each partition adds."""

    partition_mb_s: float = 5.0
    reader_mb_s: float = 1e9
    host_mb_s: float = 1e9
    record_bytes: float = 200.0
    base_ms: float = 10.0
    per_partition_ms: float = 0.0
    run_noise: float = 0.0
    up_cores: float = 0.05  # that it takes without an event
    zipf: float = 0.0  # of the keys that the study sends; 0: all as busy

    def capacity_mb_s(self, partitions: int, top_key: float = 0.0) -> float:
        """What so many partitions carry, before noise."""
        busiest = min(self.partition_mb_s, self.reader_mb_s)
        return min(self.host_mb_s, busiest / hot_share(partitions, top_key))

    def true_smallest(self, mb_s: float, top_key: float = 0.0) -> int:
        """The fewest partitions that carry it."""
        return next(p for p in range(1, 100_000) if self.capacity_mb_s(p, top_key) >= mb_s * (1 - 1e-9))

    def batch_events(self, fill_mb_s: float) -> float:
        """What gathers in 10 ms, and the event that opened the batch."""
        return 1 + fill_mb_s * 1e6 / self.record_bytes * 0.01

    def cpu_s(self, fill_mb_s: float) -> float:
        """CPU-seconds that a million events and their batches take."""
        return 1.0 + 30.0 / self.batch_events(fill_mb_s)

    def wire_share(self, fill_mb_s: float) -> float:
        """Wire bytes per payload byte: emptier batches compress worse."""
        return 0.35 + 0.3 / (1 + 40 * fill_mb_s)


def study(
    broker: Broker, counts: Iterable[int], rates_mb_s: Sequence[float], *, repeats: int = 5, seed: int = 1
) -> list[Run]:
    """Every number of partitions under every rate, keyed evenly."""
    cells = [(count, rate) for count in counts for rate in rates_mb_s]
    return [
        _run(broker, count, rate, [seed, order, repetition], repetition)
        for order, (count, rate) in enumerate(cells)
        for repetition in range(repeats)
    ]


def recorded(broker: Broker, counts: Iterable[int], rates_mb_s: Sequence[float], **how: Any) -> Ladder:
    """The same as the ladder that advice is read from."""
    return ladder(study(broker, counts, rates_mb_s, **how), "simulated", where={}, pricing=PRICING)


def _run(broker: Broker, partitions: int, mb_s: float, seed: Sequence[int], repetition: int) -> Run:
    workload = {"name": "simulated", "keys": {"distinct": 10_000, "zipf": broker.zipf}}
    eps = mb_s * 1e6 / broker.record_bytes
    system = System(
        "ladder",
        broker.capacity_mb_s(partitions, top_key_share(workload)) * 1e6 / broker.record_bytes,
        run_noise=broker.run_noise,
        base_ms=broker.base_ms + broker.per_partition_ms * partitions,
    )
    rng = np.random.default_rng(seed)
    run, _ = Bench(system, rng, warmup_s=2.0, measure_s=WINDOW_S).run(
        eps, repetition, **{"topic.partitions": partitions}
    )
    wire = broker.wire_share(mb_s / partitions) * broker.record_bytes
    more = {
        "payload_bytes_per_event": (broker.record_bytes, "bytes/event"),
        "wire_bytes_per_event": (wire, "bytes/event"),
        "log_bytes_per_event": (wire * 0.98, "bytes/event"),
        "lost_events": (0.0, "events"),
        "batch_records": (broker.batch_events(mb_s / partitions), "events"),
        "broker_cpu_s_per_million_events": (
            broker.cpu_s(mb_s / partitions) + broker.up_cores * 1e6 / eps,
            "CPU-s/1M events",
        ),
    }
    settings = {
        "workload": workload,
        "load": {"rate_eps": eps, "workers": 1},
        "producer": {"routing": "keyed", "linger_ms": 10.0, "compression": "lz4"},
        "topic": {"partitions": partitions, "replication_factor": 1},
        "cluster": {"brokers": 1},
        "pipeline": None,
        "consumers": [{"group": "readers", "members": 2000}],  # as many as partitions allow, at every count
    }
    name = "-".join(map(str, seed))
    return replace(
        run,
        trial_id=f"p{partitions}-{mb_s:g}-{name}",
        settings=settings,
        metrics={**run.metrics, **{key: Measurement(value, unit) for key, (value, unit) in more.items()}},
        bundle=Path("simulated") / f"p{partitions}-{mb_s:g}-{name}" / "now",
    )


def off_by(noise: float, studies: int, *, seed: int = 5) -> list[int]:
    """By how many partitions the truth lies outside the stated interval (0: inside), over seeded brokers and targets.

    `noise`: of a broker's speed from run to run; the truth is what 4 of 5 runs carry, as the method has it.
    """
    rng = np.random.default_rng(seed)
    found = []
    for study_seed in range(studies):
        speed = float(np.exp(rng.uniform(np.log(0.8), np.log(30.0))))
        known = recorded(Broker(partition_mb_s=speed, run_noise=noise), [1, 2, 6, 12, 24, 96], (40.0,), seed=study_seed)
        slow = Broker(partition_mb_s=speed * (1 - 0.8416 * noise))
        for target in (5.0, 40.0, 100.0):
            advice = advise(Need(target, 200.0, peak=1.0), known)
            assert advice.low is not None
            assert advice.partitions is not None
            truth = slow.true_smallest(target)
            found.append(max(advice.low - truth, truth - advice.partitions, 0))
    return found


def doubling(most: int) -> list[int]:
    """1, 2, 4 … up to `most`."""
    return [2**power for power in range(int(math.log2(most)) + 1)]
