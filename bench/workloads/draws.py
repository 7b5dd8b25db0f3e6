"""Random numbers by position: the n-th draw is a function of (seed, n), so any event can be recomputed alone.

Also Kafka's partitioner hash and the skewed key space, both vectorised.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

KEY_SLOTS = 1 << 20  # resolution of the key distribution: a key with less than 1e-6 of the traffic may not appear

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def counter_hash(counter: npt.NDArray[np.int64], seed: int) -> U64:
    """splitmix64 of (seed, counter): 64 independent-looking bits for each position (Steele et al., OOPSLA 2014)."""
    z: U64 = counter.astype(np.uint64)
    z *= _GOLDEN
    z += np.uint64((seed * 0x9E3779B97F4A7C15 + 0x1234567) & 0xFFFFFFFFFFFFFFFF)
    z ^= z >> np.uint64(30)
    z *= _MIX1
    z ^= z >> np.uint64(27)
    z *= _MIX2
    z ^= z >> np.uint64(31)
    return z


def bits(h: U64, shift: int, width: int) -> I64:
    """`width` bits of each hash from bit `shift` upward, as int64 in [0, 2**width)."""
    return ((h >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)


@lru_cache(maxsize=8)
def key_slots(distinct: int, zipf: float, slots: int = KEY_SLOTS) -> U32:
    """uint32[slots] of key ids in [0, distinct): a uniform slot gives a key with P(id = k) ~ 1 / (k + 1) ** zipf.

    Stratified (slot j takes the quantile (j + 0.5) / slots), so the skew is exact to 1 / slots and needs no seed.
    """
    weights = np.arange(1, distinct + 1, dtype=np.float64) ** -zipf
    edges = np.cumsum(weights)
    edges /= edges[-1]
    quantiles = (np.arange(slots, dtype=np.float64) + 0.5) / slots
    made = np.minimum(np.searchsorted(edges, quantiles), distinct - 1).astype(np.uint32)
    made.flags.writeable = False  # shared by all that ask for the same skew
    return made


def murmur2(rows: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64] | None = None) -> U32:
    """uint32[n]: Kafka's murmur2 (Utils.murmur2, seed 0x9747b28c) of each row of uint8[n, width], vectorised over rows.

    `lengths` (default: the full width) says how many bytes of each row are the key.
    """
    count, width = rows.shape
    if lengths is not None:
        out = np.empty(count, dtype=np.uint32)
        for length in np.unique(lengths):
            same = np.flatnonzero(lengths == length)
            out[same] = murmur2(rows[same, : int(length)])
        return out
    m = np.uint32(0x5BD1E995)
    h = np.full(count, np.uint32(0x9747B28C ^ width), dtype=np.uint32)
    whole = width // 4 * 4
    words = np.ascontiguousarray(rows[:, :whole]).view("<u4") if whole else np.zeros((count, 0), dtype="<u4")
    for i in range(words.shape[1]):
        k = words[:, i] * m
        k ^= k >> np.uint32(24)
        k *= m
        h *= m
        h ^= k
    rest = rows[:, whole:]
    for i in range(rest.shape[1]):
        h ^= rest[:, i].astype(np.uint32) << np.uint32(8 * i)
    if rest.shape[1]:
        h *= m
    h ^= h >> np.uint32(13)
    h *= m
    h ^= h >> np.uint32(15)
    return h


def partition_of(key_hash: U32, partitions: int) -> npt.NDArray[np.int32]:
    """Kafka's default partition for a keyed record: toPositive(murmur2(key)) % partitions."""
    return ((key_hash & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)).astype(np.int32)
