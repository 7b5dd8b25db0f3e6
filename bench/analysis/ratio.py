"""How much one setting changes a number: ratio of geometric means, paired where runs are neighbours in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

FEWEST_FOR_BOOTSTRAP = 5
MOST = 1e6  # times more: where the interval of two pairs that have nothing in common ends, and no number for a sentence


@dataclass(frozen=True)
class Ratio:
    """Changed over base, from logs. `se` is the standard error of `log_mean` with `df` degrees of freedom."""

    log_mean: float
    se: float
    df: float
    n: int  # pairs, or runs of the smaller arm when unpaired
    paired: bool
    base_mean: float  # geometric mean of the base arm, in the metric's unit
    differences: tuple[float, ...] = ()  # log differences of the pairs

    @property
    def value(self) -> float:
        """Ratio of the geometric means."""
        return float(np.exp(self.log_mean))

    def log_interval(self, confidence: float) -> tuple[float, float]:
        """Student's t interval of the log ratio."""
        half = float(special.stdtrit(self.df, 0.5 + confidence / 2)) * self.se
        return self.log_mean - half, self.log_mean + half

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The same as a ratio."""
        with np.errstate(over="ignore"):  # from two pairs that have nothing in common: no upper bound
            low, high = np.exp(self.log_interval(confidence))
        return float(low), float(high)

    def bootstrap(self, seed: int = 0) -> tuple[float, float] | None:
        """95 % bounds of the ratio by a bias-corrected bootstrap of the pairs: a check on the t interval.

        None with fewer than five pairs or no variation: resampling three numbers says nothing about the fourth.
        """
        logs = np.array(self.differences)
        if logs.size < FEWEST_FOR_BOOTSTRAP or np.ptp(logs) == 0:
            return None
        found = stats.bootstrap((logs,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(seed))
        low, high = np.exp(found.confidence_interval)
        return float(low), float(high)

    def p_above(self, log_limit: float) -> float:
        """One-sided p value of the hypothesis that the log ratio is at most `log_limit`."""
        if self.se == 0:
            return 0.0 if self.log_mean > log_limit else 1.0
        return float(special.stdtr(self.df, (log_limit - self.log_mean) / self.se))

    def p_below(self, log_limit: float) -> float:
        """One-sided p value of the hypothesis that the log ratio is at least `log_limit`."""
        if self.se == 0:
            return 0.0 if self.log_mean < log_limit else 1.0
        return float(special.stdtr(self.df, (self.log_mean - log_limit) / self.se))


def paired(base: Sequence[float], changed: Sequence[float]) -> Ratio | None:
    """From pairs of neighbours (the same repetition); None with fewer than two pairs or a value that is not positive.

    t interval of the mean of log differences: the run is the unit, as Georges et al. (OOPSLA 2007) ask for.
    """
    x, y = np.asarray(base, dtype=float), np.asarray(changed, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"{x.size} base runs cannot be paired with {y.size}")
    if x.size < 2 or not _positive(x, y):
        return None
    logs = np.log(y) - np.log(x)
    se = float(logs.std(ddof=1) / np.sqrt(logs.size))
    return Ratio(float(logs.mean()), se, logs.size - 1, logs.size, True, _geometric(x), tuple(map(float, logs)))


def unpaired(base: Sequence[float], changed: Sequence[float]) -> Ratio | None:
    """Welch's t interval on logs, for runs that were not interleaved; None with fewer than two in an arm."""
    x, y = np.asarray(base, dtype=float), np.asarray(changed, dtype=float)
    if min(x.size, y.size) < 2 or not _positive(x, y):
        return None
    a, b = np.log(x), np.log(y)
    va, vb = float(a.var(ddof=1)) / a.size, float(b.var(ddof=1)) / b.size
    se = float(np.sqrt(va + vb))
    df = (va + vb) ** 2 / (va**2 / (a.size - 1) + vb**2 / (b.size - 1)) if se else float(a.size + b.size - 2)
    return Ratio(float(b.mean() - a.mean()), se, df, min(a.size, b.size), False, _geometric(x))


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects at family-wise error `alpha` (Holm 1979)."""
    rejected = [False] * len(p_values)
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[at] > alpha / (len(p_values) - rank):
            break
        rejected[at] = True
    return rejected


def _positive(*arms: npt.NDArray[np.float64]) -> bool:
    return all(bool(np.isfinite(arm).all() and (arm > 0).all()) for arm in arms)


def _geometric(values: npt.NDArray[np.float64]) -> float:
    return float(np.exp(np.log(values).mean()))
