"""From what was sampled to what is reported: the metrics of one run. Pure: no clock, no cluster.

Times are seconds since the load's t0. A number that could not be measured is left out; nothing here fills a gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis import counter, occupancy
from bench.analysis.histogram import LogLinearHistogram
from bench.analysis.slope import theil_sen
from bench.jobs import Output, Waits
from bench.loadgen import Sent
from bench.metrics import METRICS
from bench.probes import Samples
from bench.probes.flink import Checkpoints
from bench.record import Measurement

F64 = npt.NDArray[np.float64]
BEFORE_S = 10.0  # what is normal, said by the time just before a fault
MOST_UNSEEN = 0.2  # of a window's samples, where "nothing went" is the answer
FEWEST_WINDOWS = 8  # a median of fewer emission instants is an anecdote
DRAIN_EDGES = (
    0.1,
    0.9,
)  # a drain's rate between these shares of its events: its first reads and its last are not its pace
HELD_FROM = 0.3  # of a drain's events: read without limits, until the job's own code is compiled
HELD_EDGES = (0.4, 0.95)  # the same where limits hold from then on
HELD_LEAST = 0.5  # of that window's seconds, which have to be left where they began to hold in its midst


@dataclass(frozen=True)
class Window:
    """The measured part of a run."""

    from_s: float
    to_s: float

    @property
    def seconds(self) -> float:
        return self.to_s - self.from_s


@dataclass
class Findings:
    """Metrics under construction: values that are not finite are missing, and missing ones are named."""

    metrics: dict[str, Measurement] = field(default_factory=dict)
    histograms: dict[str, LogLinearHistogram] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def put(
        self, name: str, value: float, percentiles: Mapping[str, float] | None = None, n: int | None = None
    ) -> None:
        """One metric of the registry, in its unit."""
        if math.isfinite(value):
            self.metrics[name] = Measurement(float(value), METRICS[name].unit, percentiles, n)
        else:
            self.missing.append(name)

    def put_latency(self, name: str, histogram: LogLinearHistogram, *, independent_n: int | None = None) -> None:
        """A latency: its median, and percentiles as far as the samples go."""
        if histogram.n == 0:
            self.missing.append(name)
            return
        self.histograms[name] = histogram
        found = histogram.percentiles(independent_n)
        median = histogram.percentile(50.0, independent_n)
        self.put(name, math.nan if median is None else median, found, independent_n or histogram.n)


def per_million(cpu_s: float, events: float) -> float:
    """CPU-seconds per million events; NaN without events."""
    return cpu_s / events * 1e6 if events > 0 else math.nan


def share(used_s: float, available_s: float) -> float:
    """Of the time there was; NaN when there was none (a drain that was not over has an empty window)."""
    return used_s / available_s if available_s > 0 else math.nan


def generator_metrics(found: Findings, sent: Sent, window: Window) -> None:
    """Rates, lateness, produce latency, CPU, bytes and batches, as the generator and librdkafka saw them."""
    acked, offered, batches = (sent.in_window(name) for name in ("acked", "offered", "batches"))
    found.put("offered_eps", offered / window.seconds)
    found.put("acknowledged_eps", acked / window.seconds)
    if "target" in sent.seconds:
        found.put("target_eps", sent.in_window("target") / window.seconds)
    found.put("generator_cpu_s_per_million_events", sent.cpu_s_per_million_events)
    found.put("generator_rss_bytes", float(sent.rss_peak_bytes))
    # librdkafka counts bytes at its own moments: over the whole run nothing falls between two of them
    whole = sent.seconds[["tx_bytes", "batches", "batch_records", "batch_bytes"]].sum(min_count=1)  # never told: NaN
    if sent.acknowledged_events:
        found.put("wire_bytes_per_event", float(whole["tx_bytes"]) / sent.acknowledged_events)
    if batches > 0:
        found.put("batch_records", float(whole["batch_records"] / whole["batches"]))
        found.put("batch_bytes", float(whole["batch_bytes"] / whole["batches"]))
    found.put("acknowledged_events", float(sent.acknowledged_events))
    found.put("delivery_errors", float(sum(sent.failed.values())))
    if sent.mode != "paced":
        return  # closed by back-pressure: nothing was due, and a latency from "when there was room" is what it hides
    found.put_latency("schedule_lateness_ms", sent.lateness_ms)
    if sent.lateness_blocked_ms.n:
        found.histograms["schedule_lateness_blocked_ms"] = sent.lateness_blocked_ms
    found.put_latency("produce_latency_ms", sent.produce_latency_ms)
    found.put_latency("produce_service_ms", sent.produce_service_ms)


def component_metrics(
    found: Findings, samples: Samples, window: Window, events: Mapping[str, float], cores: int
) -> None:
    """CPU per million events and memory of each component; `events`: how many each one handled in the window."""
    for component, handled in events.items():
        used = samples.delta(f"{component}_cpu_s", window.from_s, window.to_s)
        found.put(f"{component}_cpu_s_per_million_events", per_million(used, handled))
        _, resident = samples.window(f"{component}_rss_bytes", window.from_s, window.to_s)
        found.put(f"{component}_rss_bytes", float(resident.max()) if resident.size else math.nan)
    watching = samples.delta("harness_cpu_s", window.from_s, window.to_s)
    ours = [component for component in events if component != "store"]  # which stands for a service elsewhere
    watched = sum(samples.delta(f"{component}_cpu_s", window.from_s, window.to_s) for component in ours)
    found.put("probes_cpu_share", share(watching, watched + watching))
    for name in ("busy", "steal"):
        used = samples.delta(f"host_{name}_s", window.from_s, window.to_s)
        found.put(f"host_{name}_share", share(used, window.seconds * cores))


def backlog_metrics(found: Findings, samples: Samples, window: Window) -> None:
    """Backlog and its growth, of whoever headlines."""
    t_s, backlog = samples.window("backlog_events", window.from_s, window.to_s)
    found.put("backlog_events", float(backlog[-1]) if backlog.size else math.nan)
    slope = theil_sen(t_s, backlog) if not missing_share(backlog) > 0.1 else None
    if slope is None:
        found.missing.append("backlog_slope_eps")
    else:
        bounds = {"lower": slope.low, "upper": slope.high} if math.isfinite(slope.low) else None
        found.put("backlog_slope_eps", slope.per_s, bounds, slope.n)


def system_cpu(found: Findings, samples: Samples, window: Window, events: float, components: Sequence[str]) -> None:
    """CPU of all these components together, for a million of the events that came in."""
    used = sum(samples.delta(f"{component}_cpu_s", window.from_s, window.to_s) for component in components)
    found.put("system_cpu_s_per_million_events", per_million(used, events))


def job_metrics(found: Findings, samples: Samples, window: Window) -> None:
    """Backlog, its growth, and how busy the tasks were."""
    backlog_metrics(found, samples, window)
    found.put("busy_share", busiest(samples, "busy_ms", window))
    found.put("backpressured_share", busiest(samples, "backpressured_ms", window))
    restarts = samples.series("restarts").value.dropna()
    found.put("restarts", float(restarts.iloc[-1]) if len(restarts) else math.nan)


def capacity_metrics(found: Findings, samples: Samples, window: Window) -> None:
    """What became of the job's tasks, slots and TaskManagers during the window, and what Flink used meanwhile."""
    for series, name in (("tasks_running", "tasks_lost"), ("slots_used", "slots_freed"),
                         ("task_managers", "task_managers_lost")):  # fmt: skip
        _, there = samples.window(series, window.from_s, window.to_s)
        gaps, there = missing_share(there) > MOST_UNSEEN, there[np.isfinite(there)]
        # below the most there were until then: one that came in the meantime is no loss
        lost = float((np.maximum.accumulate(there) - there).max()) if there.size else math.nan
        found.put(name, math.nan if gaps and lost == 0 else lost)  # that nothing went has to have been seen
    used = samples.delta("flink_cpu_s", window.from_s, window.to_s)
    found.put("flink_cores", share(used, window.seconds))
    _, resident = samples.window("flink_rss_bytes", window.from_s, window.to_s)
    known = resident[np.isfinite(resident)]
    found.put("flink_rss_ratio", float(known[-1] / known[0]) if known.size else math.nan)


