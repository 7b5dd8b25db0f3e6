"""Tiered topics: what is on the brokers' disks and in the remote store, and reading all of it from its beginning."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from bench import measure
from bench.errors import BrokerError
from bench.loadgen import start_consumers
from bench.measure import Findings
from bench.record import Check
from bench.scenario import Trial
from bench.topics import Names
from bench.trial.notes import Notes, Seen
from bench.trial.stage import Stage

LEAST_S = 60.0
SLOWEST_EPS = 10_000.0  # a remote store may be slow; a reader that is slower than this for the whole topic has stopped


def measure_places(found: Findings, seen: Seen, copies: int) -> None:
    """Where the topic's bytes were when the window ended, and how far behind the remote store was throughout.

    From the series `local_log_bytes` (all copies), `tiered_log_bytes` (once) and `broker_bytes_in`.
    """
    samples, window = seen.samples, seen.window
    written = samples.at("broker_bytes_in", window.to_s)
    found.put("local_share", measure.share(samples.at("local_log_bytes", window.to_s), written * copies))
    found.put("tiered_share", measure.share(samples.at("tiered_log_bytes", window.to_s), written))
    lags = upload_lags_s(samples.series("broker_bytes_in"), samples.series("tiered_log_bytes"))
    inside = lags[(lags.t_s >= window.from_s) & (lags.t_s <= window.to_s)].value
    found.put("upload_lag_s", float(inside.median()) if len(inside) else math.nan)


def upload_lags_s(written: pd.DataFrame, uploaded: pd.DataFrame) -> pd.DataFrame:
    """How long ago as much had been written as is in the remote store: DataFrame(t_s, value), from its first byte on.

    The segment that is being written counts: it cannot go before it is closed.
    """
    written, uploaded = written.dropna(), uploaded.dropna()
    some = uploaded[uploaded.value > 0]
    grew = np.diff(written.value.to_numpy(dtype=float), prepend=-1.0) > 0  # equal neighbours: no inverse
    if some.empty or not grew.any():
        return pd.DataFrame({"t_s": [], "value": []}, dtype=float)
    back_s = np.interp(some.value, written.value[grew], written.t_s[grew])
    return pd.DataFrame({"t_s": some.t_s, "value": np.maximum(some.t_s - back_s, 0.0)}).reset_index(drop=True)


def read_back(trial: Trial, stage: Stage, names: Names, *, stored: int, notes: Notes) -> None:
    """One consumer reads everything; `stored`: events by the end offsets. BrokerError when it does not get through."""
    partitions = trial.settings.topic.partitions
    consuming = start_consumers(
        [{"group": "history", "members": 1}],
        bootstrap=stage.cluster.bootstrap,
        topic=names.input,
        partitions=partitions,
        run_dir=stage.run_dir / names.run / "history",
        fmt=trial.value_format,
        every=1 << 30,  # no latencies: it reads after the event
        spawn=stage.spawn,
    )
    try:
        consuming.begin(partitions)
        patience_s = LEAST_S + stored / SLOWEST_EPS
        if not consuming.wait_for(stored, patience_s):
            raise BrokerError(
                f"reading {names.input} from its beginning: {consuming.positions()['history']:,} of {stored:,} events "
                f"came in {patience_s:.0f} s" + "".join(f"; {said}" for said in consuming.dead())
            )
        [read] = consuming.stop()
    finally:
        consuming.kill()
    notes.invalid += read.failures
    notes.found.put("history_eps", read.by_member[0].flat_out_eps)
    name = "everything could be read from its beginning"
    notes.checks.append(Check(name, stored, read.records, stored == read.records > 0))
