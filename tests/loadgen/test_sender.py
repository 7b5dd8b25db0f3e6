"""The open loop against a simulated world: a clock that only waiting and sending move, an engine of any speed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bench.loadgen import handover
from bench.loadgen.handover import HandOver
from bench.loadgen.recorder import Recorder
from bench.loadgen.schedule import Schedule
from bench.loadgen.sender import Mode, Ports, Sender, Share
from bench.workloads import Batch, Knobs, open_workload

T0_NS = 1_790_000_000_000_000_000
MS = 1_000_000


@dataclass
class World:
    """A clock, and an engine with a queue of `room` events that is emptied at `drain_eps`, but for an outage."""

    room: int = 1 << 60
    drain_eps: float = 1e9
    outage_ms: tuple[float, float] = (0, 0)
    stall_at_ms: float = -1.0  # the generator itself freezes once, for 400 ms
    now_ns: int = T0_NS - 50 * MS
    due_sent: list[int] = field(default_factory=list)
    sent_ns: list[int] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    _told: int = 0
    _level: float = 0
    _then_ns: int = T0_NS - 50 * MS

    def wait_until_ns(self, due_ns: int) -> None:
        self.now_ns = max(self.now_ns + 1_000, due_ns)
        if 0 <= self.stall_at_ms <= (self.now_ns - T0_NS) / MS:
            self.stall_at_ms, self.now_ns = -1.0, self.now_ns + 400 * MS

    def _drain(self) -> None:
        since, until = ((t - T0_NS) / MS for t in (self._then_ns, self.now_ns))
        down = max(0.0, min(until, self.outage_ms[1]) - max(since, self.outage_ms[0]))
        self._level = max(0.0, self._level - (until - since - down) / 1000 * self.drain_eps)
        self._then_ns = self.now_ns

    def prepare(self, batch: Batch, due_ns: npt.NDArray[np.int64], slices: npt.NDArray[np.int64]) -> Any:
        return due_ns.copy()

    def send(self, prepared: Any, start: int, stop: int) -> int:
        self._drain()
        done = min(stop - start, int(self.room - self._level))
        self._level += done
        self.due_sent += prepared[start : start + done].tolist()
        self.sent_ns += [self.now_ns] * done
        self.now_ns += 2_000
        return done

    def poll(self) -> None:
        self._drain()

    def take_stats(self) -> list[dict[str, Any]]:
        return []

    def take_acked(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Each event is acknowledged 3 ms after it was handed over."""
        fresh = slice(self._told, len(self.due_sent))
        self._told = len(self.due_sent)
        return np.array(self.due_sent[fresh], dtype=np.int64), np.array(self.sent_ns[fresh], dtype=np.int64) + 3 * MS

    @property
    def acked(self) -> int:
        return len(self.due_sent)

    @property
    def queued(self) -> int:
        return int(self._level)

    def close(self) -> None: ...


def run(world: World, rate: float = 20_000, seconds: float = 3, mode: Mode = "paced") -> tuple[Recorder, list[Any]]:
    schedule = Schedule.constant(T0_NS, rate, seconds)
    rows: list[Any] = []
    window = (T0_NS, T0_NS + int(seconds * 1e9))
    recorder = Recorder(world, started_ns=T0_NS, window_ns=window, every=1, out=rows.append)
    workload = open_workload(Knobs("clicks", distinct=10), 7, T0_NS, schedule)
    give_up_ns = T0_NS + int((seconds + 20) * 1e9)
    ports = Ports(lambda: world.now_ns, world.wait_until_ns, lambda: world.now_ns > give_up_ns)
    Sender(world, workload, schedule, share=Share(0, 1), mode=mode, recorder=recorder, ports=ports).run()
    recorder.close_second(world.now_ns)
    return recorder, rows


