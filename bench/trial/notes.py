"""What is known so far of a trial under way; it is kept whatever happens next."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from bench.analysis.clock import Offset
from bench.analysis.steady import Steadiness
from bench.loadgen import Sent
from bench.measure import Findings, Window
from bench.probes import Samples
from bench.record import Check, Run
from bench.trial.stage import Recorded


@dataclass(frozen=True)
class Seen:
    """What came of the load: what was sent, the samples, and the measured window (seconds of the samples' clock)."""

    sent: Sent
    samples: Samples
    window: Window
    is_drain: bool  # the topic was filled before anybody read

    @property
    def on_schedule(self) -> bool:
        """Whether due times say when events should have come; otherwise no latency counts from them."""
        return self.sent.mode == "paced"


@dataclass
class Notes:
    """What has been collected: metrics, series, checks, and why the run is no evidence.

    `generator`: because the load, or the clock it was timed by, cannot be believed; `invalid`: everything else.
    """

    found: Findings = field(default_factory=Findings)
    series: dict[str, pd.DataFrame] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)  # seconds since the trial began at which each began
    invalid: list[str] = field(default_factory=list)
    generator: list[str] = field(default_factory=list)
    window: Window | None = None  # the measured one, once it is known
    steady: Steadiness | None = None
    ahead: Offset | None = None  # the brokers' clocks, where they are not this machine's
    ran_with: dict[str, Any] = field(default_factory=dict)  # what the platform says it ran with, for the environment

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    def now_s(self) -> float:
        """Seconds since the trial began."""
        return time.monotonic() - self._began

    def recorded(self, run: Run) -> Recorded:
        """`run` with what is known so far."""
        run = replace(
            run,
            duration_s=self.now_s(),
            metrics=dict(self.found.metrics),
            checks=tuple(self.checks),
            warnings=tuple(self.warnings),
            phases=dict(self.phases),
        )
        return Recorded(run, self.series, self.found.histograms, "; ".join(self.generator), self.window, self.steady)

    def begin(self, phase: str) -> None:
        """A phase begins now."""
        self.phases[phase] = self.now_s()
