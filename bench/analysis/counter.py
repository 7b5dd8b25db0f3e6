"""A cumulative counter between two moments, from samples of it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

# A counter that falls below half of itself is a new process's. Less is jitter: Flink counts a wait as busy time until
# it is over, and steps back then (`occupancy`)
BEGAN_ANEW = 0.5


def anew(value: F64) -> npt.NDArray[np.intp]:
    """Index of each sample before which it began anew."""
    return np.flatnonzero(value[1:] < BEGAN_ANEW * value[:-1]) + 1


def at(t_s: F64, value: F64, when_s: float) -> float:
    """What it said then, linear between the samples around it; NaN outside of them, or with fewer than two."""
    if len(t_s) < 2 or not t_s[0] <= when_s <= t_s[-1]:
        return math.nan
    return float(np.interp(when_s, t_s, value))


def growth(t_s: F64, value: F64, from_s: float, to_s: float) -> float:
    """How much it grew between the two moments; NaN when either was not sampled, or it began anew in between."""
    starts = anew(value)
    if ((t_s[starts] > from_s) & (t_s[starts - 1] < to_s)).any():
        return math.nan
    return at(t_s, value, to_s) - at(t_s, value, from_s)
