"""How fast a series grows: Theil-Sen slopes with bounds that hold for autocorrelated samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

FEWEST = 8  # below this a rank interval at 95 % hardly exists
_MOST = 600  # pairs grow with the square: longer series are averaged down to this many points


@dataclass(frozen=True)
class Slope:
    """Median slope per second with its 95 % bounds; `n` samples present, `effective_n` of independent worth."""

    per_s: float
    low: float
    high: float
    n: int
    effective_n: float


def theil_sen(t_s: npt.ArrayLike, values: npt.ArrayLike, confidence: float = 0.95) -> Slope | None:
    """Median of all pairwise slopes, with Sen's rank interval; None with fewer than 8 samples present (NaN is missing).

    Sen's interval (JASA 1968) supposes independent residuals. A backlog's are not: a burst stays in it for seconds. The
    variance of Kendall's S is therefore multiplied by n/n* (Hamed & Rao 1998; Yue & Wang 2004) with n* from the
    residuals' lag-1 autocorrelation r, n/n* = (1 + r) / (1 - r). Where r > 0, Student's quantile with n* - 2 degrees of
    freedom (at least 8) replaces the normal one, since the variance is then an estimate. By simulation with 30 samples
    it covers 95-97 % up to r = 0.8, 93 % at 0.9. The bounds are infinite where no interval can be had (15 samples at
    r = 0.8: in half of the series).
    """
    t, y = np.asarray(t_s, dtype=float), np.asarray(values, dtype=float)
    present = np.isfinite(t) & np.isfinite(y)
    t, y = t[present], y[present]
    n = int(t.size)
    if n < FEWEST or np.ptp(t) == 0:
        return None
    if n > _MOST:
        parts = np.array_split(np.arange(n), _MOST)
        t, y = np.array([t[p].mean() for p in parts]), np.array([y[p].mean() for p in parts])
    first, second = np.triu_indices(t.size, k=1)
    apart = t[second] - t[first]
    slopes = np.sort((y[second] - y[first])[apart != 0] / apart[apart != 0])
    middle = float(np.median(slopes))
    inflation = _inflation(y - middle * t)
    m = t.size
    variance = m * (m - 1) * (2 * m + 5) / 18 * inflation
    # S of independent samples has a known variance; with an estimated one its quantile is Student's
    freedom = max(m / inflation - 2, FEWEST) if inflation > 1 else np.inf
    reach = float(special.stdtrit(freedom, 0.5 + confidence / 2)) * np.sqrt(variance)
    low = int(np.floor((slopes.size - reach) / 2))
    high = int(np.ceil((slopes.size + reach) / 2))
    if low < 0 or high >= slopes.size:  # too few independent samples for any interval at this confidence
        return Slope(middle, float("-inf"), float("inf"), n, n / inflation)
    return Slope(middle, float(slopes[low]), float(slopes[high]), n, n / inflation)


def autocorrelation(values: npt.ArrayLike) -> float:
    """Lag-1 autocorrelation of detrended residuals, within 0 and 0.95; 0 when they are constant.

    Corrected for its bias in short series, about (2 + 4r) / n once a line was taken out (Kendall 1954).
    """
    x = np.asarray(values, dtype=float)
    x = x - x.mean()
    power = float(x @ x)
    if x.size < FEWEST or power == 0:
        return 0.0
    r: float = (x.size * float(x[1:] @ x[:-1]) / power + 2) / (x.size - 4)
    return min(max(r, 0.0), 0.95)


def _inflation(residuals: npt.NDArray[np.float64]) -> float:
    r: float = autocorrelation(residuals)
    return (1 + r) / (1 - r)
