"""How much one setting changes a number: ratio of geometric means, paired where runs are neighbours in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

FEWEST_FOR_BOOTSTRAP = 5
# Pairs of a tail whose interval is by ranks. Six would all have to lie on one side (1 of 32 by chance); from thirteen
# on a mean with outliers is normal enough for t, which then decides more
RANKED = range(7, 13)
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
    def how(self) -> str:
        """What its interval rests on, in words."""
        return f"{self.n} pairs"

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
        from scipy import stats  # half a second that no report needs

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


@dataclass(frozen=True)
class RankRatio(Ratio):
    """The same of a tail, whose runs have outliers: Hodges and Lehmann's estimate, Wilcoxon's exact interval.

    Supposes of the pairs' log differences that they are symmetric, as those of two arms with the same noise are, and
    nothing of their tails. A t interval is too wide there: with the recorded p99 and eight pairs it covers in 98 %.
    `log_mean` is the median of the differences' pairwise means.
    """

    @property
    def how(self) -> str:
        """What its interval rests on, in words."""
        return f"{self.n} pairs, by ranks"

    def log_interval(self, confidence: float) -> tuple[float, float]:
        """By the exact signed-rank distribution, at least this confidence; infinite where so few pairs have none."""
        means, cut = _walsh(self.differences), _cut(self.n, confidence)
        return (float(means[cut]), float(means[-1 - cut])) if cut >= 0 else (-np.inf, np.inf)

    def p_above(self, log_limit: float) -> float:
        """One-sided p value, exact; ties count against."""
        return float(_signed_ranks(self.n)[int((_walsh(self.differences) <= log_limit).sum())])

    def p_below(self, log_limit: float) -> float:
        """One-sided p value, exact; ties count against."""
        return float(_signed_ranks(self.n)[int((_walsh(self.differences) >= log_limit).sum())])


def is_tail(stat: str) -> bool:
    """Whether a stat is about the slowest few: p90 and beyond, the maximum."""
    return stat == "max" or (stat[:1] == "p" and stat[1:].replace(".", "").isdigit() and float(stat[1:]) >= 90)


def paired(base: Sequence[float], changed: Sequence[float], stat: str = "value") -> Ratio | None:
    """From pairs of neighbours (the same repetition); None with fewer than two pairs or a value that is not positive.

    t interval of the mean of log differences: the run is the unit, as Georges et al. (OOPSLA 2007) ask for. Of a tail
    the exact rank interval, where pairs are neither too few nor many: that `stat` decides it beforehand, and not the
    data, is what keeps its coverage.
    """
    x, y = np.asarray(base, dtype=float), np.asarray(changed, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"{x.size} base runs cannot be paired with {y.size}")
    if x.size < 2 or not _positive(x, y):
        return None
    logs = np.log(y) - np.log(x)
    se = float(logs.std(ddof=1) / np.sqrt(logs.size))
    about = (se, logs.size - 1, logs.size, True, _geometric(x), tuple(map(float, logs)))
    if is_tail(stat) and logs.size in RANKED:
        return RankRatio(float(np.median(_walsh(logs))), *about)
    return Ratio(float(logs.mean()), *about)


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


def rank_level(n: int, confidence: float) -> float:
    """The one-sided error of an exact rank interval at this confidence: the largest that n pairs have, below it."""
    cut = _cut(n, confidence)
    return float(_signed_ranks(n)[cut]) if cut >= 0 else 0.0


def _walsh(differences: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means of all pairs of differences, each with itself too, sorted."""
    d = np.asarray(differences, dtype=float)
    first, second = np.triu_indices(d.size)
    return np.sort((d[first] + d[second]) / 2)


def _cut(n: int, confidence: float) -> int:
    """How many of the sorted means an interval leaves out on each side; -1 where no interval is that sure."""
    return int(np.searchsorted(_signed_ranks(n), (1 - confidence) / 2 * (1 + 1e-9), side="right")) - 1


@cache
def _signed_ranks(n: int) -> npt.NDArray[np.float64]:
    """P(W <= w), w = 0, 1, ...: the signed-rank statistic of n pairs between which nothing differs."""
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] += ways[:-rank].copy()
    return np.cumsum(ways) / 2.0**n


def _positive(*arms: npt.NDArray[np.float64]) -> bool:
    return all(bool(np.isfinite(arm).all() and (arm > 0).all()) for arm in arms)


def _geometric(values: npt.NDArray[np.float64]) -> float:
    return float(np.exp(np.log(values).mean()))