def test_every_event_goes_out_once_in_order_never_early_and_soon() -> None:
    """An event sent before it is due hides latency; one left out or sent twice falsifies the count."""
    world = World()
    recorder, _ = run(world)
    assert world.due_sent == Schedule.constant(T0_NS, 20_000, 3).due_ns(np.arange(60_000)).tolist()
    late = np.array(world.sent_ns) - np.array(world.due_sent)
    assert late.min() >= 0
    assert late.max() <= 3 * MS
    assert recorder.lateness.n == 60_000
    assert recorder.lateness.max <= 3.1


def test_a_stalled_generator_catches_up_and_says_how_late_it_was() -> None:
    """Skipping or re-timing what was missed is coordinated omission: the tail would look clean."""
    world = World(stall_at_ms=1_000)
    recorder, rows = run(world)
    assert len(world.due_sent) == 60_000
    assert recorder.lateness.max == pytest.approx(400, abs=5)
    assert recorder.lateness.share_above(10) == pytest.approx(0.4 / 3, abs=0.02)
    assert recorder.lateness_blocked.n == 0
    assert rows[-1]["blocked_s"] == 0
    # three clocks: the response has the stall, the service does not, and nobody is asked twice
    assert recorder.produce_latency.n == recorder.produce_service.n == 60_000
    assert recorder.produce_latency.max == pytest.approx(403, abs=5)
    assert recorder.produce_service.max == pytest.approx(3, abs=0.1)


def test_when_an_event_went_out_is_known_however_long_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service time that is off by the catching-up after a stall would blame the broker for the generator."""
    world = World(stall_at_ms=1_000)
    recorder, _ = run(world)
    told = HandOver.from_json(json.loads(json.dumps(recorder.handed.to_json())))
    due, at = np.array(world.due_sent), np.array(world.sent_ns)
    assert np.abs(told.at(due) - at).max() <= 0.01 * MS
    assert told.at(due[-1:] + MS).tolist() == [-1]
    assert HandOver().at(due[:2]).tolist() == [-1, -1]
    monkeypatch.setattr(handover, "MOST", 100)  # bounded, and then coarser
    small = HandOver()
    for k in range(1_000):
        small.add(k * MS, k * MS + 7)
    assert np.abs(small.at(np.arange(0, 999 * MS, MS)) - np.arange(0, 999 * MS, MS)).max() <= 32 * MS


def test_a_full_queue_is_the_systems_doing() -> None:
    """Blaming the generator for a stopped broker would make every fault run invalid; t0 must not move either."""
    world = World(room=10_000, outage_ms=(1_000, 2_000), drain_eps=60_000)
    recorder, rows = run(world)
    assert len(world.due_sent) == 60_000
    assert recorder.lateness.max < 5
    assert recorder.lateness_blocked.max == pytest.approx(500, abs=30)  # 10,000 fit: full after half a second
    assert rows[-1]["queue_full_s"] == pytest.approx(0.5, abs=0.3)
    assert recorder.lateness.n + recorder.lateness_blocked.n == 60_000
    assert world.sent_ns[-1] - world.due_sent[-1] < 5 * MS


def test_a_drain_is_sent_flat_out_with_nominal_due_times() -> None:
    """The oracle recomputes a prefill's event times from the nominal rate, not from how fast the disk was."""
    world = World(room=50_000, drain_eps=500_000)
    run(world, mode="drain", rate=1_000, seconds=200)
    assert world.due_sent == Schedule.constant(T0_NS, 1_000, 200).due_ns(np.arange(200_000)).tolist()
    assert world.sent_ns[-1] - world.sent_ns[0] < 1e9


def test_maximum_is_closed_by_back_pressure() -> None:
    """Its due time is when it was made: the queue's delay is the client's, not a backlog of the schedule."""
    world = World(room=50_000, drain_eps=100_000)
    run(world, mode="maximum", seconds=2)
    assert len(world.due_sent) == pytest.approx(2 * 100_000 + 50_000, rel=0.1)
    assert (np.array(world.sent_ns) - np.array(world.due_sent)).min() >= 0
