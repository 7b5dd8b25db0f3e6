"""Pipelines that do not exist, with a capacity that is known: a fluid queue on a fake clock, seen as a real one is.

A second of such a system takes microseconds, so that the whole chain (load, run, criteria, search, comparison, verdict)
runs thousands of times. What a probe would see is recorded as a `Run` with its series; nothing downstream knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.histogram import LogLinearHistogram
from bench.analysis.slope import theil_sen
from bench.metrics import METRICS
from bench.record import Measurement, Outcome, Run

STEP_S = 0.1
EVENTS_SEEN = 200  # sampled latencies a second
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class System:
    """A pipeline. `capacity_eps` is what it can carry for ever; everything else is how it misbehaves.

    `noise`, `rho`: standard deviation and autocorrelation (per second) of its speed; `run_noise`: from run to run.
    `collapse`: share of the capacity left while more than `collapse_s` seconds are queued. `stall_s`: it stops so long
    every `stall_every_s`, and needs the rest of the time to catch up. `drift_per_run`: its speed changes each run.
    `loses`: drops what it cannot carry instead of queueing it. `state_growth`: speed lost over a run, as its state
    grows. `cold`: share of its speed that it begins each run with, `cold_s`: until it is warm. `generator_eps`: what
    the generator can offer. `missing`: share of samples that no probe gets.
    """

    name: str
    capacity_eps: float
    noise: float = 0.0
    rho: float = 0.8
    run_noise: float = 0.0
    collapse: float = 1.0
    collapse_s: float = 0.5
    stall_s: float = 0.0
    stall_every_s: float = 5.0
    drift_per_run: float = 0.0
    loses: bool = False
    state_growth: float = 0.0
    cold: float = 1.0
    cold_s: float = 20.0
    generator_eps: float = 1e9
    missing: float = 0.0
    base_ms: float = 12.0
    cpu_s_per_million: float = 2.0
    bytes_per_event: float = 100.0
    bytes_noise: float = 0.003

    def sustainable_eps(self, window_s: float = 30.0) -> float:
        """The rate it carries: what is left after its stalls, at the end of its growth, in 4 of 5 runs.

        The mean speed over a window of an AR(1) process has variance noise^2 (1 + rho) / (1 - rho) / window; the speed
        that 80 % of runs have lies 0.84 standard deviations below the mean.
        """
        wander = self.noise**2 * (1 + self.rho) / (1 - self.rho) / window_s
        slow_run: float = 1 - 0.8416 * (wander + self.run_noise**2) ** 0.5
        return self.capacity_eps * (1 - self.stall_s / self.stall_every_s) * (1 - self.state_growth) * slow_run


@dataclass
class Clock:
    """Seconds that pass when somebody says so."""

    now_s: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class Bench:
    """Runs trials on a system, one after the other, on a fake clock."""

    system: System
    rng: np.random.Generator
    clock: Clock = field(default_factory=Clock)
    warmup_s: float = 8.0
    measure_s: float = 30.0
    runs: int = 0

    def run(self, rate_eps: float, repetition: int = 0, **knobs: float) -> tuple[Run, dict[str, pd.DataFrame]]:
        """One trial at a rate: what the metrics and the series of a real one would be."""
        system = self.system
        seconds = self.warmup_s + self.measure_s
        offered = min(rate_eps, system.generator_eps)
        backlog, latency_s, served, lost = self._flow(offered, self._speed(seconds))
        done = float(served.sum())
        self.clock.sleep(seconds + 7.0)
        self.runs += 1
        per_s = round(1 / STEP_S)
        first = round(self.warmup_s / STEP_S)
        ticks = np.arange(first, backlog.size + 1, per_s)[1:] - 1
        t_s = (ticks + 1) * STEP_S
        waits = self._latencies(latency_s[first:])
        seen = backlog[ticks] * (1 + 0.0005 * self.rng.standard_normal(ticks.size)) + self.rng.uniform(
            0, 0.01 * offered, ticks.size
        )
        hidden = self.rng.random(ticks.size) < system.missing
        seen = np.where(hidden, np.nan, seen)
        series = {
            "backlog_events": pd.DataFrame({"t_s": t_s, "value": seen}),
            "e2e_latency_ms": pd.DataFrame({"t_s": t_s, "value": np.percentile(waits, 99, axis=1)}),
            "output_eps": _by_half_second(served),
        }
        histogram = LogLinearHistogram().add(waits)
        expected = offered * seconds
        values = {
            "target_eps": rate_eps,
            "offered_eps": offered,
            "acknowledged_eps": offered,
            "output_share": (done + backlog[-1]) / expected,
            "lost_events": float(round(lost)),
            "checkpoints_failed": 0.0,
            "restarts": 0.0,
            "backlog_events": float(seen[-1]),
            "drain_eps": system.capacity_eps * self._spread(system.run_noise),
            "flink_cpu_s_per_million_events": system.cpu_s_per_million * self._spread(system.run_noise),
            "disk_bytes_per_event": system.bytes_per_event * self._spread(system.bytes_noise),
        }  # fmt: skip
        metrics = {name: Measurement(value, METRICS[name].unit) for name, value in values.items() if np.isfinite(value)}
        metrics["e2e_latency_ms"] = Measurement(
            histogram.percentile(50) or 0.0, "ms", histogram.percentiles(), histogram.n
        )
        slope = theil_sen(t_s, seen)
        if slope is not None:
            bounds = {"lower": slope.low, "upper": slope.high} if np.isfinite(slope.low) else None
            metrics["backlog_slope_eps"] = Measurement(slope.per_s, "events/s", bounds, slope.n)
        return self._record(rate_eps, repetition, knobs, metrics), series

    def _spread(self, cv: float) -> float:
        return float(self.rng.lognormal(0, cv)) if cv else 1.0

    def _record(
        self, rate_eps: float, repetition: int, knobs: dict[str, float], metrics: dict[str, Measurement]
    ) -> Run:
        short = metrics["offered_eps"].value < 0.995 * rate_eps
        return Run(
            scenario="simulated",
            trial_id=f"{self.system.name}-{self.runs}",
            load="steady",
            repetition=repetition,
            order=self.runs,
            outcome=Outcome.INVALID if short else Outcome.FINISHED,
            reason=f"the generator offered {metrics['offered_eps'].value:.0f} of {rate_eps:.0f} events/s"
            if short
            else "",
            knobs=knobs,
            settings={"pipeline": {"job": "simulated"}, "load": {"rate_eps": rate_eps}},
            seed=0,
            backend="simulated",
            started_utc=f"{self.clock.now_s:015.3f}",
            duration_s=self.warmup_s + self.measure_s + 7.0,
            environment={},
            metrics=metrics,
        )

    def _speed(self, seconds: float) -> F64:
        """Events per second it could carry, for each step of the run."""
        system, n = self.system, round(seconds / STEP_S)
        level = system.capacity_eps * (1 + system.drift_per_run) ** self.runs
        if system.run_noise:
            level *= float(self.rng.lognormal(-(system.run_noise**2) / 2, system.run_noise))
        speed = np.full(n, level)
        if system.noise:
            rho = system.rho**STEP_S  # per second -> per step
            shocks = self.rng.standard_normal(n) * np.sqrt(1 - rho**2)
            walk = np.empty(n)
            walk[0] = self.rng.standard_normal()
            for i in range(1, n):
                walk[i] = rho * walk[i - 1] + shocks[i]
            speed = speed * (1 + system.noise * walk)
        if system.stall_s:
            phase = (np.arange(n) * STEP_S + self.rng.uniform(0, system.stall_every_s)) % system.stall_every_s
            speed = np.where(phase < system.stall_s, 0.0, speed)
        if system.state_growth:
            speed = speed * (1 - system.state_growth * np.linspace(0, 1, n))
        if system.cold < 1:
            speed = speed * np.interp(np.arange(n) * STEP_S, [0, system.cold_s], [system.cold, 1.0])
        able: F64 = np.maximum(speed, 0.0)
        return able

    def _flow(self, offered_eps: float, speed: F64) -> tuple[F64, F64, F64, float]:
        """Backlog (events), wait (s) and events done at each step; events lost."""
        system = self.system
        backlog, served = np.empty(speed.size), np.empty(speed.size)
        queued = lost = 0.0
        for i, able in enumerate(speed):
            if queued > system.collapse_s * offered_eps:
                able *= system.collapse  # noqa: PLW2901 -- it slows down under its own backlog
            served[i] = min(queued + offered_eps * STEP_S, able * STEP_S)
            queued += offered_eps * STEP_S - served[i]
            if system.loses:
                lost += queued
                queued = 0.0
            backlog[i] = queued
        return backlog, self._waits(served, backlog, float(speed.mean())), served, lost

    def _waits(self, served: F64, backlog: F64, speed_eps: float) -> F64:
        """Seconds until what arrives in each step is served: first in, first out; after the run at its mean speed."""
        t_s = np.arange(1, served.size + 1) * STEP_S
        out = np.cumsum(served)
        after_s = backlog[-1] / speed_eps + 1.0
        t_out, out = np.append(t_s, t_s[-1] + after_s), np.append(out, out[-1] + speed_eps * after_s)
        waits: F64 = np.maximum(np.interp(out[:-1] + backlog, out, t_out) - t_s, 0.0)
        return waits

    def _latencies(self, wait_s: F64) -> F64:
        """Sampled latencies (ms), a row for each second: the queue's wait, and a tail of its own."""
        seconds = round(wait_s.size * STEP_S)
        waits = np.repeat(wait_s.reshape(seconds, -1), EVENTS_SEEN // round(1 / STEP_S), axis=1) * 1e3
        sampled: F64 = waits + self.system.base_ms * self.rng.lognormal(0, 0.4, waits.shape)
        return sampled


def _by_half_second(served: F64) -> pd.DataFrame:
    """What came out, as a rate, like `bench.verify.append_rate` has it."""
    bins = round(0.5 / STEP_S)
    rates = served[: served.size // bins * bins].reshape(-1, bins).sum(axis=1) / 0.5
    return pd.DataFrame({"t_s": (np.arange(rates.size) + 1) * 0.5, "value": rates})


CAPACITY = 137_000.0
SYSTEMS = (
    System("linear", CAPACITY),
    System("cliff", CAPACITY, collapse=0.5),
    System("noisy", CAPACITY, noise=0.02, run_noise=0.01),
    System("drifting", CAPACITY, drift_per_run=-0.0005),
    System("stalling", CAPACITY, stall_s=0.15, stall_every_s=5.0),
    System("growing state", CAPACITY, state_growth=0.02),
    System("losing events", CAPACITY, loses=True),
)
VERY_NOISY = System("very noisy", CAPACITY, noise=0.03, run_noise=0.037)
COLD = System("cold", CAPACITY, cold=0.4, cold_s=25.0)  # at 80,000 events/s it catches up until second 23
SHRINKING = System("shrinking", CAPACITY, state_growth=0.8)  # ever slower, below that load after half of a run
STARVED = System("starved generator", CAPACITY, generator_eps=60_000.0)
BLIND = System("missing samples", CAPACITY, missing=0.2)


def changed(system: System, **fields: float) -> System:
    """The same system, a little different: the other arm of a comparison."""
    return replace(system, **fields)  # type: ignore[arg-type]