def source_metrics(found: Findings, sources: Sequence[Sequence[float]]) -> None:
    """How evenly subtasks share what a source reads; `sources`: records of each subtask, a sequence a source.

    One subtask that is not known (NaN) leaves both missing, and so does a job without a source that could be asked.
    """
    records = [np.asarray(one, dtype=float) for one in sources]
    known = bool(records) and all(one.size and np.isfinite(one).all() for one in records)
    idle = [float((one == 0).sum()) for one in records]
    skews = [float(one.max() / one.mean()) for one in records if known and one.sum() > 0]
    found.put("source_idle_subtasks", max(idle) if known else math.nan)
    found.put("source_skew", max(skews, default=math.nan))


def windows_closed(found: Findings, outputs: Mapping[str, Output]) -> None:
    """How many windows the job has written, by their ends; only for jobs that have some."""
    windows = [output.rows["window_end_ms"] for output in outputs.values() if "window_end_ms" in output.rows]
    found.put("windows_closed", float(sum(len(np.unique(ends)) for ends in windows)))


def replication_metric(found: Findings, samples: Samples, window: Window, acknowledged: float) -> None:
    """What followers fetched, by the brokers' own counters. Only where there are followers: one copy moves nothing."""
    moved = samples.delta("broker_replication_bytes_in", window.from_s, window.to_s)
    found.put("replication_bytes_per_event", share(moved, acknowledged))


