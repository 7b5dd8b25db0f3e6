"""How many calls to a store a checkpoint makes one after the other: what its duration gains, over what a call gains.

Calls that go side by side cost a checkpoint the time of one. Between two stores that differ only in what a call takes,
the difference of durations is the number of calls in a row times the difference of a call's latency: from a disk
(latency 0) to S3, or from a near store to a far one. Bytes, where they take time of their own, are in it too: an upper
bound then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.intervals import mean_interval


@dataclass(frozen=True)
class InARow:
    """`calls` with its 95 % interval over repetitions (None from one); the means that it comes from, in ms."""

    calls: float
    low: float | None
    high: float | None
    near_ms: float
    far_ms: float
    call_ms: float  # what a call takes longer there
    n: int


def calls_in_a_row(
    near_ms: Sequence[float], far_ms: Sequence[float], near_call_ms: Sequence[float], far_call_ms: Sequence[float]
) -> InARow | None:
    """Durations of checkpoints and latencies of calls, one number a repetition, paired by it; a disk's calls take 0.

    None without a repetition, or where calls do not take longer. ValueError where they do not pair up.
    """
    near, far, near_call, far_call = (
        np.asarray(each, dtype=float) for each in (near_ms, far_ms, near_call_ms, far_call_ms)
    )
    if not near.size == far.size == near_call.size == far_call.size:
        raise ValueError(f"repetitions do not pair up: {near.size}, {far.size}, {near_call.size}, {far_call.size}")
    longer = far_call - near_call
    if not near.size or not (longer > 0).all():
        return None
    calls, low, high = mean_interval(((far - near) / longer).tolist())
    return InARow(calls, low, high, float(near.mean()), float(far.mean()), float(longer.mean()), int(near.size))
