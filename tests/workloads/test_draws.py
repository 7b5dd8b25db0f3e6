"""Positions, keys and partitions: what lets an oracle recompute an event, and a broker agree where it lies."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from bench.loadgen.librdkafka import library
from bench.workloads.draws import counter_hash, key_slots, murmur2, partition_of

JAVA = {  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", JAVA)
def test_hash_agrees_with_kafkas_published_vectors(key: bytes) -> None:
    """Else a Java producer and ours would put one user's events into two partitions, and order would be lost."""
    rows = np.frombuffer(key, dtype=np.uint8).reshape(1, -1)
    assert murmur2(rows).view(np.int32)[0] == JAVA[key]


def test_partition_agrees_with_librdkafka_for_every_length_and_byte() -> None:
    """The tail of a key is where ports of murmur2 go wrong (signed bytes, lengths that are no multiple of 4)."""
    reference = library().rd_kafka_msg_partitioner_murmur2
    reference.restype = ctypes.c_int32
    reference.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32, *[ctypes.c_void_p] * 2]
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 256, (256 + 41, 40), dtype=np.uint8)
    rows[:256, :] = (np.arange(256)[:, None] + np.arange(40)) % 256  # every value at every position
    for length in range(1, 41):
        ours = partition_of(murmur2(rows[:, :length]), 997)
        theirs = [reference(None, row[:length].tobytes(), length, 997, None, None) for row in rows]
        assert ours.tolist() == theirs
    lengths = rng.integers(1, 41, len(rows))
    mixed = murmur2(rows, lengths)
    assert mixed.tolist() == [int(murmur2(rows[i : i + 1, :n])[0]) for i, n in enumerate(lengths.tolist())]


def test_draws_depend_on_position_only() -> None:
    """A draw that depended on its neighbours would differ between the generator's chunks and the oracle's."""
    whole = counter_hash(np.arange(10_000), 7)
    assert np.array_equal(whole[5::3], counter_hash(np.arange(5, 10_000, 3), 7))
    assert not np.array_equal(whole, counter_hash(np.arange(10_000), 8))
    assert len(np.unique(whole)) == len(whole)


@pytest.mark.parametrize(("distinct", "zipf"), [(100, 0.0), (1_000, 1.05), (100_000, 1.3), (1, 1.0)])
def test_key_skew_is_the_one_asked_for(distinct: int, zipf: float) -> None:
    """A key space flatter than said would hide the hot partition that a study looks for."""
    slots = key_slots(distinct, zipf)
    weights = np.arange(1, distinct + 1) ** -zipf
    got = np.bincount(slots, minlength=distinct) / len(slots)
    assert np.abs(got - weights / weights.sum()).max() < 2 / len(slots)
