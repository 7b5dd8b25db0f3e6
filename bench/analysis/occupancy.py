"""How a Flink task spent its time, from the counters that Flink keeps of it: shares that lie between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

STATES = ("busy_ms", "backpressured_ms", "idle_ms")
BEGAN_ANEW = 0.5  # as `probes.BEGAN_ANEW`: a task's age that falls below half of itself is a new attempt's


def tasks(series: Mapping[str, pd.DataFrame]) -> list[str]:
    """The tasks of which anything was told, in topological order."""
    found = {name.partition(":")[2] for name in series if name.startswith(STATES)}
    return sorted(found, key=lambda task: (len(task), task))


def spent(series: Mapping[str, pd.DataFrame], task: str) -> dict[str, pd.DataFrame]:
    """`busy_ms`, `backpressured_ms` and `whole_ms`, summed over the task's subtasks: (t_s, value) each; {} if unknown.

    Flink's TaskIOMetricGroup says busy = now - start - idle - backpressured, and enters a wait when it ends, or every
    5 s. So the three together are the clock of Flink's answer, whatever the age that answer had when it was sampled (up
    to 0.2 s: of a drain of 2 s that is a tenth, and shares by the sampler's clock came to 1.09). And a wait under way
    counts as busy until it is entered, when the account falls back: what was worked by then is at most what any later
    answer says.
    """
    parts = [series[name].set_index("t_s")["value"] for state in STATES if (name := f"{state}:{task}") in series]
    if len(parts) < len(STATES):
        return {}
    told = pd.concat(parts, axis=1, keys=STATES).dropna()
    whole = told.sum(axis=1)
    attempt = (whole.to_numpy()[1:] < BEGAN_ANEW * whole.to_numpy()[:-1]).cumsum()
    from_behind = told["busy_ms"].groupby(np.r_[0, attempt][: len(told)]).transform(lambda busy: busy[::-1].cummin())
    found = {"busy_ms": from_behind, "backpressured_ms": told["backpressured_ms"], "whole_ms": whole}
    return {name: column.rename("value").reset_index() for name, column in found.items()}
