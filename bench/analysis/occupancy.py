"""How a Flink task spent its time, from the counters that Flink keeps of it: shares that lie between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis import counter

STATES = ("busy_ms", "backpressured_ms", "idle_ms")
F64 = npt.NDArray[np.float64]


def tasks(series: Mapping[str, pd.DataFrame]) -> list[str]:
    """The tasks of which anything was told, in topological order."""
    found = {name.partition(":")[2] for name in series if name.startswith(STATES)}
    return sorted(found, key=lambda task: (len(task), task))


def spent(series: Mapping[str, pd.DataFrame], task: str) -> dict[str, F64]:
    """`t_s`, `busy_ms`, `backpressured_ms`, `whole_ms`: a task's account, its subtasks together; {} if it is unknown.

    Flink's TaskIOMetricGroup says busy = now - start - idle - backpressured, and enters a wait when it ends, or every
    5 s. So the three together are the clock of Flink's answer, whatever the age that answer had when it was sampled (up
    to 0.2 s: of a drain of 2 s that is a tenth, and shares by the sampler's clock came to 1.09). And a wait under way
    counts as busy until it is entered, when the account falls back: what was worked by then is at most what any later
    answer says.
    """
    names = [f"{state}:{task}" for state in STATES]
    if not all(name in series for name in names):
        return {}
    t_s, busy, waiting, idle = _together([series[name] for name in names])
    whole = busy + waiting + idle
    # where the whole begins anew a new attempt at the task does
    attempts = [np.minimum.accumulate(one[::-1])[::-1] for one in np.split(busy, counter.anew(whole))]
    return {"t_s": t_s, "busy_ms": np.concatenate(attempts), "backpressured_ms": waiting, "whole_ms": whole}


def _together(tables: list[pd.DataFrame]) -> list[F64]:
    """Times and values of the samples that all of the tables have."""
    times = [table["t_s"].to_numpy(dtype=float) for table in tables]
    values = [table["value"].to_numpy(dtype=float) for table in tables]
    if any(not np.array_equal(times[0], other) for other in times[1:]):  # one answer of Flink's is one sample of each
        shared = np.intersect1d(np.intersect1d(times[0], times[1]), times[2])
        values = [column[np.isin(t_s, shared)] for t_s, column in zip(times, values, strict=True)]
        times[0] = shared
    told = np.isfinite(values).all(axis=0)
    return [column[told] for column in (times[0], *values)]
