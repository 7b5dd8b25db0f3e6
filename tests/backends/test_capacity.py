"""Which limit of the host would stop a broker, or has."""

from __future__ import annotations

import pytest

from bench.backends import capacity


@pytest.mark.parametrize(
    ("replicas", "brokers", "limits", "said"),
    [
        (2_000, 1, {"max_files": 20_000, "max_maps": 65_530}, ""),
        (2_000, 1, {"max_files": 1_024, "max_maps": 65_530}, "2,150 open files (ulimit -n), 1,024 are allowed"),
        (40_000, 1, {"max_files": 0, "max_maps": 65_530}, "80,420 memory maps (sysctl vm.max_map_count), 65,530"),
        (40_000, 3, {"max_files": 0, "max_maps": 65_530}, ""),
        (100_000, 1, {"max_files": 0, "max_maps": 0}, "bytes of heap (cluster.broker_heap_mb), 1,572,864,000"),
    ],
)  # fmt: skip
def test_a_limit_that_cannot_hold_the_partitions_is_named_before_anything_starts(
    replicas: int, brokers: int, limits: dict[str, int], said: str
) -> None:
    """A broker that dies of too many files, or a study refused that would have run, wastes an evening."""
    found = capacity.why_not(replicas, brokers, 1500, **limits)
    assert (said in found) if said else not found


def test_several_limits_are_all_named() -> None:
    """Raising one to be told the next is a guessing game."""
    found = capacity.why_not(100_000, 1, 512, max_files=1_024, max_maps=65_530)
    assert all(word in found for word in ("ulimit -n", "vm.max_map_count", "cluster.broker_heap_mb"))


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("Caused by: java.io.IOException: Map failed", "vm.max_map_count"),
        ("java.nio.file.FileSystemException: x.log: Too many open files", "ulimit -n"),
        ("java.lang.OutOfMemoryError: Java heap space", "cluster.broker_heap_mb"),
        ("java.lang.IllegalStateException: nothing to do with it", ""),
    ],
)
def test_a_dead_brokers_last_words_name_the_limit(said: str, limit: str) -> None:
    """ "broker 1 ended" makes a reader look for a bug in Kafka."""
    found = capacity.blamed(said)
    assert (limit in found) if limit else not found
