"""librdkafka's mock cluster in this process: speaks the protocol on loopback, keeps records in memory, writes nothing.

For ceilings (what a client can do before any broker's work) and for tests.
"""

from __future__ import annotations

import ctypes as ct
from typing import Any, Self

from bench.errors import BrokerError
from bench.loadgen.librdkafka import library


class MockCluster:
    """`with MockCluster({"topic": 6}) as mock:` gives brokers at `mock.bootstrap` with these topics."""

    def __init__(self, topics: dict[str, int], brokers: int = 1) -> None:
        self.topics, self._brokers = topics, brokers
        self._client: Any = None
        self._cluster: Any = None

    def __enter__(self) -> Self:
        lib = library()
        error = ct.create_string_buffer(512)
        self._client = lib.rd_kafka_new(0, lib.rd_kafka_conf_new(), error, 512)
        self._cluster = lib.rd_kafka_mock_cluster_new(self._client, self._brokers)
        for name, partitions in self.topics.items():
            if lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1):
                raise BrokerError(f"the mock cluster refused a topic of {partitions} partitions")
        return self

    @property
    def bootstrap(self) -> str:
        return str(library().rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def __exit__(self, *_: object) -> None:
        library().rd_kafka_mock_cluster_destroy(self._cluster)
        library().rd_kafka_destroy(self._client)
