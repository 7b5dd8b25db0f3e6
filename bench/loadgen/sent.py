"""What a generator did, and whether it may be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.histogram import LogLinearHistogram
from bench.loadgen.handover import HandOver
from bench.loadgen.schedule import Schedule
from bench.loadgen.sender import Mode
from bench.loadgen.wire import WireByNode

MIN_OFFERED_WINDOW = 0.995  # of the target over the window
MIN_OFFERED_BIN = 0.98  # of the target in each bin
BIN_S = 5
MAX_LATENESS_P99_MS = 10.0  # or a tenth of the latency objective, if that is larger
MAX_CLOCK_STEP_MS = 1.0


@dataclass(frozen=True)
class Progress:
    """How far a generator is, from its last rows (at most about a second old)."""

    t_s: float  # seconds since t0
    offered: int
    acknowledged: int
    failed: int
    queued: int
    lateness_p99_ms: float  # of the last second, of the worst worker
    queue_full_s: float  # so far, summed over workers
    done: bool


@dataclass(frozen=True)
class Sent:
    """What went out. The window is [warmup_s, duration_s) since t0; an event belongs to it by its due time.

    `seconds`: one row a second (index `t_s` = its end, flush included). Differences over the second, summed
    over workers: offered, acked, failed, queue_full_s, blocked_s (full queue, or catching up after one), cpu_s,
    tx_bytes, rx_bytes, tx_requests, tx_messages, produce_requests, batches, batch_records, batch_bytes. States at its
    end: queued, rss_bytes (summed); lateness_p99_ms, lateness_max_ms, rtt_avg_ms, rtt_p99_worst_broker_ms (of the worst
    worker). target: events due in that second.
    """

    schedule: Schedule
    mode: Mode
    started_ns: int  # where `seconds` counts from: t0, but for a drain, whose due times are nominal
    workers: int
    warmup_s: float
    duration_s: float
    offered_by_worker: tuple[int, ...]  # worker k of n sent k, k + n, ..., this many of them
    acknowledged_events: int
    failed: Mapping[str, int]  # librdkafka's error name -> events not delivered
    errors: Mapping[str, int]  # client errors (broker down, ...) -> times said
    without_report: int  # neither acknowledged nor failed when the flush gave up
    flushed_s: float  # seconds after the start at which the last report came
    seconds: pd.DataFrame
    lateness_ms: LogLinearHistogram  # in the window, events that nothing but the generator held up
    lateness_blocked_ms: LogLinearHistogram  # in the window, events behind a full queue: the system's doing
    produce_latency_ms: LogLinearHistogram  # in the window, due -> acknowledged; a sample, native engine only
    cpu_s: float  # all of every worker: start, warm-up, flush
    rss_peak_bytes: int  # summed over workers
    clock_step_ms: float  # realtime minus monotonic drift over the run
    versions: Mapping[str, str]
    worker_failures: tuple[str, ...] = ()
    produce_service_ms: LogLinearHistogram = field(  # the same sample, handed over -> acknowledged
        default_factory=lambda: LogLinearHistogram("ms")
    )
    handed: tuple[HandOver, ...] = ()  # of each worker
    wire: tuple[WireByNode, ...] = ()  # of each worker, whole run; empty where nobody told
    stopped: bool = False
    logs: tuple[Path, ...] = field(default=())

    @property
    def t0_ns(self) -> int:
        return self.schedule.t0_ns

    @property
    def offered_events(self) -> int:
        return sum(self.offered_by_worker)

    @property
    def first_seq(self) -> int:
        return 0

    @property
    def last_seq(self) -> int:
        """Highest sequence number sent; -1 if none."""
        n = self.workers
        return max((k + n * (count - 1) for k, count in enumerate(self.offered_by_worker) if count), default=-1)

    def seqs(self) -> npt.NDArray[np.int64]:
        """int64[offered_events]: every sequence number sent, sorted. Feed it to a workload's `columns`."""
        n = self.workers
        parts = [np.arange(count, dtype=np.int64) * n + k for k, count in enumerate(self.offered_by_worker)]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)

    def handed_ns(self, seq: npt.NDArray[np.int64], due_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """When these events were handed to the client; -1 where nobody says."""
        found = np.full(len(seq), -1, dtype=np.int64)
        for k, handed in enumerate(self.handed):
            mine = seq % self.workers == k
            found[mine] = handed.at(due_ns[mine])
        return found

    def in_window(self, column: str) -> float:
        """Sum over the window of a difference column of `seconds` (NaN when it was never seen)."""
        t = self.seconds.index.to_numpy()
        rows = self.seconds.loc[(t > self.warmup_s + 1e-9) & (t <= self.duration_s + 1e-9), column]
        return float(rows.sum(min_count=1))

    @property
    def window_s(self) -> float:
        return self.duration_s - self.warmup_s

    @property
    def cpu_s_per_million_events(self) -> float:
        """Generator CPU of the window, everything included; NaN without events."""
        events = self.in_window("offered")
        return self.in_window("cpu_s") / events * 1e6 if events else float("nan")


def validity(sent: Sent, latency_slo_ms: float | None = None) -> list[str]:
    """Why this run is no evidence (method.md 3); [] if it may be believed.

    A shortfall while the queue is full is the system's back-pressure and never counts here: such seconds, and those of
    the catching-up after them, are left out of the bins and of the lateness.
    """
    reasons = list(sent.worker_failures)
    if sent.stopped:
        reasons.append("the generator was stopped before its schedule ended")
    lost = sum(sent.failed.values())
    if lost:
        worst = ", ".join(f"{n:,} {name}" for name, n in sorted(sent.failed.items(), key=lambda e: -e[1])[:3])
        reasons.append(f"{lost:,} events were not delivered ({worst})")
    if sent.without_report:
        reasons.append(f"{sent.without_report:,} events had no delivery report when the flush gave up")
    if abs(sent.clock_step_ms) > MAX_CLOCK_STEP_MS:
        reasons.append(f"the clock stepped by {sent.clock_step_ms:.1f} ms during the run")
    if sent.mode == "paced":
        reasons += _schedule_kept(sent, latency_slo_ms)
    return reasons


def _schedule_kept(sent: Sent, latency_slo_ms: float | None) -> list[str]:
    reasons = []
    limit = max(MAX_LATENESS_P99_MS, (latency_slo_ms or 0.0) / 10)
    late = sent.lateness_ms.percentile(99)
    if late is None and sent.lateness_ms.n:
        late = sent.lateness_ms.max  # too few for a p99: their worst stands for it
    if late is not None and late > limit:
        reasons.append(f"schedule lateness p99 {late:.1f} ms is over {limit:g} ms: the generator did not keep up")
    if not sent.lateness_ms.n and not sent.lateness_blocked_ms.n:
        reasons.append("no event was due in the measured window")
    t = sent.seconds.index.to_numpy()
    rows = sent.seconds[(t > sent.warmup_s + 1e-9) & (t <= sent.duration_s + 1e-9)]
    if rows.empty:
        return [*reasons, "no whole second lies in the measured window"]
    free = rows[rows["blocked_s"].fillna(0) <= 0]
    target, offered = float(free["target"].sum()), float(free["offered"].sum())
    if target and offered < MIN_OFFERED_WINDOW * target:
        share = f"{offered / target:.2%}"
        reasons.append(f"offered {share} of the target over the window, expected {MIN_OFFERED_WINDOW:.1%}")
    bins = free.groupby(((free.index.to_numpy() - 1 - sent.warmup_s) // BIN_S).astype(int))[["target", "offered"]].sum()
    poor = bins[bins["offered"] < MIN_OFFERED_BIN * bins["target"]]
    if len(poor):
        worst = float((poor["offered"] / poor["target"]).min())
        reasons.append(
            f"offered fell to {worst:.1%} of the target in {len(poor)} of {len(bins)} bins of {BIN_S} s, "
            f"expected {MIN_OFFERED_BIN:.0%}"
        )
    return reasons
