"""What several workers wrote down, as one: rows at slightly different moments become one row a second."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.histogram import LogLinearHistogram
from bench.loadgen.schedule import Schedule
from bench.loadgen.sender import Mode

SUMS = (
    "offered", "offered_bytes", "acked", "failed", "queue_full_s", "blocked_s", "cpu_s", "tx_bytes", "rx_bytes",
    "tx_requests", "tx_messages", "produce_requests", "batches", "batch_records", "batch_bytes",
)  # fmt: skip
FROM_STATS = SUMS[7:]  # as of the client's last statistics, not of the row's own time
STATES = ("queued", "rss_bytes")
WORST = ("lateness_p99_ms", "lateness_max_ms", "rtt_avg_ms", "rtt_p99_worst_broker_ms")


def seconds(rows: list[list[dict[str, float]]], schedule: Schedule, duration_s: float, mode: Mode) -> pd.DataFrame:
    """Workers' rows (totals at slightly different moments) as one row a second: interpolated at whole seconds."""
    end_s = max((r[-1]["t_s"] for r in rows if r), default=0.0)
    grid = np.arange(0, math.ceil(end_s - 1e-9) + 1, dtype=np.float64)
    data: dict[str, np.ndarray[Any, Any]] = {}
    for name in SUMS:
        clock = "stats_t_s" if name in FROM_STATS else "t_s"
        data[name] = np.diff(sum((_at(r, clock, name, grid) for r in rows), np.zeros(len(grid))))
    for name in STATES:
        data[name] = sum((_at(r, "t_s", name, grid) for r in rows), np.zeros(len(grid)))[1:]
    for name in WORST:
        data[name] = np.max([_at(r, "t_s", name, grid) for r in rows], axis=0)[1:]
    frame = pd.DataFrame(data, index=pd.Index(grid[1:], name="t_s"))
    if mode == "paced":
        frame["target"] = np.diff(schedule.due_before(np.minimum(grid, duration_s))).astype(np.float64)
    return frame


def _at(rows: list[dict[str, float]], clock: str, name: str, grid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    points = {r[clock]: r[name] for r in rows if clock in r and name in r}
    if not points:
        return np.full(len(grid), np.nan)
    times, values = np.array(list(points)), np.array(list(points.values()))
    if name in SUMS and name != "cpu_s" and times[0] > 0:
        times, values = np.concatenate(([0.0], times)), np.concatenate(([0.0], values))
    return np.interp(grid, times, values)


def last(result: Mapping[str, Any], rows: list[dict[str, float]], name: str) -> float:
    """The total at the end, or as last written by a worker that died."""
    return float(result[name] if name in result else rows[-1][name] if rows else 0)


def histogram(plain: Sequence[Any]) -> LogLinearHistogram:
    """From the three arrays that a worker hands in."""
    buckets, counts, exact = plain
    return LogLinearHistogram.from_arrays(buckets, counts, exact, "ms")


def merged(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name, added up."""
    total: dict[str, int] = {}
    for part in counts:
        for name, n in part.items():
            total[name] = total.get(name, 0) + int(n)
    return total
