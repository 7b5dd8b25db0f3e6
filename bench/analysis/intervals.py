"""Means with t intervals. The run is the unit of analysis: one number per run goes in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """One number with its 95 % interval; `low` and `high` are None where one run cannot give one.

    `kind`: mean (in `unit`), ratio (changed over base), probability (share of a cost simulation's draws), count.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str = ""
    kind: str = "mean"


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float | None, float | None]:
    """(mean, low, high) by Student's t over independent runs; no interval from one. ValueError from none."""
    x = np.asarray(values, dtype=float)
    if not x.size:
        raise ValueError("a mean of no runs")
    mean = float(x.mean())
    if x.size < 2:
        return mean, None, None
    from scipy import special  # a tenth of a second that one run does not need

    half = float(special.stdtrit(x.size - 1, 0.5 + confidence / 2) * x.std(ddof=1) / np.sqrt(x.size))
    return mean, mean - half, mean + half


ANY = (-np.inf, np.inf)


def estimate(metric: str, unit: str, values: Sequence[float], within: tuple[float, float] = ANY) -> Estimate:
    """The mean over runs with its 95 % t interval, cut to `within`, what the metric can be at all.

    The cut costs no coverage: a rate below zero or a share above one was never a candidate. A run that itself lies
    outside (a share of 1.01 by rounding of two clocks) moves the bound.
    """
    mean, low, high = mean_interval(values)
    if low is not None and high is not None:
        low, high = max(low, min(within[0], *values)), min(high, max(within[1], *values))
    return Estimate(metric, mean, low, high, len(values), unit)
