"""A broker's CPU by what causes it: each event, each batch, and being up at all.

CPU-seconds for a million events depend on the rate (a broker that idles at 2,000 events a second spends most of them on
being up) and on how many events a batch holds. Neither carries over to another rate as it stands; the parts do:

    CPU-s per event = event + batch / events in a batch + up / events a second
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

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

    None: the runs cannot tell it, and it is within `event`. `off`: root mean square of the fit's relative error.
    """

    event: float
    batch: float | None
    up: float | None
    off: float

    def per_million(self, batch_events: float) -> float:
        """CPU-seconds for a million events in such batches, without being up."""
        return self.event + (self.batch or 0.0) / batch_events


def fit(runs: Sequence[Spent]) -> Parts | None:
    """Non-negative least squares of relative errors. None without runs."""
    if not runs:
        return None
    rates, batches = [run.rate_eps for run in runs], [run.batch_events for run in runs]
    by_rate = max(rates) / min(rates) >= RATES_APART
    by_batch = max(batches) / min(batches) >= BATCHES_APART
    if not by_rate and not by_batch:
        mean = fmean(run.per_million for run in runs)
        return Parts(mean, None, None, _off([run.per_million / mean for run in runs]))
    import numpy as np
    from scipy.optimize import nnls

    columns = [[1.0 for _ in runs]]
    if by_batch:
        columns.append([1 / run.batch_events for run in runs])
    if by_rate:
        columns.append([1e6 / run.rate_eps for run in runs])
    spent = np.array([run.per_million for run in runs])
    rows = np.array(columns).T / spent[:, None]
    found, _ = nnls(rows, np.ones(len(runs)))
    parts = [float(one) for one in found]
    return Parts(
        parts[0], parts[1] if by_batch else None, parts[-1] if by_rate else None, _off((rows @ found).tolist())
    )


def _off(ratios: Sequence[float]) -> float:
    return float(fmean([(ratio - 1) ** 2 for ratio in ratios]) ** 0.5)
