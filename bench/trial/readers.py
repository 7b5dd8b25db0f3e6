"""Who reads the input topic of a trial: a Flink job, consumer groups, both, or (an empty list) nobody.

A reader is made for one trial, started once, and knows only its own reading. The first of a trial's readers is the one
that headlines: its reading times a drain, its latency is the end-to-end one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bench.probes import Probe, Samples
from bench.trial.notes import Notes, Seen


class Reader(Protocol):
    """Reads one trial's input topic, from its beginning."""

    @property
    def component(self) -> str:
        """Whose CPU and memory, as metrics and series name it: "flink", "consumer"."""
        ...

    @property
    def counter(self) -> str:
        """The series of events read so far."""
        ...

    def start(self) -> None:
        """Begin to read; returns when it is in place."""
        ...

    def prove(self) -> None:
        """Once it has started, and before anything is waited for: that it can do what it is to do. A PlatformError
        otherwise.
        """
        ...

    def probes(self) -> list[Probe]:
        """What to sample once it has started."""
        ...

    def check(self) -> None:
        """A PlatformError when it can read no more."""
        ...

    def caught_up(self, samples: Samples, events: int) -> bool:
        """Whether it has read so many events and what it makes of them has come to rest. Asked several times a
        second.
        """
        ...

    def ended(self, samples: Samples) -> None:
        """The load is over, and the waiting too: what it alone knows is added to the samples, at the latest now."""
        ...

    def measure(self, seen: Seen, notes: Notes) -> None:
        """Its metrics, series and checks. Only the headline's latency and backlog are the run's."""
        ...

    def tear_down(self) -> None:
        """Leave the cluster as it was; also after a start that failed half-way."""
        ...


def check_all(readers: Sequence[Reader]) -> None:
    """A PlatformError as soon as one of them can read no more."""
    for reader in readers:
        reader.check()
