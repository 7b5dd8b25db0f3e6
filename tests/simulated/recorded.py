"""What the noise of the real local cluster is like: fitted to the recorded A/A runs in studies/noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from bench import record
from bench.analysis.slope import autocorrelation
from bench.noise import RECORDED
from bench.record import Run

F64 = npt.NDArray[np.float64]
WINDOW_S = (4.0, 14.0)  # of scenarios/noise.yaml
OUTLIER = 3.5  # robust standard deviations (Iglewicz & Hoaglin 1993)


@dataclass(frozen=True)
class Level:
    """How one metric varies from run to run: `cv` about a `drift` a run; a `share` are outliers, `factor` times off."""

    cv: float
    drift: float
    share: float
    factor: float

    def draw(self, rng: np.random.Generator, runs: int) -> F64:
        """Values of successive runs about 1."""
        logs = self.drift * np.arange(runs) + self.cv * rng.standard_normal(runs)
        off = rng.random(runs) < self.share
        drawn: F64 = np.exp(logs + off * np.log(self.factor))
        return drawn


@dataclass(frozen=True)
class Noise:
    """Within a run (per-second CPU per event, the inverse of a system's speed) and from run to run."""

    second_sd: float
    second_rho: float
    cpu: Level
    p99: Level
    disk: Level


@cache
def runs() -> tuple[Run, ...]:
    """The recorded runs in the order in which they ran."""
    found = [record.load(bundle) for bundle in record.find(RECORDED)]
    return tuple(sorted(found, key=lambda run: run.started_utc))


@cache
def fitted() -> Noise:
    """Everything the simulated systems take from the recording."""
    spreads, memories = [], []
    for run in runs():
        assert run.bundle is not None
        cost = _cost_by_second(run)
        logs = np.log(cost)
        line = np.polyval(np.polyfit(np.arange(logs.size), logs, 1), np.arange(logs.size))
        spreads.append(float((logs - line).std(ddof=2)))
        memories.append(autocorrelation(logs - line))
    return Noise(
        float(np.median(spreads)), float(np.median(memories)),
        _level([run.metrics["flink_cpu_s_per_million_events"].value for run in runs()]),
        _level([(run.metrics["e2e_latency_ms"].percentiles or {})["p99"] for run in runs()]),
        _level([run.metrics["disk_bytes_per_event"].value for run in runs()]),
    )  # fmt: skip


def _cost_by_second(run: Run) -> F64:
    """Flink's CPU-seconds per event in each second of the measured window."""
    assert run.bundle is not None
    series = record.load_series(run.bundle)
    grid = np.arange(WINDOW_S[0], WINDOW_S[1] + 1)
    at = {name: np.interp(grid, *series[name].dropna().to_numpy(dtype=float).T)
          for name in ("flink_cpu_s", "source_events")}  # fmt: skip
    cost: F64 = np.diff(at["flink_cpu_s"]) / np.diff(at["source_events"])
    return cost


def _level(values: Sequence[float]) -> Level:
    """Theil-Sen for the drift and robust spreads, so that outliers do not hide themselves."""
    logs = np.log(np.asarray(values))
    first, second = np.triu_indices(logs.size, k=1)
    drift = float(np.median((logs[second] - logs[first]) / (second - first)))
    rest = logs - drift * np.arange(logs.size)
    rest -= np.median(rest)
    sd = 1.4826 * float(np.median(np.abs(rest)))
    off = np.abs(rest) > OUTLIER * sd
    factor = float(np.exp(np.median(np.abs(rest[off])))) if off.any() else 1.0
    return Level(float(rest[~off].std(ddof=1)), drift, float(off.mean()), factor)
