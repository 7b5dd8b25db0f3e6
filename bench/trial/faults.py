"""What goes wrong on purpose: the scenario's `faults`, done at their times while the load goes on.

Each begins `at_s` seconds into the measured window. What was done, and when, becomes the series `faults`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import pandas as pd

from bench.backends import Cluster, Victim, disk
from bench.errors import BrokerError, StreamgaugeError
from bench.loadgen import Consuming, Drive
from bench.scenario import Settings
from bench.scenario.sections import Fault

END_S = 120.0  # a broker that is ended under load and started again
CAN = (  # (do, target)
    ("stop", "broker"), ("kill", "broker"), ("restart", "broker"), ("stop", "loadworker"), ("kill", "loadworker"),
    ("stop", "taskmanager"), ("kill", "taskmanager"), ("restart", "taskmanager"), ("fill-disk", "broker"),
    ("join", "consumer"), ("leave", "consumer"),
    ("lose-disk", "broker"),
)  # fmt: skip


def unsupported(settings: Settings) -> Iterator[str]:
    """What a scenario may ask for and nothing here can do yet."""
    for fault in settings.faults:
        if (fault.do, fault.target) not in CAN:
            yield f"faults: {fault.do} of a {fault.target}"


def fills_a_disk(settings: Settings) -> bool:
    """Whether its brokers need disks of bounded size."""
    return any(fault.do == "fill-disk" for fault in settings.faults)


def hits_a_broker(settings: Settings) -> bool:
    """Whether what was acknowledged may be gone, or there twice: then that is the finding, and no fault of ours."""
    return any(fault.target == "broker" for fault in settings.faults)


def replaces(settings: Settings) -> bool:
    """Whether a process of the platform is a new one afterwards: cold, where trials are owed a primed cluster."""
    return any(fault.target in ("broker", "taskmanager") and fault.do != "stop" for fault in settings.faults)


def not_testable(settings: Settings) -> str:
    """Why this host cannot do what the faults ask for; "" if it can."""
    if fills_a_disk(settings) and (why := disk.why_not()):
        return f"not testable here: filling a broker's disk takes a file system of its own, and {why} (root may mount)"
    return ""


@dataclass(frozen=True)
class LoadWorker:
    """A worker of the generator: whoever stops it shows what the run then says about its own instrument."""

    pid: int

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


Hit = Victim | LoadWorker | Consuming
"""What a fault is done to."""


@dataclass(frozen=True)
class Replaced:
    """A broker that was ended and started again: how long it took to end and, once started, to answer for the topic.

    `stop_s` is None of one that was killed. `failover_s`: from a kill until others led all of its partitions; None
    where no copy was elsewhere, or it was back before (then, and only then, `failover_missed`; None: nobody waited for
    others). `ready_s` is None where others answer for it meanwhile.
    """

    stop_s: float | None
    failover_s: float | None
    ready_s: float | None
    failover_missed: bool | None = None


def victim(fault: Fault, cluster: Cluster, drive: Drive | None) -> Victim | LoadWorker:
    """The broker or TaskManager that a fault names, or the last load worker."""
    if fault.target == "loadworker":
        assert drive is not None
        return LoadWorker(drive.worker_pids[-1])
    return cluster.victim(fault.target, fault.which)


@dataclass
class Happening:
    """Faults under way, each in a thread of its own. `with` it: nothing stays stopped or down afterwards.

    An error while doing one is raised at the end, as one of Streamgauge's own; so is a broker that does not come back,
    and a fault that does not end. Times are seconds on the samples' clock (`zero_ns`).
    """

    faults: Sequence[Fault]
    choose: Callable[[Fault], Hit]
    zero_ns: int
    from_s: float  # when the measured window begins
    await_ready: Callable[[], None] | None = None  # until a broker that was started answers; None: nobody could tell
    led_within: Callable[[float], bool] | None = None  # whether others lead all partitions in time; None: no copies
    now_ns: Callable[[], int] = time.time_ns
    wait: Callable[[threading.Event, float | None], bool] = threading.Event.wait  # seconds, or until the load is over
    replaced: list[Replaced] = field(default_factory=list)
    times_s: list[tuple[float, float]] = field(default_factory=list)  # (began, ended) of those that are over
    _errors: list[Exception] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._do, args=[fault], daemon=True) for fault in self.faults]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(END_S)
        if kind is not None:
            return
        if self._errors:
            error = self._errors[0]
            if isinstance(error, StreamgaugeError):
                raise error
            raise BrokerError(f"a fault could not be done: {type(error).__name__}: {error}") from error
        if any(thread.is_alive() for thread in self._threads):
            raise BrokerError(f"a fault was not over {END_S:.0f} s after the load: what it hit may still be down")

    def table(self) -> pd.DataFrame:
        """How many faults last from a moment on: DataFrame(t_s, value)."""
        edges = sorted([(began, 1.0) for began, _ in self.times_s] + [(ended, -1.0) for _, ended in self.times_s])
        table = pd.DataFrame(edges, columns=["t_s", "value"], dtype=float)
        return table.assign(value=table["value"].cumsum())

    def _now_s(self) -> float:
        return (self.now_ns() - self.zero_ns) / 1e9

    def _do(self, fault: Fault) -> None:
        if self.wait(self._over, max(0.0, self.from_s + fault.at_s - self._now_s())):
            return  # the load ended before
        try:
            hit, began = self.choose(fault), self._now_s()
            if fault.do == "stop" and not isinstance(hit, Consuming):
                hit.pause()
                self.wait(self._over, fault.for_s)
                hit.resume()
            elif fault.do == "fill-disk" and not isinstance(hit, LoadWorker | Consuming):
                hit.fill()
                self.wait(self._over, fault.for_s)
                hit.free()
            elif isinstance(hit, Consuming):
                (hit.join if fault.do == "join" else hit.leave)()
            elif isinstance(hit, LoadWorker):
                hit.kill()  # its share of the schedule is gone: nobody can take it up
            else:
                self._replace(fault, hit)
            self.times_s.append((began, self._now_s()))
        except Exception as error:  # noqa: BLE001 -- a thread's end is silent: raised where the faults are waited for
            self._errors.append(error)

    def _replace(self, fault: Fault, hit: Victim) -> None:
        began = self._now_s()
        {"kill": hit.kill, "lose-disk": hit.lose_disk, "restart": hit.end}[fault.do]()
        stop_s = self._now_s() - began
        down_s = self._now_s()
        failover_s, missed = None, None
        if fault.do != "restart" and fault.for_s and self.led_within is not None:
            missed = not self.led_within(fault.for_s)
            failover_s = None if missed else self._now_s() - began
        self.wait(self._over, max(0.0, down_s + (fault.for_s or 0.0) - self._now_s()))
        began = self._now_s()
        hit.start()
        if fault.target != "broker":
            return
        ready_s = None
        if self.await_ready is not None:
            self.await_ready()
            ready_s = self._now_s() - began
        self.replaced.append(Replaced(stop_s if fault.do == "restart" else None, failover_s, ready_s, missed))
