"""What one worker writes down: a row a second, histograms, and the statistics that librdkafka gives.

A row is handed out at once, so that a parent can follow and a dead worker leaves what it knew. Counters in a row are
totals since the start; whoever reads them takes differences.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from bench.analysis.histogram import LogLinearHistogram
from bench.loadgen.engine import Engine
from bench.loadgen.handover import HandOver
from bench.loadgen.wire import WireByNode, wire_by_node

I64 = npt.NDArray[np.int64]
SECOND_NS = 1_000_000_000
Row = dict[str, float]


class Recorder:
    """Collects one worker's events. `window_ns` = (start, end) of the measured part; an event belongs by its due time.

    Lateness is kept of one event in `every`: at hundreds of thousands a second all of them would say no more.
    """

    def __init__(
        self, engine: Engine, *, started_ns: int, window_ns: tuple[int, int], every: int, out: Callable[[Row], None],
        on_second: Callable[[Row], None] | None = None,
    ) -> None:  # fmt: skip
        self._engine, self._started_ns, self._window, self._every = engine, started_ns, window_ns, every
        self._out, self._on_second = out, on_second
        self.offered = 0
        self.offered_bytes = 0
        self.lateness = LogLinearHistogram("ms")  # in the window, where only the generator can be to blame
        self.lateness_blocked = LogLinearHistogram("ms")  # in the window, behind a full queue
        self.produce_latency = LogLinearHistogram("ms")  # in the window, due -> acknowledged
        self.produce_service = LogLinearHistogram("ms")  # the same events, handed over -> acknowledged
        self.handed = HandOver()
        self._unfolded = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        self._next_ns = started_ns + SECOND_NS
        self._late: list[tuple[I64, I64, npt.NDArray[np.bool_]]] = []
        self._queue_full_ns = self._blocked_ns = 0
        self._blocked_since_ns: int | None = None
        self._process = psutil.Process()
        self._stats: Row = {}
        self.stats_ns = 0  # when the last statistics came
        self.wire: WireByNode = {}  # as of the last statistics
        self._batches = self._batch_records = self._batch_bytes = 0.0

    @property
    def is_blocked(self) -> bool:
        """Held up by a full queue, or still catching up after one."""
        return self._blocked_since_ns is not None

    def blocked(self, full_from_ns: int, full_to_ns: int) -> None:
        """The queue was full in between: from now on lateness is the system's, until `caught_up`."""
        self._queue_full_ns += full_to_ns - full_from_ns
        if self._blocked_since_ns is None:
            self._blocked_since_ns = full_from_ns

    def caught_up(self, now_ns: int) -> None:
        """The next event is not due yet."""
        if self._blocked_since_ns is not None:
            self._blocked_ns += now_ns - self._blocked_since_ns
            self._blocked_since_ns = None

    def sent(self, due_ns: I64, value_bytes: int, parts: list[tuple[int, int, bool]]) -> None:
        """A chunk went out in `parts`: (events, when, whether behind a full queue)."""
        counts = np.array([count for count, _, _ in parts], dtype=np.int64)
        total, every = int(counts.sum()), self._every
        self.offered += total
        self.offered_bytes += value_bytes
        ends = np.cumsum(counts)
        part = np.searchsorted(ends, np.arange(0, total, every), side="right")  # of each event that is kept
        at = np.array([t for _, t, _ in parts], dtype=np.int64)[part]
        blocked = np.array([b for _, _, b in parts], dtype=np.bool_)[part]
        for end, last_due_ns, (_, when, _) in zip(ends.tolist(), due_ns[ends - 1].tolist(), parts, strict=True):
            if end:  # else the queue was full at once
                self.handed.add(last_due_ns, when)
        due = due_ns[:total:every]
        self._late.append((due.copy(), at - due, blocked))

    def tick(self, now_ns: int) -> None:
        """Called often; closes a second when it is over."""
        for document in self._engine.take_stats():
            self._digest(document, now_ns)
        if now_ns >= self._next_ns:
            self._next_ns = self._started_ns + ((now_ns - self._started_ns) // SECOND_NS + 1) * SECOND_NS
            self.close_second(now_ns)

    def close_second(self, now_ns: int) -> None:
        """Fold what came since the last time into histograms and write a row."""
        self._fold_acknowledgements()
        second = self._fold_lateness()
        use = resource.getrusage(resource.RUSAGE_SELF)
        blocked = self._blocked_ns + (now_ns - self._blocked_since_ns if self._blocked_since_ns is not None else 0)
        row: Row = {
            "t_s": (now_ns - self._started_ns) / 1e9,
            "offered": self.offered,
            "offered_bytes": self.offered_bytes,
            "acked": self._engine.acked,
            "failed": sum(self._engine.failed.values()),
            "queued": self._engine.queued,
            "queue_full_s": self._queue_full_ns / 1e9,
            "blocked_s": blocked / 1e9,
            "lateness_p99_ms": second.percentile(99) or (second.max if second.n else 0.0),
            "lateness_max_ms": second.max if second.n else 0.0,
            "cpu_s": use.ru_utime + use.ru_stime,
            "rss_bytes": self._process.memory_info().rss,
            **self._stats,
        }
        self._out(row)
        if self._on_second is not None:
            self._on_second(row)

    def _fold_acknowledgements(self) -> None:
        fresh = self._engine.take_acked()
        due, at = (np.concatenate(both) for both in zip(self._unfolded, fresh, strict=True))
        known = due <= self.handed.last_due_ns  # the rest is of a chunk that is still going out
        self._unfolded = due[~known], at[~known]
        inside = known & (due >= self._window[0]) & (due < self._window[1])
        due, at = due[inside], at[inside]
        self.produce_latency.add((at - due) / 1e6)
        self.produce_service.add((at - self.handed.at(due)) / 1e6)

    def _fold_lateness(self) -> LogLinearHistogram:
        second = LogLinearHistogram("ms")
        if self._late:
            due, late, blocked = (np.concatenate(parts) for parts in zip(*self._late, strict=True))
            self._late = []
            inside = (due >= self._window[0]) & (due < self._window[1])
            second.add(late / 1e6)
            self.lateness.add(late[inside & ~blocked] / 1e6)
            self.lateness_blocked.add(late[inside & blocked] / 1e6)
        return second

    def _digest(self, document: dict[str, Any], now_ns: int) -> None:
        """The few numbers of librdkafka's statistics that explain throughput; batch figures come as windows."""
        for topic in document.get("topics", {}).values():
            self._batches += topic["batchcnt"]["cnt"]
            self._batch_records += topic["batchcnt"]["sum"]
            self._batch_bytes += topic["batchsize"]["sum"]
        brokers = [b for b in document.get("brokers", {}).values() if b.get("nodeid", -1) >= 0]
        rtt = [(b["rtt"]["cnt"], b["rtt"]["avg"], b["rtt"]["p99"]) for b in brokers if b["rtt"]["cnt"]]
        count = sum(c for c, _, _ in rtt)
        self.stats_ns = now_ns
        self.wire = wire_by_node(document)
        self._stats = {
            "stats_t_s": (now_ns - self._started_ns) / 1e9,
            "tx_bytes": document["tx_bytes"],
            "rx_bytes": document["rx_bytes"],
            "tx_requests": document["tx"],
            "tx_messages": document["txmsgs"],
            "produce_requests": sum(b.get("req", {}).get("Produce", 0) for b in brokers),
            "batches": self._batches,
            "batch_records": self._batch_records,
            "batch_bytes": self._batch_bytes,
            "rtt_avg_ms": sum(c * a for c, a, _ in rtt) / count / 1000 if count else 0.0,
            "rtt_p99_worst_broker_ms": max((p for _, _, p in rtt), default=0.0) / 1000,
        }
