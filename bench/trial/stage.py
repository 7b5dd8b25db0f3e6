"""What trials share, and what one gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from bench.analysis.clock import Offset
from bench.analysis.histogram import LogLinearHistogram
from bench.analysis.steady import Steadiness
from bench.backends import Cluster
from bench.jobs.session import JobSession
from bench.loadgen.drive import Spawn
from bench.measure import Window
from bench.probes import STEADY_INTERVAL_S
from bench.record import Run
from bench.topics import PREFIX


@dataclass
class Stage:
    """An open cluster with what trials share on it."""

    cluster: Cluster
    session: JobSession | None
    run_dir: Path
    spawn: Spawn  # starts a child below the supervisor
    prefix: str = PREFIX  # of topics, and of what else has a name on the cluster
    clocks: Callable[[], Offset | None] | None = None  # how far the brokers' are ahead; None: they are this machine's
    web_port: int | None = None  # Locust's page, on loopback, while a load goes on
    watch_interval_s: float = STEADY_INTERVAL_S  # of steady loads; whatever changes is looked at once a second


@dataclass(frozen=True)
class Recorded:
    """A run with what lies beside it in the bundle.

    `generator`: why the load proves nothing, "" if it does; `window`: the measured one on the clock of the series;
    `steady`: of that window, None where nothing has to be.
    """

    run: Run
    series: Mapping[str, pd.DataFrame]
    histograms: Mapping[str, LogLinearHistogram]
    generator: str = ""
    window: Window | None = None
    steady: Steadiness | None = None


Keep = Callable[[Recorded], object]
"""Where a run goes after each step; what comes last is the run as it ended."""


def forget(_recorded: Recorded) -> None:
    """Keep nothing."""


@dataclass(frozen=True)
class Now:
    """How a load goes at this moment; NaN is what nobody knows yet. For a person to watch: nothing is judged by it."""

    rate_eps: float  # acknowledged since the last look, or read in a drain
    backlog_events: float
    late_ms: float = math.nan  # the generator behind its own schedule, 99th percentile

    @property
    def behind_s(self) -> float:
        """How long the readers need for what is queued at this rate: what an event waits, as long as it lasts."""
        return self.backlog_events / self.rate_eps if self.rate_eps > 0 else math.nan


class Tell(Protocol):
    """Progress for a person: what is going on, the seconds it is expected to take from now, and how it goes."""

    def __call__(self, what: str, seconds: float, now: Now | None = None) -> None: ...


def silence(what: str, seconds: float, now: Now | None = None) -> None:
    """Tell nobody."""
    del what, seconds, now
