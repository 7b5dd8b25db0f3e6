"""The open loop: encode ahead, send each event when it is due, catch up when late, and write down how late it was.

Knows nothing of Locust or of processes: clock, waiting and stopping are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.loadgen.engine import Engine
from bench.loadgen.recorder import Recorder
from bench.loadgen.schedule import Schedule
from bench.workloads import Source

I64 = npt.NDArray[np.int64]

CHUNK_EVENTS = 10_000  # encoded at once: long enough to amortise numpy's calls, short enough to hold nobody up (4 ms)
CHUNK_NS = 20_000_000  # and short enough for the user interface of Locust to stay responsive
TICK_NS = 1_000_000  # events due within one tick are handed over together, when the last of them is due
# ... and a tick is a millisecond longer for every 400 of a worker's events in one: a hand-over costs 40-80 us of CPU,
# whatever is in it. At 500,000 a second two milliseconds save a tenth of the worker's CPU
TICK_EVENTS = 400
FULL_WAIT_NS = 1_000_000
LAST_STATS_NS = 1_500_000_000

Mode = Literal["paced", "maximum", "drain"]


@dataclass(frozen=True)
class Share:
    """Worker `index` of `count` sends sequence numbers index, index + count, ...: together exactly the schedule."""

    index: int
    count: int

    def seqs(self, start: int, stop: int) -> I64:
        """Global sequence numbers of this worker's own events [start, stop)."""
        return np.arange(start, stop, dtype=np.int64) * self.count + self.index

    def of(self, events: int) -> int:
        """How many of the first `events` are this worker's."""
        return max(0, (events - self.index + self.count - 1) // self.count)


@dataclass(frozen=True)
class Ports:
    """What the loop needs of the world."""

    clock_ns: Callable[[], int]
    wait_until_ns: Callable[[int], None]  # may return early or late; lets other greenlets run
    stopped: Callable[[], bool]


class Sender:
    """Sends one worker's share. `paced`: by the schedule. `drain`: its due times, but flat out. `maximum`: flat out."""

    def __init__(
        self, engine: Engine, source: Source, schedule: Schedule, *, share: Share, mode: Mode, recorder: Recorder,
        ports: Ports,
    ) -> None:  # fmt: skip
        self._engine, self._source, self._schedule, self._share = engine, source, schedule, share
        self._mode, self._recorder, self._ports = mode, recorder, ports
        self._events = share.of(schedule.events) if mode != "maximum" else 1 << 62
        self._end_ns = schedule.t0_ns + int(schedule.seconds * 1e9)
        self._pages = [source.page(CHUNK_EVENTS) for _ in range(2)]
        self._turn = 0
        self._prepared_to = 0
        constant_eps = schedule.constant_eps
        self._fixed_pace = self._pace_of(constant_eps) if constant_eps is not None else None

    def warm(self) -> None:
        """Build pools and touch memory before the clock starts."""
        seq = self._share.seqs(0, CHUNK_EVENTS)
        for page in self._pages:
            batch = self._source.encode(seq, self._schedule.due_ns(seq), page)
            self._engine.prepare(batch, seq, np.array([0, len(batch)]))

    def run(self) -> None:
        """Send everything, or until stopped. Back-pressure is waited out, however long."""
        if self._mode != "drain":
            self._wait_until(self._schedule.t0_ns)
        ahead = self._next()
        while ahead is not None and not self._ports.stopped():
            chunk, ahead = ahead, None
            parts: list[tuple[int, int, bool]] = []
            for k in range(len(chunk.bounds) - 1):
                self._send(chunk, int(chunk.bounds[k]), int(chunk.bounds[k + 1]), parts)
                self._engine.poll()  # often: acknowledgements are timed when they are taken
                if k == 0 and self._mode == "paced":
                    ahead = self._next()  # encode in the pause before the next tick
            self._recorder.sent(chunk.due_ns, chunk.value_bytes, parts)
            self._recorder.tick(self._ports.clock_ns())
            self._ports.wait_until_ns(0)  # let the others run
            if ahead is None:
                ahead = self._next()

    def flush(self, timeout_ns: int) -> tuple[int, int]:
        """Wait for the last acknowledgements: (how many events were left without a report, when that was)."""
        give_up = self._ports.clock_ns() + timeout_ns
        while self._engine.queued and self._ports.clock_ns() < give_up:
            self._engine.poll()
            self._recorder.tick(self._ports.clock_ns())
            self._ports.wait_until_ns(self._ports.clock_ns() + 5_000_000)
        left, flushed_ns = self._engine.queued, self._ports.clock_ns()
        while self._recorder.stats_ns < flushed_ns and self._ports.clock_ns() < flushed_ns + LAST_STATS_NS:
            self._engine.poll()  # one more statistics document, so that bytes and batches are complete
            self._recorder.tick(self._ports.clock_ns())
            self._ports.wait_until_ns(self._ports.clock_ns() + 5_000_000)
        return left, flushed_ns

    def _next(self) -> _Chunk | None:
        start = self._prepared_to
        room = self._events - start
        if room <= 0 or (self._mode == "maximum" and self._ports.clock_ns() >= self._end_ns):
            return None
        most, tick_ns = (CHUNK_EVENTS, TICK_NS) if self._mode != "paced" else self._pace(start)
        count = min(room, most)
        seq = self._share.seqs(start, start + count)
        due = self._schedule.due_ns(seq) if self._mode != "maximum" else np.full(count, self._ports.clock_ns())
        bounds = np.array([0, count], dtype=np.int64)
        if self._mode == "paced":
            tick = (due - self._schedule.t0_ns) // tick_ns
            bounds = np.concatenate(([0], np.flatnonzero(np.diff(tick)) + 1, [count]))
        self._turn ^= 1
        batch = self._source.encode(seq, due, self._pages[self._turn])
        self._prepared_to = start + count
        return _Chunk(due, bounds, int(batch.lengths.sum()), self._engine.prepare(batch, due, bounds))

    def _pace(self, start: int) -> tuple[int, int]:
        """How many events from its `start`-th on are encoded at once, and how long a tick is there."""
        if self._fixed_pace is not None:  # asking a schedule costs as much as encoding 400 events
            return self._fixed_pace
        first = self._schedule.due_ns(self._share.seqs(start, start + 1))
        return self._pace_of(float(self._schedule.rate_eps((first - self._schedule.t0_ns) / 1e9)[0]))

    def _pace_of(self, rate_eps: float) -> tuple[int, int]:
        mine_eps = rate_eps / self._share.count
        chunk = int(min(CHUNK_EVENTS, max(1.0, mine_eps * CHUNK_NS / 1e9)))
        return chunk, TICK_NS * max(1, math.ceil(mine_eps * TICK_NS / 1e9 / TICK_EVENTS))

    def _send(self, chunk: _Chunk, start: int, stop: int, parts: list[tuple[int, int, bool]]) -> None:
        """One tick's events: wait for the last of them, hand over, wait out a full queue."""
        if self._mode == "paced":
            self._wait_until(int(chunk.due_ns[stop - 1]))
        while True:
            done = self._engine.send(chunk.prepared, start, stop)
            now = self._ports.clock_ns()
            parts.append((done, now, self._recorder.is_blocked))
            start += done
            if start == stop or self._ports.stopped():
                return
            self._engine.poll()
            self._recorder.tick(now)
            self._ports.wait_until_ns(now + FULL_WAIT_NS)
            self._recorder.blocked(now, self._ports.clock_ns())

    def _wait_until(self, due_ns: int) -> None:
        now = self._ports.clock_ns()
        if now < due_ns:
            self._recorder.caught_up(now)
        while now < due_ns and not self._ports.stopped():
            self._ports.wait_until_ns(min(due_ns, now + 100_000_000))
            now = self._ports.clock_ns()


@dataclass(frozen=True)
class _Chunk:
    due_ns: I64
    bounds: I64  # int64[k + 1]: ticks
    value_bytes: int
    prepared: Any
