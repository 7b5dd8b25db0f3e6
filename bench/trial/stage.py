"""What trials share, and what one gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.analysis.histogram import LogLinearHistogram
from bench.backends import Cluster
from bench.jobs.session import JobSession
from bench.loadgen.drive import Spawn
from bench.measure import Window
from bench.record import Run


@dataclass
class Stage:
    """An open cluster with what trials share on it."""

    cluster: Cluster
    session: JobSession | None
    run_dir: Path
    spawn: Spawn  # starts a child below the supervisor
    web_port: int | None = None  # Locust's page, on loopback, while a load goes on


@dataclass(frozen=True)
class Recorded:
    """A run with what lies beside it in the bundle.

    `generator`: why the load proves nothing, "" if it does; `window`: the measured one on the clock of the series.
    """

    run: Run
    series: Mapping[str, pd.DataFrame]
    histograms: Mapping[str, LogLinearHistogram]
    generator: str = ""
    window: Window | None = None


Keep = Callable[[Recorded], object]
"""Where a run goes after each step; what comes last is the run as it ended."""


def forget(_recorded: Recorded) -> None:
    """Keep nothing."""


Tell = Callable[[str, float], None]
"""Progress for a person: (what is going on, seconds it is expected to take)."""


def silence(_what: str, _seconds: float) -> None:
    """Tell nobody."""
