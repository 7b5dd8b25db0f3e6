"""Mergeable log-linear histograms: percentiles that are never averaged and never reach beyond their samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import numpy.typing as npt

SUB_BUCKET_BITS = 7  # 128 linear buckets to each power of two: a bucket is at most 1/128 = 0.8 % wide
SAMPLES_BEYOND = 10  # a percentile needs this many samples above it: p99 from 1,000, p99.9 from 10,000
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)

_SHIFT = np.int64(52 - SUB_BUCKET_BITS)  # float64: 52 bits of mantissa below the exponent
_CHUNK = 1 << 16  # values at a time: half a MiB, so that every pass stays in the CPU's cache


class LogLinearHistogram:
    """Counts of values in buckets 0.8 % wide, over the whole range of float64.

    The bucket of a positive value is the top of its IEEE-754 bit pattern (exponent and 7 bits of mantissa): powers of
    two, each divided linearly, as in HdrHistogram. Percentiles are off by less than one bucket (0.8 %); `n`, `mean`,
    `min`, `max` and the number of non-positive values are exact. Non-positive values rank below all others, are
    counted apart and read as 0 in a percentile: a latency of 0 or less is a finding about the clocks, never dropped.
    """

    def __init__(self, unit: str = "ms") -> None:
        self.unit = unit
        self._first = 0  # bucket id of _counts[0]
        self._counts: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._nonpositive = 0
        self._sum = 0.0
        self._min = float("inf")
        self._max = float("-inf")

    @property
    def n(self) -> int:
        """Values added, non-positive ones included."""
        return int(self._counts.sum()) + self._nonpositive

    @property
    def n_nonpositive(self) -> int:
        """Values of 0 or less."""
        return self._nonpositive

    @property
    def min(self) -> float:
        """Smallest value, exact; NaN when empty."""
        return self._min if self.n else float("nan")

    @property
    def max(self) -> float:
        """Largest value, exact; NaN when empty."""
        return self._max if self.n else float("nan")

    @property
    def mean(self) -> float:
        """Arithmetic mean of all values, exact; NaN when empty."""
        return self._sum / self.n if self.n else float("nan")

    def add(self, values: npt.ArrayLike) -> Self:
        """Count values (any shape, integers or floats, in `unit`). NaN or infinity: ValueError, nothing is added."""
        flat = np.asarray(values).reshape(-1)
        fresh = LogLinearHistogram(self.unit)
        for start in range(0, flat.size, _CHUNK):
            fresh._add_chunk(flat[start : start + _CHUNK].astype(np.float64, copy=False))
        return self.merge(fresh)

    def _add_chunk(self, chunk: npt.NDArray[np.float64]) -> None:
        total = float(chunk.sum())
        if not np.isfinite(total):
            raise ValueError(
                "histogram: a value is NaN or infinite; a missing sample must be counted as missing, not added"
            )
        self._sum += total
        low, high = float(chunk.min()), float(chunk.max())
        self._min, self._max = min(self._min, low), max(self._max, high)
        if low <= 0:
            positive = chunk[chunk > 0]
            self._nonpositive += chunk.size - positive.size
            if not positive.size:
                return
            chunk, low = positive, float(positive.min())
        first = _bucket(low)
        ids = (np.ascontiguousarray(chunk).view(np.int64) >> _SHIFT) - first
        self._put(first, np.bincount(ids))

    def _put(self, first: int, counts: npt.NDArray[np.int64]) -> None:
        if not self._counts.size:
            self._first, self._counts = first, counts.astype(np.int64)
            return
        low = min(first, self._first)
        high = max(first + counts.size, self._first + self._counts.size)
        if low < self._first or high > self._first + self._counts.size:
            grown = np.zeros(high - low, dtype=np.int64)
            grown[self._first - low : self._first - low + self._counts.size] = self._counts
            self._first, self._counts = low, grown
        at = first - self._first
        self._counts[at : at + counts.size] += counts

    def merge(self, other: LogLinearHistogram) -> Self:
        """Add the counts of another histogram of the same unit to this one. Exact, commutative, associative."""
        if other.unit != self.unit:
            raise ValueError(f"histogram: cannot merge {other.unit} into {self.unit}")
        if other._counts.size:
            self._put(other._first, other._counts)
        self._nonpositive += other._nonpositive
        self._sum += other._sum
        self._min, self._max = min(self._min, other._min), max(self._max, other._max)
        return self

    def __add__(self, other: LogLinearHistogram) -> LogLinearHistogram:
        return LogLinearHistogram(self.unit).merge(self).merge(other)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LogLinearHistogram):
            return NotImplemented
        mine, theirs = self.to_arrays(), other.to_arrays()
        return (
            self.unit == other.unit
            and np.array_equal(mine[0], theirs[0])
            and np.array_equal(mine[1], theirs[1])
            and mine[2] == theirs[2]
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def supported(self, p: float, independent_n: int | None = None) -> bool:
        """Whether 10 samples lie beyond the p-th percentile: p90 from 100, p99 from 1,000, p99.9 from 10,000.

        `independent_n` stands in for n where rows are not independent (windows: emission instants, not rows).
        """
        n = self.n if independent_n is None else min(self.n, independent_n)
        return n * (100.0 - p) >= 100.0 * SAMPLES_BEYOND - 1e-6  # 100 - 99.9 is not exactly 0.1

    def percentile(self, p: float, independent_n: int | None = None) -> float | None:
        """The p-th percentile (0-100) in `unit`, within 0.8 %; None where the sample does not support it."""
        if not 0 <= p <= 100:
            raise ValueError(f"histogram: percentile {p} is not within 0 and 100")
        if p == 100:
            return self._max if self.n else None
        if not self.n or not self.supported(p, independent_n):
            return None
        rank = p / 100.0 * self.n
        if rank <= self._nonpositive:
            return 0.0
        rank -= self._nonpositive
        reached = np.cumsum(self._counts)
        at = int(np.searchsorted(reached, rank, side="left"))
        below = float(reached[at] - self._counts[at])
        low, high = _edge(self._first + at), _edge(self._first + at + 1)
        value = low + (high - low) * (rank - below) / float(self._counts[at])
        return float(min(max(value, self._min), self._max))

    def percentiles(self, independent_n: int | None = None) -> dict[str, float]:
        """{"p50": …, "p90": …, "p99.9": …, "max": …}, only as far as the sample supports; {} when empty."""
        found = {f"p{p:g}": self.percentile(p, independent_n) for p in PERCENTILES}
        known = {name: value for name, value in found.items() if value is not None}
        return known | {"max": self._max} if self.n else {}

    def share_above(self, limit: float) -> float:
        """Share (0-1) of values above `limit`, to the bucket's precision; NaN when empty. For figures, not verdicts."""
        if not self.n:
            return float("nan")
        if limit <= 0:
            return 1.0 - self._nonpositive / self.n
        beyond = max(0, _bucket(limit) + 1 - self._first)
        return float(self._counts[beyond:].sum()) / self.n

    def to_arrays(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], dict[str, float]]:
        """(bucket ids, counts, exact numbers): the filled buckets only, and nonpositive, sum, min, max."""
        filled = np.flatnonzero(self._counts)
        exact = {"bits": float(SUB_BUCKET_BITS), "nonpositive": float(self._nonpositive), "sum": self._sum}
        if self.n:
            exact |= {"min": self._min, "max": self._max}
        return (filled + self._first).astype(np.int32), self._counts[filled], exact

    @classmethod
    def from_arrays(
        cls, buckets: npt.ArrayLike, counts: npt.ArrayLike, exact: Mapping[str, float], unit: str = "ms"
    ) -> LogLinearHistogram:
        """The histogram that `to_arrays` was called on. Other bucket widths are a ValueError."""
        if exact.get("bits") != SUB_BUCKET_BITS:
            raise ValueError(f"histogram: {exact.get('bits')} sub-bucket bits, expected {SUB_BUCKET_BITS}")
        made = cls(unit)
        ids, filled = np.asarray(buckets, dtype=np.int64), np.asarray(counts, dtype=np.int64)
        if ids.shape != filled.shape or (filled < 0).any():
            raise ValueError("histogram: buckets and counts do not match")
        if ids.size:
            dense = np.zeros(int(ids.max() - ids.min()) + 1, dtype=np.int64)
            dense[ids - ids.min()] = filled
            made._put(int(ids.min()), dense)
        made._nonpositive, made._sum = int(exact["nonpositive"]), float(exact["sum"])
        made._min, made._max = float(exact.get("min", np.inf)), float(exact.get("max", -np.inf))
        return made


def _bucket(value: float) -> int:
    return int(np.float64(value).view(np.int64) >> _SHIFT)


def _edge(bucket: int) -> float:
    return float((np.int64(bucket) << _SHIFT).view(np.float64))
