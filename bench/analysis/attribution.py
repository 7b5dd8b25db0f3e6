"""Of an increase with two causes at once, how much is each one's: what is left of it where a control removes the other.

More partitions at the same rate mean smaller batches *and* more partitions. A control keeps batches equal (a longer
linger, or routing without keys); what still grows there is the partitions' own. The rest is batching's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.intervals import mean_interval

FEWEST = 3  # repetitions: the interval of two pairs says nothing that a reader could use


@dataclass(frozen=True)
class Part:
    """A mean over repetitions with its 95 % interval, in the metric's unit; a share has none where it is unbounded."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Attribution:
    """An increase and its parts: `whole` = `batching` + `own`, in the metric's unit.

    `share`: the batching's share of the whole, None where the whole is not told apart from no increase at all.
    """

    few: float  # the metric's mean where it starts
    many: float  # and where it ends
    whole: Part
    own: Part
    batching: Part
    share: Part | None
    n: int


def attribute(
    few: Sequence[float], many: Sequence[float], control_few: Sequence[float], control_many: Sequence[float]
) -> Attribution | None:
    """Part an increase from `few` to `many` by a control in which only the partitions differ.

    All four hold one number a repetition, in the same order: neighbours in time pair up. Where the control begins at
    the same runs, `control_few` is `few`. Differences, not ratios: bytes and CPU-seconds of two causes add up. None
    with fewer than three repetitions. Fieller's interval (1954) of the ratio of two means that may be correlated.
    """
    a, b, c, d = (np.asarray(each, dtype=float) for each in (few, many, control_few, control_many))
    if not a.size == b.size == c.size == d.size:
        raise ValueError(f"repetitions do not pair up: {a.size}, {b.size}, {c.size}, {d.size}")
    if a.size < FEWEST:
        return None
    whole, own = b - a, d - c
    left = _ratio(own, whole)
    share = None if left is None else Part(1 - left.value, _less(left.high), _less(left.low))
    return Attribution(
        float(a.mean()), float(b.mean()), _mean(whole), _mean(own), _mean(whole - own), share, int(a.size)
    )


def _mean(each: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Part:
    return Part(*mean_interval(each.tolist()))


def _less(part: float | None) -> float | None:
    return None if part is None else 1 - part


def _ratio(y: np.ndarray[tuple[int], np.dtype[np.float64]], x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> (
    Part | None
):  # fmt: skip
    """Mean of y over mean of x; None where x is no increase: nothing, or nothing that its spread tells from nothing."""
    from scipy import special

    n, t2 = x.size, float(special.stdtrit(x.size - 1, 0.975)) ** 2
    mean_x, mean_y = float(x.mean()), float(y.mean())
    covariance = np.cov(x, y) / n
    a = mean_x**2 - t2 * covariance[0, 0]
    if mean_x <= 0 or a <= 0:
        return None
    b = mean_x * mean_y - t2 * covariance[0, 1]
    c = mean_y**2 - t2 * covariance[1, 1]
    half = math.sqrt(max(0.0, b * b - a * c))
    return Part(mean_y / mean_x, float((b - half) / a), float((b + half) / a))
