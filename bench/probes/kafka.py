"""The brokers' own counters through their JMX exporters, and where a topic's log ends."""

from __future__ import annotations

import math
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not re-exported

from bench import keyring
from bench.probes import Probe

# exporter's line: kafka_server_BrokerTopicMetrics_Count{name="BytesInPerSec",topic="t"} 123.0
_LINE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def parse_exporter(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """(name, labels, value) of each sample in the Prometheus text format."""
    for name, labels, value in _LINE.findall(text):
        yield name, dict(_LABEL.findall(labels)), float(value)


# What a round reads, by the exporter's names: 1.8 KB instead of the 15 that it tells of a small broker and its own JVM
_TOLD = (
    "kafka_server_BrokerTopicMetrics_Count",
    "java_lang_Memory_HeapMemoryUsage_used",
    "java_lang_GarbageCollector_CollectionTime",
)
_ONLY = urllib.parse.urlencode([("name[]", name) for exact in _TOLD for name in (exact, exact.lower())])


def jmx(urls: Sequence[str], topic: str) -> Probe:
    """Counters of all brokers: `broker_bytes_in` (record batches of `topic`), `broker_messages_in`, requests, GC.

    BytesInPerSec counts record batches, not protocol overhead; replication is apart (`broker_replication_bytes_in`).
    """

    def probe() -> Mapping[str, float]:
        totals: dict[str, float] = {}
        for url in urls:
            for name, labels, value in parse_exporter(_page(f"{url}{'&' if '?' in url else '?'}{_ONLY}", 2.0)):
                key = _counter(name, labels, topic)
                if key and not math.isnan(value):
                    totals[key] = totals.get(key, 0.0) + value
        return totals

    return probe


def _page(url: str, timeout_s: float) -> str:
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 -- http on loopback, built by us
        text: str = answer.read().decode()
        return text


FOLLOWERS_TIMEOUT_S = 20.0  # asked before and after a load, not once a second: it may take its time
_FETCHER = {
    "kafka_server_replica_fetcher_metrics_outgoing_byte": 0,  # the exporter takes "-total" for its own suffix
    "kafka_server_replica_fetcher_metrics_incoming_byte": 1,
}

Links = dict[tuple[int, int], tuple[float, float]]
"""(leader, follower) -> bytes that the follower (sent to, received from) the leader since it began to follow it."""


def followers(urls: Sequence[str]) -> Links:
    """What each broker's fetchers counted on the wire, of all topics; `urls` are those of the brokers 1, 2, …

    OSError when a broker does not answer.
    """
    found: dict[tuple[int, int], list[float]] = {}
    for follower, url in enumerate(urls, 1):
        for name, labels, value in parse_exporter(_page(url, FOLLOWERS_TIMEOUT_S)):
            if (way := _FETCHER.get(name.lower())) is not None:
                found.setdefault((int(labels["broker_id"]), follower), [0.0, 0.0])[way] += value
    return {link: (sent, received) for link, (sent, received) in found.items()}


_TOPIC_COUNTERS = {
    "BytesInPerSec": "broker_bytes_in",
    "BytesOutPerSec": "broker_bytes_out",
    "MessagesInPerSec": "broker_messages_in",
}
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


END_TIMEOUT_S = 2.0  # a broker that does not answer in time leaves a gap in the series, not a hole in all of them


def log_end(bootstrap: str, topic: str, partitions: int) -> Probe:
    """`log_end_events`: the sum of the end offsets of a topic's partitions, by a client of its own."""
    admin = AdminClient({**keyring.client(bootstrap), "log_level": 0})
    wanted = {TopicPartition(topic, p): OffsetSpec.latest() for p in range(partitions)}  # type: ignore[no-untyped-call]
    known: dict[int, int] = {}

    def probe() -> Mapping[str, float]:
        for one, answer in admin.list_offsets(wanted, request_timeout=END_TIMEOUT_S).items():
            told = answer.result(END_TIMEOUT_S).offset
            if told >= 0:  # else its leader does not answer, and takes no events meanwhile: it ends where it did
                known[one.partition] = told
        return {"log_end_events": float(sum(known.values()))} if len(known) == partitions else {}

    return probe
