"""How unevenly a workload's keys load a topic's partitions, and so the slots that read them."""

from __future__ import annotations

from functools import cache

import numpy as np

from bench.scenario import Settings
from bench.scenario.sections import Workload
from bench.workloads import open_workload
from bench.workloads.draws import partition_of

SAMPLE = 200_000  # events: a share of a tenth is known to 0.2 % of all
T0_NS = 1_700_000_000_000_000_000  # any time at all: keys do not depend on it


def busiest_share(settings: Settings, slots: int, partitions: int) -> float:
    """Share of the events that the busiest of `slots` reads, each of which has as many partitions in turn."""
    if settings.producer.routing != "keyed":
        return 1 / slots
    by_partition = _by_partition(settings.workload, settings.seed, partitions)
    return float(np.bincount(np.arange(partitions) % slots, weights=by_partition).max())


@cache
def _by_partition(workload: Workload, seed: int, partitions: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Share of the events in each partition, of a sample that is routed as the generator does it."""
    batch = open_workload(workload, seed, T0_NS).encode(0, T0_NS + np.arange(SAMPLE, dtype=np.int64))
    return np.bincount(partition_of(batch.key_hash, partitions), minlength=partitions) / SAMPLE
