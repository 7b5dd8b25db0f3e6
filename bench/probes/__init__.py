"""What is sampled each second or two while a trial runs. Missing is a value: a probe that gets no answer records NaN.

with watch(cluster, probes) as samples:
...
samples.rate("source_events", from_s, to_s)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis import counter

F64 = npt.NDArray[np.float64]
INTERVAL_S = 1.0  # Flink refreshes its own metrics once a second: sampling faster would read the same numbers again
STEADY_INTERVAL_S = 3.0  # where nothing is expected to happen: watching takes a third as much (`benchmarks/probes.py`)

Probe = Callable[[], Mapping[str, float]]
"""Answers name -> value, now. Counters are cumulative; what cannot be read is left out or NaN."""


@dataclass
class Samples:
    """Series by name, grown by the sampling thread; times are seconds since the run began (see `zero_ns`)."""

    zero_ns: int  # time.time_ns() at t_s = 0
    _rows: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, t_s: float, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._rows.setdefault(name, []).append((t_s, float(value)))

    def names(self) -> list[str]:
        return sorted(self._rows)

    def series(self, name: str) -> pd.DataFrame:
        """DataFrame(t_s, value); empty when the probe never answered."""
        return pd.DataFrame(self._rows.get(name, []), columns=["t_s", "value"], dtype=float)

    def last(self, name: str) -> float:
        """The newest sample that is a number; NaN without any."""
        rows = self._rows.get(name, [])
        return next((value for _, value in reversed(rows[-5:]) if value == value), float("nan"))  # noqa: PLR0124 -- NaN

    def window(self, name: str, from_s: float, to_s: float) -> tuple[F64, F64]:
        """(t_s, value) of the samples within [from_s, to_s]; NaN where one is missing."""
        table = self.series(name)
        inside = table[(table.t_s >= from_s) & (table.t_s <= to_s)]
        return inside.t_s.to_numpy(), inside.value.to_numpy()

    def at(self, name: str, t_s: float) -> float:
        """A cumulative counter's value at `t_s`: see `analysis.counter.at`."""
        return counter.at(*self._known(name), t_s)

    def delta(self, name: str, from_s: float, to_s: float) -> float:
        """How much a counter grew between the two times: see `analysis.counter.growth`."""
        return counter.growth(*self._known(name), from_s, to_s)

    def _known(self, name: str) -> tuple[F64, F64]:
        """(t_s, value) of the samples that are not missing."""
        table = self.series(name).dropna()
        return table.t_s.to_numpy(), table.value.to_numpy()

    def newest(self) -> dict[str, float]:
        """The newest value of every series; one that is missing is left out."""
        newest = {name: rows[-1][1] for name, rows in list(self._rows.items()) if rows}
        return {name: value for name, value in newest.items() if value == value}  # noqa: PLR0124 -- NaN is not itself

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every series, as the bundle keeps them."""
        return {name: self.series(name) for name in self.names()}


_current: Samples | None = None


def current() -> Samples | None:
    """The samples that are growing now, for whoever shows them; None while nothing is watched."""
    return _current


@contextmanager
def watch(probes: Sequence[Probe], *, interval_s: float = INTERVAL_S, zero_ns: int | None = None) -> Iterator[Samples]:
    """Ask every probe each `interval_s` in a thread of its own until the `with` ends; one last time at the end."""
    global _current  # noqa: PLW0603 -- one trial at a time is watched, and only shown through it
    samples = _current = Samples(zero_ns or time.time_ns())
    stop = threading.Event()

    def sample() -> None:
        for probe in probes:
            try:
                values = probe()
            except Exception:  # noqa: BLE001, S112 -- a probe never ends a run: what it cannot read is missing, and judged so
                continue
            samples.add((time.time_ns() - samples.zero_ns) / 1e9, values)

    def loop() -> None:
        due = time.monotonic()
        while not stop.is_set():
            sample()
            due = max(due + interval_s, time.monotonic())  # a late tick is not followed by a burst
            stop.wait(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=loop, name="probes", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join(10.0)
        sample()
        _current = None