def recovery_metric(found: Findings, backlog: pd.DataFrame, faults: pd.DataFrame) -> None:
    """From the beginning of each fault until `backlog` is back to the highest it was in the 10 s before: the longest.

    `faults`: how many lasted from each moment on. A backlog that never came back is missing, not zero.
    """
    waits = []
    for began_s in faults.t_s[np.diff(faults.value, prepend=0.0) > 0]:
        before = backlog[(backlog.t_s >= began_s - BEFORE_S) & (backlog.t_s < began_s)].value.max()
        rose_s = backlog[(backlog.t_s > began_s) & (backlog.value > before)].t_s.min()
        back = backlog[(backlog.t_s > rose_s) & (backlog.value <= before)]
        waits.append(float(back.t_s.min() - began_s) if len(back) else math.nan)
    found.put("recovery_s", max(waits) if waits and np.isfinite(waits).all() else math.nan)


def replaced_metrics(found: Findings, stop_s: float | None, failover_s: float | None, ready_s: float | None) -> None:
    """How long a broker took to end, others to lead, and it to be back; of several the longest, None: not known."""
    for name, seconds in (("broker_stop_s", stop_s), ("failover_s", failover_s), ("broker_ready_s", ready_s)):
        if seconds is not None:
            before = found.metrics.get(name)
            found.put(name, max(seconds, before.value if before else 0.0))


def recovery_phases(found: Findings, began_s: float, noticed_s: float, deployed_s: float, running_s: float) -> None:
    """Where a recovery's time went; after `recovery_metric`. All times on the samples' clock."""
    found.put("detect_s", noticed_s - began_s)
    found.put("restart_s", deployed_s - noticed_s)
    found.put("restore_s", running_s - deployed_s)
    whole = found.metrics.get("recovery_s")
    found.put("catch_up_s", began_s + whole.value - running_s if whole else math.nan)


def missing_share(values: F64) -> float:
    """Share of samples that are NaN; 1 for none at all."""
    return float(np.isnan(values).mean()) if values.size else 1.0


def busiest(samples: Samples, state: str, window: Window) -> float:
    """The largest share over the tasks of the time that all its subtasks had, by Flink's own clock."""
    tables = samples.tables()
    accounts = [found for task in occupancy.tasks(tables) if (found := occupancy.spent(tables, task))]
    shares = []
    for account in accounts:
        spent_ms, whole_ms = (
            counter.growth(account["t_s"], account[name], window.from_s, window.to_s) for name in (state, "whole_ms")
        )
        shares.append(share(spent_ms, whole_ms))
    return max((one for one in shares if math.isfinite(one)), default=math.nan)


