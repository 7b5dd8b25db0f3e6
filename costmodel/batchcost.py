"""A broker's CPU by what causes it: each event, each batch, and being up at all.

CPU-seconds for a million events depend on the rate (a broker that idles at 2,000 events a second spends most of them on
being up) and on how many events a batch holds. Neither carries over to another rate as it stands; the parts do:

    CPU-s per event = event + batch / events in a batch + up / events a second
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

RATES_APART = 2.0  # least ratio of the highest to the lowest rate that tells being up from the events
BATCHES_APART = 1.5  # likewise of batches


@dataclass(frozen=True)
class Spent:
    """One run: CPU-seconds for a million events, events in a batch, events a second."""

    per_million: float
    batch_events: float
    rate_eps: float


@dataclass(frozen=True)
class Parts:
    """Fitted parts, CPU-seconds a million (events, batches), CPU-seconds a second (`up`); never below 0.

    None: the runs cannot tell it, and it is within `event`. `covariance` of (event, batch), from what `freedom` degrees
    of it are left over: how far the fit itself is uncertain, with a part that is held at 0 taken to be so.
    """

    event: float
    batch: float | None
    up: float | None
    covariance: tuple[tuple[float, float], tuple[float, float]]
    freedom: int

    def per_million(self, batch_events: float) -> float:
        """CPU-seconds for a million events in such batches, without being up."""
        return self.event + (self.batch or 0.0) / batch_events

    def half_width(self, batch_events: float) -> float | None:
        """Half of the 95 % t-interval of that; None where there are no more runs than parts."""
        if self.freedom < 1:
            return None
        from scipy.special import stdtrit

        (event, both), (_, batch) = self.covariance
        variance = event + 2 * both / batch_events + batch / batch_events**2
        return float(stdtrit(self.freedom, 0.975)) * math.sqrt(max(variance, 0.0))


def fit(runs: Sequence[Spent]) -> Parts | None:
    """Non-negative least squares of relative errors; a mean where the runs are all alike. None without runs."""
    if not runs:
        return None
    rates, batches = [run.rate_eps for run in runs], [run.batch_events for run in runs]
    by_rate = max(rates) / min(rates) >= RATES_APART
    by_batch = max(batches) / min(batches) >= BATCHES_APART
    spent = [run.per_million for run in runs]
    if not by_rate and not by_batch:
        variance = stdev(spent) ** 2 / len(spent) if len(spent) > 1 else 0.0
        return Parts(fmean(spent), None, None, ((variance, 0.0), (0.0, 0.0)), len(spent) - 1)
    import numpy as np
    from scipy.optimize import nnls

    columns = [[1.0 for _ in runs]]
    if by_batch:
        columns.append([1 / run.batch_events for run in runs])
    if by_rate:
        columns.append([1e6 / run.rate_eps for run in runs])
    rows = np.array(columns).T / np.array(spent)[:, None]
    found, rest = nnls(rows, np.ones(len(runs)))
    parts = [float(one) for one in found]
    free = [at for at, part in enumerate(parts) if part > 0]
    freedom = len(runs) - len(free)
    covariance = np.zeros((3, 3))
    if freedom > 0:
        covariance[np.ix_(free, free)] = np.linalg.pinv(rows[:, free].T @ rows[:, free]) * float(rest) ** 2 / freedom
    about = covariance[:2, :2] if by_batch else np.diag([covariance[0, 0], 0.0])
    (event, both), (_, batch) = about.tolist()
    return Parts(
        parts[0], parts[1] if by_batch else None, parts[-1] if by_rate else None,
        ((event, both), (both, batch)), freedom,
    )  # fmt: skip
