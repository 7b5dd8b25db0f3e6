"""Where warm-up ends, and whether what follows is steady: tested, not assumed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

BATCH = 5  # the 5 in MSER-5
DRIFT_LIMIT = 0.05  # last third against middle third
MISSING_LIMIT = 0.05  # a series with more holes than this proves nothing
FEWEST = 4 * BATCH


class State(StrEnum):
    """What to do with a trial whose warm-up is over by the clock."""

    STEADY = "steady"
    EXTEND = "extend"  # measure longer, once
    NONE = "no steady state"
    UNTESTED = "not tested"  # too little was seen to say


@dataclass(frozen=True)
class Steadiness:
    """`warmup` samples to cut from the front, `drift` of the last third against the middle third (a share)."""

    state: State
    warmup: int
    drift: float
    reason: str  # "" when steady


def warmup_end(values: npt.ArrayLike, batch: int = BATCH) -> int:
    """Samples to cut from the front by MSER-5 (White 1997): the cut that leaves the mean with the least standard error.

    Series are averaged in batches of five. No cut goes beyond half of the series: a later minimum is not to be trusted,
    and the drift test then decides.
    """
    x = np.asarray(values, dtype=float)
    batches = x[: x.size // batch * batch].reshape(-1, batch).mean(axis=1)
    k = batches.size
    if k < 2:
        return 0
    errors = [float(batches[d:].var()) / (k - d) for d in range(k // 2 + 1)]
    return int(np.argmin(errors)) * batch


def still_warming(values: npt.ArrayLike, cut: int) -> float:
    """How much the beginning differs from the rest (a share) where MSER-5 would cut `cut` samples; 0 where none.

    The beginning is what would be cut, or the first third if that is longer: a hiccup that is made up for within it is
    no warm-up.
    """
    x = np.asarray(values, dtype=float)
    head = max(cut, x.size // 3)
    if not cut or not np.isfinite(x).any() or head >= x.size:
        return 0.0
    rest = float(np.nanmean(x[head:]))
    return (float(np.nanmean(x[:head])) - rest) / abs(rest) if rest else float("inf")


def by(change: float) -> str:
    """The end of "it differs from that": by how much, where that is not nothing."""
    return f" by {change:+.1%}" if np.isfinite(change) else ", in which there was nothing"


def assess(values: npt.ArrayLike, *, extended: bool = False) -> Steadiness:
    """Whether a series (a rate, a latency; equal spacing, NaN where missing) is steady after its warm-up.

    Not steady: extend once, then there is no steady state. Drift is the change of the mean from the middle third to the
    last third of what is left. Fewer than 20 samples, or more than 5 % of them missing, are never steady.
    """
    x = np.asarray(values, dtype=float)
    present = np.isfinite(x)
    otherwise = State.NONE if extended else State.EXTEND
    if x.size < FEWEST:
        return Steadiness(otherwise, 0, float("nan"), f"{x.size} samples, at least {FEWEST} are needed")
    if (missing := 1 - float(present.mean())) > MISSING_LIMIT:
        return Steadiness(otherwise, 0, float("nan"), f"{missing:.0%} of the samples are missing")
    filled = np.interp(np.arange(x.size), np.flatnonzero(present), x[present])
    cut = warmup_end(filled)
    kept = filled[cut:]
    third = kept.size // 3
    middle, last = float(kept[third : 2 * third].mean()), float(kept[2 * third :].mean())
    if middle == last:
        return Steadiness(State.STEADY, cut, 0.0, "")
    drift = (last - middle) / abs(middle) if middle else float("inf")
    if abs(drift) < DRIFT_LIMIT:
        return Steadiness(State.STEADY, cut, drift, "")
    return Steadiness(otherwise, cut, drift, f"the last third differs from the middle third{by(drift)}")