def watermark_lag(found: Findings, samples: Samples, window: Window, t0_ns: int, speed: float) -> None:
    """Simulated event time minus the watermark, in event-time ms, the median over the window's samples."""
    t_s, mark = samples.window("watermark_ms", window.from_s, window.to_s)
    # before the first event a watermark is Long.MIN: not a lag of 292 million years
    seen = np.isfinite(mark) & (mark > 0)
    if seen.any():
        now_ms = t0_ns / 1e6 + speed * t_s[seen] * 1e3
        found.put("watermark_lag_ms", float(np.median(now_ms - mark[seen])))


def checkpoint_metrics(found: Findings, checkpoints: Checkpoints, window: Window, t0_ns: int) -> None:
    """Duration and size of the checkpoints triggered in the window."""
    at_s = (checkpoints.completed["trigger_ms"] - t0_ns / 1e6) / 1e3
    inside = checkpoints.completed[(at_s >= window.from_s) & (at_s < window.to_s)]
    found.put("checkpoints_completed", float(len(inside)))
    failed_s = [(at_ms - t0_ns / 1e6) / 1e3 for at_ms in checkpoints.failed_at_ms]
    found.put("checkpoints_failed", float(sum(window.from_s <= at < window.to_s for at in failed_s)))
    if len(inside):
        histogram = LogLinearHistogram("ms").add(inside["duration_ms"].to_numpy())
        found.put("checkpoint_duration_ms", float(inside["duration_ms"].median()), n=len(inside))
        found.histograms["checkpoint_duration_ms"] = histogram
        found.put("checkpoint_size_bytes", float(inside["size_bytes"].mean()))
        found.put("checkpoint_written_bytes", float(inside["written_bytes"].mean()))


def checkpoint_part_metrics(found: Findings, tasks: pd.DataFrame) -> None:
    """Where a checkpoint's time goes: the median over checkpoints of the slowest task."""
    for part in ("sync_ms", "async_ms", "alignment_ms", "start_delay_ms"):
        slowest = tasks.groupby("id")[part].max().dropna()
        found.put(f"checkpoint_{part}", float(slowest.median()) if len(slowest) else math.nan, n=len(slowest) or None)


def latency_metrics(found: Findings, output: Output, sent: Sent, window: Window) -> None:
    """End-to-end: the broker's append to the output minus the event's due time, and minus its hand-over."""
    due_ns, seq = (output.rows[name].to_numpy(dtype=np.int64) for name in ("due_ns", "seq"))
    since_s = (due_ns - sent.t0_ns) / 1e9
    inside = (since_s >= window.from_s) & (since_s < window.to_s)
    due_ns, append_ms = due_ns[inside], output.append_ms[inside]
    found.put_latency("e2e_latency_ms", LogLinearHistogram("ms").add(append_ms - due_ns / 1e6))
    handed_ns = sent.handed_ns(seq[inside], due_ns)
    known = handed_ns >= 0
    found.put_latency("e2e_service_ms", LogLinearHistogram("ms").add(append_ms[known] - handed_ns[known] / 1e6))


