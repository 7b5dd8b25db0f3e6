"""The brokers' counters as the JMX exporter prints them."""

from __future__ import annotations

import math

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
