"""The one registry of what is measured: name, unit, definition, source, which way is better, what may be concluded.

`python -m bench.metrics` prints docs/metrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Better(StrEnum):
    """Which way a change is an improvement."""

    LOWER = "lower"
    HIGHER = "higher"
    NEUTRAL = "neutral"


@dataclass(frozen=True)
class Effect:
    """The smallest difference worth a verdict: a share of the base value, or an absolute floor if that is more."""

    relative: float
    absolute: float = 0.0  # in the metric's unit

    def share_of(self, base: float) -> float:
        """The effect as a share of `base`: 20 % or 5 ms is 0.5 when the base is 10 ms."""
        return max(self.relative, self.absolute / abs(base)) if base else self.relative


@dataclass(frozen=True)
class Metric:
    """What a number means. `min_effect` is by stat ("value", "p50", "p99"); a stat without one is exploratory."""

    name: str
    unit: str
    definition: str
    source: str
    better: Better
    transfers: bool  # whether the number, or at least its ratio between two settings, means something on other hosts
    min_effect: Mapping[str, Effect] = field(default_factory=dict)

    @property
    def within(self) -> tuple[float, float]:
        """What the number can be: a share is 0 to 1, growth may be negative, everything else is at least 0."""
        if self.name in WITH_BOUNDS:
            return -math.inf, math.inf
        return 0.0, 1.0 if self.unit == "share" else math.inf

    def has(self, stat: str) -> bool:
        """Whether this metric comes with percentiles or bounds called `stat`."""
        if stat in ("lower", "upper"):
            return self.name in WITH_BOUNDS
        return stat == "value" or (self.unit == "ms" and stat in LATENCY_STATS)


def full_name(metric: str, stat: str = "value") -> str:
    """A metric and which statistic of it, as cells, claims and files call it: "e2e_latency_ms p99"."""
    return metric if stat == "value" else f"{metric} {stat}"


LATENCY_STATS = ("p50", "p90", "p95", "p99", "p99.9", "p99.99", "max")
WITH_BOUNDS = ("backlog_slope_eps",)  # their percentiles are {"lower", "upper"}: a 95 % interval within the run

_FIVE_PERCENT = {"value": Effect(0.05)}
_LATENCY = {"value": Effect(0.10), "p50": Effect(0.10), "p99": Effect(0.20, absolute=5.0)}

_LOW, _HIGH, _NEUTRAL = Better.LOWER, Better.HIGHER, Better.NEUTRAL
_HISTOGRAM = "Value: the median; percentiles from a log-linear histogram, only as far as 10 samples lie beyond."
_FILES = "length and st_blocks of the files in the partitions' folders"
_DOOR = "the door of the local backend's object store, which every request passes"
KINDS = {  # how requests to an object store are told apart
    "put": "a whole object written or copied (PUT, COPY)",
    "multipart": "the parts of a large object, its beginning and completion",
    "list": "listings",
    "get": "objects read",
    "head": "questions whether an object is there",
    "delete": "objects removed, or multipart uploads given up",
}
_DETAILS = "Flink's checkpoint details: the slowest subtask of the slowest task"
_CPU = "user and system time of all its processes over the measured window, from /proc or the container's cgroup"


def _cpu(component: str, whose: str, better: Better = _LOW) -> Metric:
    return Metric(
        f"{component}_cpu_s_per_million_events",
        "CPU-s/1M events",
        f"CPU-seconds that {whose} used in the measured window, for a million events acknowledged in it.",
        _CPU,
        better,
        True,
        _FIVE_PERCENT,
    )


def _rss(component: str, whose: str) -> Metric:
    return Metric(
        f"{component}_rss_bytes",
        "bytes",
        f"Resident memory of {whose}: the highest sample of the measured window.",
        "/proc or the container's cgroup, each second or two",
        _LOW,
        True,
    )


# fmt: off
_ALL = (
    # the load and its generator
    Metric("target_eps", "events/s", "Events due per second of the measured window by the schedule.",
           "the load's schedule", _NEUTRAL, False),
    Metric("offered_eps", "events/s", "Events handed to the producer per second of the measured window.",
           "the generator's count", _NEUTRAL, False, _FIVE_PERCENT),
    Metric("acknowledged_eps", "events/s", "Events acknowledged by the broker per second of the measured window.",
           "delivery reports of the producer", _HIGH, False, _FIVE_PERCENT),
    Metric("acknowledged_events", "events", "Events acknowledged by the broker over the whole run, warm-up included.",
           "delivery reports, compared with the end-offset delta", _NEUTRAL, False),
    Metric("delivery_errors", "events", "Events the producer gave up on over the whole run.",
           "delivery reports of the producer", _LOW, False),
    Metric("schedule_lateness_ms", "ms",
           f"How long after its due time an event was handed to the producer. {_HISTOGRAM}",
           "the generator's monotonic clock", _LOW, False),
    # latency: three clocks. Response = schedule delay (above) + service, event by event; percentiles do not add up
    Metric("produce_latency_ms", "ms",
           f"Response: from an event's due time to its acknowledgement. {_HISTOGRAM}",
           "the due time in the event and the producer's delivery report", _LOW, False, _LATENCY),
    Metric("produce_service_ms", "ms",
           "Service: from the moment an event was handed to the producer to its acknowledgement, of the same events. "
           f"A generator that waits for its answers reports this, and hides the delay. {_HISTOGRAM}",
           "the generator's hand-over times and the producer's delivery report", _LOW, False),
    Metric("e2e_latency_ms", "ms",
           "Response: from an event's due time to its arrival at the end of the pipeline: the broker's append to the "
           "output topic of the per-event branch, visibility to a live read_committed reader under exactly-once, or "
           f"without a pipeline the consuming engine's read. {_HISTOGRAM}",
           "the due time in the event; LogAppendTime of the output topic or the reader's clock", _LOW, False, _LATENCY),
    Metric("e2e_service_ms", "ms",
           "Service: from the moment an event was handed to the producer to its append at the end of the pipeline, of "
           f"the same events as the response. Not known of events that a live reader waited for. {_HISTOGRAM}",
           "the generator's hand-over times and LogAppendTime of the output topic", _LOW, False),
    Metric("window_latency_ms", "ms",
           "From the due time of a window's end to the append of its result. Samples are emission instants, not rows; "
           f"the disorder bound and the watermark interval are part of it. {_HISTOGRAM}",
           "LogAppendTime of the output topic", _LOW, False, _LATENCY),
    # keeping up
    Metric("backlog_events", "events",
           "Events between the log's end and the read position (not the committed offset) when the window ends.",
           "Flink's pendingRecords, or end offsets minus the consumers' positions", _LOW, False),
    Metric("backlog_slope_eps", "events/s",
           "Growth of the backlog over the measured window: Theil-Sen slope. Its percentiles are lower and upper, the "
           "95 % bounds within the run.",
           "the backlog's per-second series", _LOW, False),
    Metric("sustainable_rate_eps", "events/s",
           "Highest rate that met every criterion of the search and was confirmed by 4 of 5 runs.",
           "the search's confirmed trials", _HIGH, False, _FIVE_PERCENT),
    Metric("drain_eps", "events/s", "Prefilled events read per second, from the first read to the last.",
           "Flink's numRecordsIn or the consumers' counts", _HIGH, False, _FIVE_PERCENT),
    Metric("output_share", "share", "Output events over what the workload's oracle expects of the same input.",
           "the output topic read back", _HIGH, True),
    Metric("consumed_eps", "events/s",
           "Events read per second of the measured window by all consumer groups together: n groups read each event n "
           "times.", "the consumers' positions, once a second", _HIGH, False, _FIVE_PERCENT),
    # what it costs the machines
    _cpu("broker", "the brokers"),
    _cpu("flink", "JobManager, TaskManagers and their Python workers"),
    _cpu("generator", "the load generator"),
    _cpu("consumer", "the consuming engine, all groups together,"),
    _cpu("store", "the object store and its door, which stand for a service on other machines,"),
    _cpu("system", "brokers, Flink and consuming engine together"),
    _rss("broker", "the brokers"),
    _rss("flink", "JobManager, TaskManagers and their Python workers"),
    _rss("generator", "the load generator"),
    _rss("consumer", "the consuming engine"),
    _rss("store", "the object store and its door"),
    Metric("probes_cpu_share", "share",
           "CPU time that this command's own process used (probes, waiting) over that of brokers, Flink, consumers and "
           "itself, the generator left out, in the measured window. What answering costs those is in theirs.",
           "/proc, each second or two", _LOW, False),
    Metric("broker_open_files", "files", "Open file descriptors of the brokers once the load is over.",
           "/proc/PID/fd", _LOW, True, _FIVE_PERCENT),
    Metric("broker_memory_maps", "maps", "Memory mappings of the brokers once the load is over.",
           "/proc/PID/maps", _LOW, True, _FIVE_PERCENT),
    Metric("broker_live_heap_bytes", "bytes",
           "Heap of the brokers that is in use after a full collection, once the load is over: what they cannot do "
           "without.",
           "the JVM's GC.heap_info after GC.run, over its attach socket", _LOW, True, _FIVE_PERCENT),
    Metric("host_busy_share", "share",
           "CPU time of the whole host that was not idle, over the measured window. Most kernels sample it at their "
           "tick: of work that wakes in step with it, as a paced load does, they see too much or too little. The "
           "components' CPU is exact.",
           "/proc/stat", _LOW, False),
    Metric("host_steal_share", "share", "CPU time taken by the hypervisor from this host over the measured window.",
           "/proc/stat", _LOW, False),
    # bytes, batches and requests
    Metric("payload_bytes_per_event", "bytes/event", "Serialised key and value of an event before compression.",
           "the generator's count", _NEUTRAL, True, _FIVE_PERCENT),
    Metric("wire_bytes_per_event", "bytes/event",
           "Bytes the producers sent to the brokers, protocol and batch headers included, per acknowledged event.",
           "librdkafka's tx_bytes", _LOW, True, _FIVE_PERCENT),
    Metric("fetched_bytes_per_event", "bytes/event",
           "Bytes the consumers received from the brokers, protocol and batch headers included, per event that one of "
           "them read.", "librdkafka's rx_bytes", _LOW, True, _FIVE_PERCENT),
    Metric("replication_bytes_per_event", "bytes/event",
           "Bytes of record batches that followers fetched from leaders, all copies, per acknowledged event. Of all "
           "topics: the offsets that groups commit are among them, and grow with partitions, not with events.",
           "the brokers' ReplicationBytesInPerSec", _LOW, True, _FIVE_PERCENT),
    # between racks: each leg per acknowledged event, in the direction of the data
    Metric("cross_zone_produce_bytes_per_event", "bytes/event",
           "Bytes that producers sent to leaders in another rack than their own, protocol included, per acknowledged "
           "event of the whole run.", "librdkafka's txbytes by broker", _LOW, True, _FIVE_PERCENT),
    Metric("cross_zone_replication_bytes_per_event", "bytes/event",
           "Bytes that followers received from leaders in another rack, protocol included, per acknowledged event. Of "
           "all topics, committed offsets too.",
           "incoming-byte-total of the brokers' replica fetchers, by leader", _LOW, True, _FIVE_PERCENT),
    Metric("cross_zone_consume_bytes_per_event", "bytes/event",
           "Bytes that consumers of all groups received from brokers in another rack than their own, protocol "
           "included, per acknowledged event of the whole run.", "librdkafka's rxbytes by broker", _LOW, True,
           _FIVE_PERCENT),
    Metric("cross_zone_bytes_per_event", "bytes/event",
           "Produced, replicated and consumed bytes between racks together, per acknowledged event.",
           "the three above", _LOW, True, _FIVE_PERCENT),
    Metric("cross_zone_return_bytes_per_event", "bytes/event",
           "What went between racks against the data, and is billed as well: acknowledgements to producers, requests "
           "of consumers and followers, per acknowledged event. The cost model leaves it out.",
           "librdkafka's rxbytes and txbytes by broker, outgoing-byte-total of the replica fetchers", _LOW, True),
    Metric("cross_zone_over_formula", "ratio",
           "cross_zone_bytes_per_event over what the cost model's formula makes of wire_bytes_per_event: (z-1)/z for "
           "producing, copies - 1 for replicating, (z-1)/z a group for consuming, 0 where it fetches from followers.",
           "the legs above; the formula takes leaders and clients to be spread evenly", _NEUTRAL, True),
    Metric("cross_zone_over_places", "ratio",
           "cross_zone_bytes_per_event over what wire_bytes_per_event makes with the racks where each partition's "
           "leader and copies, each producer and each consumer really were, weighted by the events of each partition.",
           "the legs above; the brokers' metadata, end offsets, what each member read", _NEUTRAL, True),
    Metric("disk_bytes_per_event", "bytes/event",
           "Bytes allocated on the disks of all brokers for the topic's partitions (segments and indexes, holes of "
           "sparse files not counted), per acknowledged event.",
           "st_blocks of the partitions' folders after the run", _LOW, True, _FIVE_PERCENT),
    Metric("log_bytes_per_event", "bytes/event",
           "Size of the topic's log segments on all brokers without their indexes, per acknowledged event.",
           "file sizes in the partitions' folders, or DescribeLogDirs", _LOW, True, _FIVE_PERCENT),
    Metric("protocol_bytes_per_event", "bytes/event",
           "Bytes the producers sent that are no record batches (requests around them, what is asked about topics), "
           "per acknowledged event: wire_bytes_per_event less one replica's log_bytes_per_event.",
           "librdkafka's tx_bytes and file sizes in the partitions' folders", _LOW, True, _FIVE_PERCENT),
    Metric("topic_log_bytes", "bytes", "Length of the topic's log segments on all brokers once the load is over.",
           _FILES, _LOW, True, _FIVE_PERCENT),
    Metric("topic_log_allocated_bytes", "bytes", "Disk blocks that these log segments take.", _FILES, _LOW, True,
           _FIVE_PERCENT),
    Metric("topic_index_bytes", "bytes",
           "Length of the segments' offset indexes. Kafka claims 10 MiB for each in advance: mostly holes.",
           _FILES, _LOW, True, _FIVE_PERCENT),
    Metric("topic_index_allocated_bytes", "bytes", "Disk blocks that the offset indexes take.", _FILES, _LOW, True,
           _FIVE_PERCENT),
    Metric("topic_time_index_bytes", "bytes",
           "Length of the segments' time indexes. Kafka claims 10 MiB for each in advance: mostly holes.",
           _FILES, _LOW, True, _FIVE_PERCENT),
    Metric("topic_time_index_allocated_bytes", "bytes", "Disk blocks that the time indexes take.", _FILES, _LOW, True,
           _FIVE_PERCENT),
    Metric("topic_segments", "segments", "Log segments of the topic on all brokers once the load is over.", _FILES,
           _LOW, True, _FIVE_PERCENT),
    Metric("topic_bytes_per_partition", "bytes",
           "Disk blocks that a replica of a partition takes beside its records: indexes, checkpoints, the unfilled end "
           "of the last block. It comes once a segment, and does not grow with events.",
           _FILES, _LOW, True, _FIVE_PERCENT),
    Metric("clock_offset_ms", "ms",
           "How far the brokers' clocks were ahead of this machine's, where they are on others: taken out of every "
           "latency that ends with a broker's stamp.",
           "records sent one by one to each broker, whose stamp lies between two looks at our clock", _NEUTRAL, False),
    Metric("clock_error_ms", "ms",
           "The bound on the error of clock_offset_ms, and so of those latencies: half of the narrowest interval that "
           "all exchanges leave, before and after the load, over all brokers.",
           "the same exchanges (Cristian's bound)", _LOW, False),
    Metric("topic_create_s", "s",
           "From the request that makes the input topic to the moment when every partition's leader tells where it "
           "ends.",
           "the admin client's clock", _LOW, False, {"value": Effect(0.20)}),
    Metric("topic_delete_s", "s",
           "From the request that deletes the input topic to the moment when no folder of it is left on any broker. A "
           "broker waits a second (log.segment.delete.delay.ms, as set here) before it removes them.",
           "the admin client's clock and the brokers' data folders", _LOW, False, {"value": Effect(0.20)}),
    Metric("local_share", "share",
           "Bytes of the topic's segments on the brokers' disks when the measured window ended, of all that had been "
           "written to it, copies included. Only of tiered topics.",
           "file sizes, once a second; the brokers' BytesInPerSec", _LOW, True, _FIVE_PERCENT),
    Metric("tiered_share", "share",
           "Bytes of the topic's segments in the remote store when the measured window ended, of all that had been "
           "written to it. What is in both places counts in both.",
           "file sizes, once a second; the brokers' BytesInPerSec", _NEUTRAL, True),
    Metric("upload_lag_s", "s",
           "How long ago as much had been written as is in the remote store: the median over the window. The segment "
           "that is still open is part of it.",
           "per-second series of bytes written and bytes in the remote store", _LOW, False, {"value": Effect(0.20)}),
    Metric("history_eps", "events/s",
           "Events read per second by one consumer that begins at the topic's first event when the load is over.",
           "the consumer's count and clock, from its first batch to its last", _HIGH, False, _FIVE_PERCENT),
    Metric("compression_ratio", "ratio",
           "Payload bytes over the bytes of their record batches; below 1 when headers outweigh compression.",
           "the generator's count and the brokers' BytesInPerSec or log size", _HIGH, True, _FIVE_PERCENT),
    Metric("batch_records", "events", "Mean number of events in a record batch as produced.",
           "librdkafka's batch counts", _HIGH, True, _FIVE_PERCENT),
    Metric("batch_bytes", "bytes", "Mean size of a record batch as produced.",
           "librdkafka's batch sizes", _HIGH, True, _FIVE_PERCENT),
    Metric("produce_requests_per_million_events", "requests/1M events",
           "Produce requests the brokers served for a million acknowledged events.",
           "the brokers' TotalProduceRequestsPerSec", _LOW, True, _FIVE_PERCENT),
    Metric("s3_requests", "requests", "Requests of every kind made to the object store over the measured window.",
           _DOOR, _LOW, True, _FIVE_PERCENT),
    *(Metric(f"s3_{kind}_requests", "requests", f"Of these: {which}.", _DOOR, _LOW, True, _FIVE_PERCENT)
      for kind, which in KINDS.items()),
    Metric("s3_failed_requests", "requests",
           "Requests that the object store answered with an error; 404 is none, it is how one asks what is there.",
           _DOOR, _LOW, True),
    Metric("s3_uploaded_bytes", "bytes", "Bodies of the requests made to the object store over the measured window.",
           _DOOR, _LOW, True, _FIVE_PERCENT),
    Metric("s3_downloaded_bytes", "bytes", "Bodies of its answers over the measured window.", _DOOR, _LOW, True),
    Metric("s3_latency_ms", "ms",
           "What a request to the object store took in the measured window, from its first line to the last byte of "
           f"its answer. {_HISTOGRAM}", _DOOR, _NEUTRAL, False),
    Metric("s3_latency_over_configured", "ratio",
           "Median of what requests took over the median of what they were configured to take, of the kind of request "
           "(put, multipart, list, get, head, delete) where the two are farthest apart.", _DOOR, _NEUTRAL, False),
    Metric("checkpoint_put_requests", "requests",
           "Requests that S3 bills as PUT, COPY, POST or LIST, per checkpoint completed in the measured window.",
           _DOOR, _LOW, True, _FIVE_PERCENT),
    Metric("checkpoint_get_requests", "requests",
           "Requests that S3 bills as GET and all other (HEAD among them), per checkpoint completed in the measured "
           "window. Deleting is free.", _DOOR, _LOW, True, _FIVE_PERCENT),
    # Flink
    Metric("busy_share", "share", "Time that the busiest task spent working, over the measured window.",
           "differences of Flink's accumulated busy, idle and back-pressured times", _LOW, False),
    Metric("backpressured_share", "share", "Time that the most back-pressured task waited for the one after it.",
           "differences of Flink's accumulated busy, idle and back-pressured times", _LOW, False),
    Metric("watermark_lag_ms", "ms",
           "How far the source's watermark is behind simulated event time, in milliseconds of event time, disorder "
           "bound included. Value: the median of the per-second samples.",
           "Flink's currentOutputWatermark", _LOW, False),
    Metric("source_idle_subtasks", "subtasks",
           "Subtasks of a Kafka source that have read nothing since the job began or last restarted, as those beyond "
           "the number of partitions; of several sources, the one with most.",
           "Flink's numRecordsIn of each subtask of the source, asked once when the load is over", _NEUTRAL, True),
    Metric("source_skew", "ratio",
           "Records that the busiest subtask of a Kafka source has read over the mean of all its subtasks, idle ones "
           "too, since the job began or last restarted: 1 is even. Of several sources, the most uneven.",
           "Flink's numRecordsIn of each subtask of the source, asked once when the load is over", _LOW, True,
           _FIVE_PERCENT),
    Metric("checkpoint_duration_ms", "ms",
           "From a checkpoint's trigger to its completion, completed ones of the measured window. Value: the median.",
           "Flink's checkpoint history", _LOW, False, _LATENCY),
    Metric("checkpoint_size_bytes", "bytes",
           "Full state of a completed checkpoint, not an incremental one's delta: the mean of the measured window.",
           "Flink's checkpoint history", _LOW, True, _FIVE_PERCENT),
    Metric("checkpoint_written_bytes", "bytes",
           "What a completed checkpoint itself wrote, an incremental one's delta: the mean of the measured window.",
           "Flink's checkpoint history", _LOW, True, _FIVE_PERCENT),
    Metric("checkpoint_sync_ms", "ms",
           "The part of a checkpoint in which a task stands still. Value: the median of the measured window.",
           _DETAILS, _LOW, False),
    Metric("checkpoint_async_ms", "ms",
           "The part of a checkpoint that writes and uploads while the task goes on. Value: the median.",
           _DETAILS, _LOW, False),
    Metric("checkpoint_alignment_ms", "ms",
           "From a checkpoint's first barrier to its last at a task with several inputs. 0 where none are aligned "
           "(at-least-once). Value: the median.", _DETAILS, _LOW, False),
    Metric("checkpoint_start_delay_ms", "ms",
           "From a checkpoint's trigger to its first barrier at a task: what barriers wait behind events. Value: the "
           "median.", _DETAILS, _LOW, False),
    Metric("checkpoints_completed", "checkpoints", "Checkpoints that completed in the measured window.",
           "Flink's checkpoint history", _NEUTRAL, False),
    Metric("checkpoints_failed", "checkpoints", "Checkpoints that failed or were declined in the measured window.",
           "Flink's checkpoint counts", _LOW, False),
    Metric("restarts", "restarts", "Restarts of the job during the run.", "Flink's numRestarts", _LOW, False),
    Metric("tasks_lost", "tasks", "Tasks of the job that ran at one moment of the measured window and not at another.",
           "Flink's count of the job's RUNNING subtasks, each second or two", _LOW, True),
    Metric("slots_freed", "slots", "Slots that were in use at one moment of the measured window and not at another.",
           "Flink's overview, each second or two", _NEUTRAL, True),
    Metric("task_managers_lost", "TaskManagers",
           "TaskManagers that were registered at one moment of the measured window and not at another.",
           "Flink's overview, each second or two", _NEUTRAL, True),
    Metric("flink_cores", "cores", "CPU-seconds a second that Flink used over the measured window, with events or "
           "without.", _CPU, _LOW, False, _FIVE_PERCENT),
    Metric("flink_rss_ratio", "ratio", "Resident memory of Flink at the end of the measured window over that at its "
           "beginning.", "/proc or the container's cgroup, each second or two", _NEUTRAL, True),
    Metric("windows_closed", "windows", "Windows in the job's outputs, told apart by their ends, of the whole run.",
           "the output topics read back", _NEUTRAL, False),
    # is it right?
    Metric("late_events", "events", "Events that windows dropped because they came after the watermark.",
           "Flink's numLateRecordsDropped", _LOW, True),
    Metric("window_missing_share", "share",
           "Of the counts that windows should hold, those that they do not: what came too late for them.",
           "the output read back, compared with the oracle", _LOW, True),
    Metric("lost_events", "events",
           "Events that were acknowledged and are not where they should be: topic or output, compared with the oracle.",
           "end offsets and the output read back", _LOW, True),
    Metric("duplicated_events", "events", "Events found more often than once where the oracle expects one.",
           "end offsets and the output read back", _LOW, True),
    Metric("malformed_events", "events", "Events that could not be read and were routed aside, none of them silently.",
           "the output topic `aside` read back, compared with the oracle", _LOW, True),
    # alerts against the workload's labels
    Metric("precision", "share", "Alerts that were right, of all alerts that the job's rule raises on the stream.",
           "the oracle, from the workload's labels", _HIGH, True, _FIVE_PERCENT),
    Metric("recall", "share",
           "What should have been alerted and was: fraudulent payments, or outages that began at least 8 s of event "
           "time before the end.",
           "the oracle, from the workload's labels and the output", _HIGH, True, _FIVE_PERCENT),
    Metric("f1_score", "share", "Harmonic mean of precision and recall.", "the oracle", _HIGH, True, _FIVE_PERCENT),
    Metric("f1_over_threshold_rule", "share",
           "f1_score minus that of the best rule `amount >= x`, x chosen in hindsight on the same events.",
           "the oracle", _HIGH, True),
    Metric("alert_latency_ms", "ms",
           "From the due time of what deserves an alert (a fraudulent payment, the first event after an outage began) "
           f"to the append of its first alert. {_HISTOGRAM}",
           "LogAppendTime of the output topic, due times of the oracle", _LOW, False, _LATENCY),
    Metric("false_alarms_per_hour", "alerts/h", "Alerts without an outage, per hour of event time.", "the oracle",
           _LOW, True),
    Metric("detect_s", "s", "From a fault's beginning to Flink's first record of the failure; the last fault's.",
           "Flink's exception history", _LOW, False, {"value": Effect(0.20)}),
    Metric("restart_s", "s", "From there until the last task had found its place again: slots, delays, deployment.",
           "Flink's times of each subtask (INITIALIZING)", _LOW, False, {"value": Effect(0.20)}),
    Metric("restore_s", "s", "From there until the last task had its state back and ran.",
           "Flink's times of each subtask (RUNNING)", _LOW, False, {"value": Effect(0.20)}),
    Metric("catch_up_s", "s", "From there until the backlog was back to what it was before: the end of recovery_s.",
           "the backlog's per-second series", _LOW, False, {"value": Effect(0.20)}),
    Metric("broker_stop_s", "s",
           "From the request to end (SIGTERM) to the end of a broker's process: its logs are flushed and closed.",
           "the harness's clock", _LOW, False, {"value": Effect(0.20)}),
    Metric("broker_ready_s", "s",
           "From the start of a broker's process that had ended, or had been killed, to the moment when it tells the "
           "end offset of every partition of the topic; the longest of several. Not told of topics with replicas, for "
           "which others answer.",
           "the admin client, many times a second", _LOW, False, {"value": Effect(0.20)}),
    Metric("failover_s", "s",
           "From the kill of a broker to the moment when every partition has a leader among the others that tells its "
           "end offset; the longest of several. A silent broker is taken for dead after 9 s "
           "(broker.session.timeout.ms).",
           "the admin client, about once a second while a leader is gone", _LOW, False, {"value": Effect(0.20)}),
    Metric("failovers_missed", "failovers",
           "Killed brokers that were started again before others led all of their partitions: such a failover has no "
           "`failover_s`.", "the admin client", _LOW, True),
    Metric("rebalance_join_s", "s",
           "From a further member's request to join a consumer group to the last partition that a member was given "
           "thereafter; the longest of several.", "the members' own clocks", _LOW, False, {"value": Effect(0.20)}),
    Metric("rebalance_leave_s", "s",
           "From the moment when a member leaves a consumer group to the last partition that another was given "
           "thereafter; the longest of several.", "the members' own clocks", _LOW, False, {"value": Effect(0.20)}),
    Metric("recovery_s", "s",
           "From a fault's beginning to the first moment when the backlog (where nobody reads: the producer's queue) "
           "is back to the highest it was in the ten seconds before; the longest of several faults.",
           "the per-second series of the backlog or the queue", _LOW, False, {"value": Effect(0.20)}),
)

# fmt: on
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Every metric by name. A run holds no other."""


def markdown() -> str:
    """docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Generated by `python -m bench.metrics`. Every number in a run, a verdict or a report is one of these.",
        "",
        "- *better*: which way a change is an improvement.",
        "- *transfers*: whether the number, or its ratio between two settings, means something on another host.",
        "  What does not (absolute rates, latencies) describes the host that it was measured on.",
        "- *smallest effect*: the difference that a verdict is about; without one a metric is exploratory,",
        "  and a claim that uses it has to declare its own.",
        "",
        "| metric | unit | better | transfers | smallest effect | definition | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for metric in METRICS.values():
        effects = [_effect_text(stat, effect, metric.unit) for stat, effect in metric.min_effect.items()]
        cells = [
            f"`{metric.name}`",
            metric.unit,
            str(metric.better),
            "yes" if metric.transfers else "no",
            ", ".join(effects) or "-",
            metric.definition,
            metric.source,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _effect_text(stat: str, effect: Effect, unit: str) -> str:
    name = "" if stat == "value" else f"{stat} "
    floor = f" or {effect.absolute:g} {unit}, whichever is more" if effect.absolute else ""
    return f"{name}{effect.relative:.0%}{floor}"


if __name__ == "__main__":
    print(markdown(), end="")
