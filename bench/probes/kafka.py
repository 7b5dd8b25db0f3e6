"""Kafka as seen from outside: end offsets, the JMX exporter's counters, and whole topics read back after a run."""

from __future__ import annotations

import math
import re
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from bench.errors import BrokerError
from bench.probes import Probe

READ_TIMEOUT_S = 120.0
QUIET_S = 10.0  # reading back: this long without a record means that something is missing

# exporter's line: kafka_server_BrokerTopicMetrics_Count{name="BytesInPerSec",topic="t"} 123.0
_LINE = re.compile(r'^(\w+)(?:\{([^}]*)\})? (\S+)', re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def end_offsets(bootstrap: str, topic: str, *, committed: bool = False, timeout_s: float = 10.0) -> dict[int, int]:
    """Partition -> log end offset (`committed`: the last stable offset, what a read_committed reader sees)."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    try:
        partitions = admin.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        wanted = {TopicPartition(topic, p): OffsetSpec.latest() for p in partitions}
        answers = admin.list_offsets(wanted, isolation_level=level, request_timeout=timeout_s)
        return {tp.partition: answer.result().offset for tp, answer in answers.items()}
    except KafkaException as error:
        raise BrokerError(f"end offsets of {topic}: {error.args[0].str()}") from error


def parse_exporter(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """(name, labels, value) of each sample in the Prometheus text format."""
    for name, labels, value in _LINE.findall(text):
        yield name, dict(_LABEL.findall(labels)), float(value)


def jmx(urls: Sequence[str], topic: str) -> Probe:
    """Counters of all brokers together: `broker_bytes_in` (record batches of `topic`), `broker_messages_in`, requests, GC.

    BytesInPerSec counts record batches, not protocol overhead; replication is apart (`broker_replication_bytes_in`).
    """

    def probe() -> Mapping[str, float]:
        totals: dict[str, float] = {}
        for url in urls:
            with urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310 -- http on loopback, built by us
                text = answer.read().decode()
            for name, labels, value in parse_exporter(text):
                key = _counter(name, labels, topic)
                if key and not math.isnan(value):
                    totals[key] = totals.get(key, 0.0) + value
        return totals

    return probe


_TOPIC_COUNTERS = {"BytesInPerSec": "broker_bytes_in", "BytesOutPerSec": "broker_bytes_out", "MessagesInPerSec": "broker_messages_in"}
_BROKER_COUNTERS = {
    "ReplicationBytesInPerSec": "broker_replication_bytes_in",
    "ReplicationBytesOutPerSec": "broker_replication_bytes_out",
    "TotalProduceRequestsPerSec": "broker_produce_requests",
    "TotalFetchRequestsPerSec": "broker_fetch_requests",
    "FailedProduceRequestsPerSec": "broker_failed_produce_requests",
}


def _counter(name: str, labels: Mapping[str, str], topic: str) -> str:
    lowered = name.lower()
    if lowered == "kafka_server_brokertopicmetrics_count":
        if labels.get("topic") == topic:
            return _TOPIC_COUNTERS.get(labels.get("name", ""), "")
        return "" if "topic" in labels else _BROKER_COUNTERS.get(labels.get("name", ""), "")
    if lowered == "java_lang_memory_heapmemoryusage_used":
        return "broker_heap_bytes"
    if lowered == "java_lang_garbagecollector_collectiontime":
        return "broker_gc_ms"
    return ""


@dataclass(frozen=True)
class ReadBack:
    """Every record of a topic: values as written, the broker's or the producer's timestamp, where each lay."""

    values: list[bytes]
    timestamp_ms: np.ndarray
    partition: np.ndarray


def read_topic(bootstrap: str, topic: str, *, committed: bool = False, timeout_s: float = READ_TIMEOUT_S) -> ReadBack:
    """Read a topic from its beginning to the offsets it ends at now. BrokerError when records do not arrive."""
    ends = {p: end for p, end in end_offsets(bootstrap, topic, committed=committed).items() if end > 0}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "streamgauge-readback",  # never joined, nothing is committed: assign() only
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "auto.offset.reset": "earliest",
            "queued.min.messages": 500_000,
            "fetch.message.max.bytes": 8 << 20,
            "check.crcs": False,
            "log_level": 0,
        }
    )
    values: list[bytes] = []
    timestamps: list[int] = []
    partitions: list[int] = []
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in ends])
        open_partitions = set(ends)
        waits = 0.0
        while open_partitions and waits < min(QUIET_S, timeout_s):
            batch = consumer.consume(10_000, timeout=0.5)
            waits = 0.0 if batch else waits + 0.5
            good = [message for message in batch if message.error() is None]
            values += [message.value() for message in good]
            timestamps += [message.timestamp()[1] for message in good]
            partitions += [message.partition() for message in good]
            # at the end of a partition librdkafka says so with an error object; control records count there too
            open_partitions -= {message.partition() for message in batch if message.error() is not None}
    finally:
        consumer.close()
    if open_partitions:
        raise BrokerError(f"reading {topic} back: {len(open_partitions)} partitions gave nothing for {QUIET_S:.0f} s")
    return ReadBack(values, np.array(timestamps, dtype=np.int64), np.array(partitions, dtype=np.int32))
