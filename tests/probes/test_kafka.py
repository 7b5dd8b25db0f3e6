"""The brokers' counters as the JMX exporter prints them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from bench.probes import kafka
from bench.probes.kafka import parse_exporter

TEXT = """\
# HELP kafka_server_BrokerTopicMetrics_Count Attribute exposed for management
# TYPE kafka_server_BrokerTopicMetrics_Count untyped
kafka_server_BrokerTopicMetrics_Count{name="BytesInPerSec",topic="sg-1-in",} 1.2345E7
kafka_server_BrokerTopicMetrics_Count{name="BytesInPerSec"} 999
java_lang_Memory_HeapMemoryUsage_used 5.0
jvm_something NaN
"""


def test_every_sample_is_read_with_its_labels() -> None:
    """A topic's bytes taken for the broker's, or the reverse, counts other trials' traffic as this one's."""
    *found, (name, labels, value) = parse_exporter(TEXT)
    assert found == [
        ("kafka_server_BrokerTopicMetrics_Count", {"name": "BytesInPerSec", "topic": "sg-1-in"}, 12_345_000.0),
        ("kafka_server_BrokerTopicMetrics_Count", {"name": "BytesInPerSec"}, 999.0),
        ("java_lang_Memory_HeapMemoryUsage_used", {}, 5.0),
    ]
    assert (name, labels) == ("jvm_something", {})
    assert math.isnan(value)


PAGES = {
    1: """\
kafka_server_replica_fetcher_metrics_incoming_byte{broker_id="2",fetcher_id="0"} 500.0
kafka_server_replica_fetcher_metrics_incoming_byte{broker_id="2",fetcher_id="1"} 50.0
kafka_server_replica_fetcher_metrics_incoming_byte_rate{broker_id="2",fetcher_id="0"} 7.0
kafka_server_replica_fetcher_metrics_outgoing_byte{broker_id="2",fetcher_id="0"} 20.0
""",
    2: "",
}


def test_bytes_of_each_link_between_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replication is the largest leg between zones: a rate, or one fetcher of two, would halve it unnoticed."""
    monkeypatch.setattr(kafka, "_page", lambda url, timeout_s: PAGES[int(url)])
    assert kafka.followers(["1", "2"]) == {(2, 1): (20.0, 550.0)}


def test_the_end_of_a_topic_stands_still_while_a_partition_has_no_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka tells an offset of -1001 then, and no error: the backlog of a fault would shrink by as much."""
    told = iter([{0: 5, 1: -1001}, {0: 5, 1: 7}, {0: 9, 1: -1001}])

    class Admin:
        def __init__(self, _: object) -> None:
            pass

        def list_offsets(self, wanted: dict[Any, Any], request_timeout: float) -> dict[Any, Any]:
            assert request_timeout > 0
            offsets = next(told)
            return {
                one: SimpleNamespace(result=lambda _, o=offsets[one.partition]: SimpleNamespace(offset=o))
                for one in wanted
            }

    monkeypatch.setattr(kafka, "AdminClient", Admin)
    probe = kafka.log_end("nowhere:1", "clicks", 2)
    assert [dict(probe()), dict(probe()), dict(probe())] == [{}, {"log_end_events": 12.0}, {"log_end_events": 16.0}]
