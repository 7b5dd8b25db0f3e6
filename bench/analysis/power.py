"""How many runs a decision takes: what `plan` promises before, and what an inconclusive verdict asks for after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
from scipy import optimize, special

from bench.analysis.ratio import RANKED, is_tail, rank_level

POWER = 0.80
CV = 0.037  # run to run, where a host has no A/A runs of its own (Dynatrace's study of cloud benchmarks: below 3.7 %)
MOST_REPEATS = 1_000  # beyond this an effect is too near the limit to be worth deciding


def sd_of_pairs(cv: float) -> float:
    """Standard deviation of a pair's log difference when each run varies by `cv` on its own."""
    return float(np.sqrt(2.0) * cv)


def half_width(sd: float, n: int, confidence: float = 0.95) -> float:
    """Half of the t interval of a mean of n numbers with standard deviation `sd`; infinite for one."""
    if n < 2:
        return float("inf")
    return float(special.stdtrit(n - 1, 0.5 + confidence / 2) * sd / np.sqrt(n))


def power_to_support(log_effect: float, log_limit: float, sd: float, n: int) -> float:
    """Chance that n pairs put the 95 % interval beyond `log_limit` if the true effect is `log_effect`.

    Noncentral t: the exact power of a one-sided test at 2.5 %. Effects and limits are taken towards the claimed side.
    """
    if n < 2:
        return 0.0
    if sd == 0:
        return float(log_effect > log_limit)
    return _power((log_effect - log_limit) / sd, n, 0.025)


def power_to_refute(log_effect: float, log_limit: float, sd: float, n: int) -> float:
    """Chance that n pairs put the 90 % interval short of `log_limit` if the true effect is `log_effect`."""
    if n < 2:
        return 0.0
    if sd == 0:
        return float(log_effect < log_limit)
    return _power((log_limit - log_effect) / sd, n, 0.05)


def decidable_effect(cv: float, n: int, d: float, power: float = POWER, stat: str = "value") -> float:
    """The true increase (a share) that n paired repeats find to be at least d with this power; infinite for n < 2.

    Run-to-run variation 3.7 %, d = 5 %: n = 5 decides near 14 %, n = 8 near 11 %. Where `stat` is a tail whose
    interval is by ranks, their exact level and their efficiency for normal noise (3/pi) are reckoned with.
    """
    if n < 2:
        return float("inf")
    if cv == 0:
        return d
    level, efficiency = 0.025, 1.0
    if is_tail(stat) and n in RANKED:
        level, efficiency = rank_level(n, 0.95), 3 / np.pi
    needed = optimize.brentq(lambda shift: _power(shift * efficiency**0.5, n, level) - power, 0.0, 1e3)
    return float(np.expm1(np.log1p(d) + needed * sd_of_pairs(cv)))


def repeats_for_precision(cv: float, precision: float, *, pairs: bool = True) -> int | None:
    """Repeats until the 95 % interval's half-width is at most `precision` (a share); None beyond 1,000.

    `pairs`: of a ratio between two arms; else of one cell's mean.
    """
    sd = sd_of_pairs(cv) if pairs else cv
    goal = float(np.log1p(precision))
    return _first(lambda n: half_width(sd, n) <= goal)


def repeats_to_decide(log_effect: float, log_limit: float, sd: float, power: float = POWER) -> int | None:
    """Pairs that decide with this power, if the effect and its spread are what was seen; None beyond 1,000."""
    power_of = power_to_support if log_effect >= log_limit else power_to_refute
    return _first(lambda n: power_of(log_effect, log_limit, sd, n) >= power)


def cv_of(values: Sequence[float]) -> float:
    """Coefficient of variation of repeated runs, from logs; NaN from fewer than two."""
    x = np.log(np.asarray(values, dtype=float))
    return float(x.std(ddof=1)) if x.size > 1 else float("nan")


def pooled_cv(cells: Iterable[Sequence[float]]) -> float | None:
    """Run-to-run variation pooled over cells of repeated runs, from logs; None where no cell has two positive values.

    What `plan` puts in the place of CV once this host has runs of its own.
    """
    squares, freedom = 0.0, 0
    for values in cells:
        x = np.asarray(values, dtype=float)
        if x.size > 1 and (x > 0).all():
            squares += float(np.log(x).var(ddof=1)) * (x.size - 1)
            freedom += x.size - 1
    return float(np.sqrt(squares / freedom)) if freedom else None


@cache
def _power(shift: float, n: int, alpha: float) -> float:
    """One-sided t test's power for a shift in standard deviations of one pair."""
    found = 1.0 - float(special.nctdtr(n - 1, shift * np.sqrt(n), special.stdtrit(n - 1, 1 - alpha)))
    return found if np.isfinite(found) else float(shift > 0)  # NaN far out, where power is 0 or 1


def _first(holds: Callable[[int], bool]) -> int | None:
    """The smallest n from 2 to 1,000 at which `holds`, which never turns false again."""
    if not holds(MOST_REPEATS):
        return None
    low, high = 1, MOST_REPEATS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