def latency_by_second(output: Output, t0_ns: int) -> pd.DataFrame:
    """99th percentile of the latencies of events due in each second; DataFrame(t_s: the second's end, value: ms)."""
    due_ns = output.rows["due_ns"].to_numpy(dtype=np.int64)
    table = pd.DataFrame({"t_s": (due_ns - t0_ns) // 1_000_000_000 + 1, "value": output.append_ms - due_ns / 1e6})
    return table.groupby("t_s")["value"].quantile(0.99).reset_index().astype(float)


def window_latency(found: Findings, output: Output, t0_ns: int, speed: float, window: Window) -> None:
    """Append of a window's result minus the due time of its end. Samples are emission instants, not rows.

    Event time E is simulated as t0 + speed x (due - t0), so its due time is the inverse.
    """
    if "window_end_ms" not in output.rows:
        return
    end_ms, t0_ms = output.rows["window_end_ms"].to_numpy(dtype=np.float64), t0_ns / 1e6
    due_ms = t0_ms + (end_ms - t0_ms) / speed
    first = pd.DataFrame({"end": end_ms, "due": due_ms, "append": output.append_ms}).groupby("end").min()
    since_s = (first["due"] - t0_ms) / 1e3
    inside = first[(since_s >= window.from_s) & (since_s < window.to_s)]
    waits = (inside["append"] - inside["due"]).to_numpy()
    if len(waits) >= FEWEST_WINDOWS:
        histogram = LogLinearHistogram("ms").add(waits)
        found.histograms["window_latency_ms"] = histogram
        found.put("window_latency_ms", float(np.median(waits)), histogram.percentiles() or None, len(waits))


def oracle_waits(found: Findings, waits: Mapping[str, Waits], t0_ns: int, window: Window) -> None:
    """Latencies that an oracle told, of what was due in the measured window."""
    for name, these in waits.items():
        since_s = (these.due_ns - t0_ns) / 1e9
        inside = these.ms[(since_s >= window.from_s) & (since_s < window.to_s)]
        found.put_latency(name, LogLinearHistogram("ms").add(inside))


def storage_metrics(found: Findings, disk: Mapping[str, int], sent: Sent, *, moved: bool = False) -> None:
    """Bytes on disk for each acknowledged event of the topic's whole life, all replicas.

    `moved`: some of them are in a remote store now, so that what is here says nothing about compression.
    """
    events = sent.acknowledged_events
    if events and disk.get("partitions"):
        found.put("disk_bytes_per_event", disk.get("allocated", math.nan) / events)
        found.put("log_bytes_per_event", disk["log"] / events)
        payload = (
            float(sent.seconds["offered_bytes"].sum(min_count=1)) / sent.offered_events
            if sent.offered_events
            else math.nan
        )
        found.put("payload_bytes_per_event", payload)
        if not moved:
            found.put("compression_ratio", payload * events / disk["log"] if disk["log"] else math.nan)
        found.put("topic_segments", disk.get("segments", math.nan))
        beside = disk.get("allocated", math.nan) - disk["log"]
        found.put("topic_bytes_per_partition", beside / disk["partitions"])
        for kind, name in (("log", "log"), ("index", "index"), ("timeindex", "time_index")):
            found.put(f"topic_{name}_bytes", disk.get(kind, math.nan))
            found.put(f"topic_{name}_allocated_bytes", disk.get(f"{kind}_allocated", math.nan))
    elif events:
        found.missing += ["disk_bytes_per_event", "log_bytes_per_event"]


def protocol_metric(found: Findings, replicas: int) -> None:
    """What the wire carries beside record batches; after `generator_metrics` and `storage_metrics`."""
    wire, log = found.metrics.get("wire_bytes_per_event"), found.metrics.get("log_bytes_per_event")
    if wire and log:
        found.put("protocol_bytes_per_event", wire.value - log.value / replicas)


def footprint_metrics(found: Findings, footprint: Mapping[str, int]) -> None:
    """What the brokers hold: files, maps, live heap, as far as it can be seen."""
    for name in ("open_files", "memory_maps", "live_heap_bytes"):
        found.put(f"broker_{name}", footprint.get(name, math.nan))


def drain_window(
    samples: Samples, events: int, counter: str, edges: tuple[float, float] = DRAIN_EDGES
) -> Window | None:
    """When `counter` went from one edge of a drain's events to the other; None when the samples do not say."""
    table = samples.series(counter).dropna()
    if len(table) < 3 or table.value.iloc[-1] < edges[1] * events:
        return None
    # the counter only grows; equal neighbours (Flink refreshes once a second) would make the inverse ambiguous
    t_s, read = table["t_s"].to_numpy(), table["value"].to_numpy()
    grew = np.diff(read, prepend=-1.0) > 0
    low, high = (float(np.interp(share * events, read[grew], t_s[grew])) for share in edges)
    return Window(low, high) if high > low else None


def held_window(window: Window, held_s: float) -> Window | None:
    """What of a drain's window lies after its limits began to hold (NaN: they never did); None: too little, or none."""
    if math.isnan(held_s):
        return None
    left = Window(max(window.from_s, held_s), window.to_s)
    return left if left.seconds >= HELD_LEAST * window.seconds else None
