"""Usage of a live cluster against a fake admin with known deltas, and the log directory protocol against bytes."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from bench import logdirs
from bench.errors import BrokerError
from costmodel import usage_from_cluster

DAY_MS = 86_400_000


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class FakeCluster:
    """Three brokers in three racks. `orders` gets 1,000 records/s of 200 B at RF 3, `audit` 100/s of 100 B at RF 1.

    Every replica is on each broker in turn; `now` moves when somebody sleeps.
    """

    def __init__(self, orders_retention_ms: int = 7 * DAY_MS) -> None:
        self.now = 0.0
        self.rates = {"orders": (1000, 200, 3), "audit": (100, 100, 1)}
        self.retention = {"orders": orders_retention_ms, "audit": DAY_MS}
        self.written_before_s = 864_000.0
        self.deleted_at: float | None = None
        self.asked: list[str] = []
        self.hidden: tuple[str, ...] = ()  # topics whose settings may not be described
        self.leaderless: tuple[str, ...] = ()  # librdkafka then tells an offset of -1001, and no error

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def records(self, topic: str) -> float:
        rate = self.rates[topic][0]
        return rate * (self.written_before_s + self.now) / 2  # two partitions share it

    def list_topics(self, timeout: float) -> Any:
        topics = {
            name: SimpleNamespace(partitions={p: SimpleNamespace(replicas=list(range(copies))) for p in range(2)})
            for name, (_, _, copies) in self.rates.items()
        }
        topics["__consumer_offsets"] = SimpleNamespace(partitions={0: SimpleNamespace(replicas=[0])})
        brokers = {i: SimpleNamespace(host=f"b{i}", port=9092) for i in range(3)}
        return SimpleNamespace(topics=topics, brokers=brokers)

    def describe_configs(self, asked: list[Any]) -> Mapping[Any, Future[Any]]:
        refused: Future[Any] = Future()
        refused.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
        told = {name: done({"retention.ms": SimpleNamespace(value=str(ms))}) for name, ms in self.retention.items()}
        return {one: refused if one.name in self.hidden else told[one.name] for one in asked}

    def list_offsets(self, wanted: Mapping[Any, Any]) -> Mapping[Any, Future[Any]]:
        return {
            one: done(SimpleNamespace(offset=-1001 if one.topic in self.leaderless else int(self.records(one.topic))))
            for one in wanted
        }

    def list_consumer_groups(self, states: Any) -> Future[Any]:
        return done(SimpleNamespace(valid=["a", "b"], errors=[]))

    def describe_cluster(self) -> Future[Any]:
        return done(SimpleNamespace(nodes=[SimpleNamespace(rack=rack) for rack in "abc"]))

    def log_dirs(self, host: str, port: int) -> dict[tuple[str, int], int]:
        self.asked.append(host)
        here = int(host[1])
        sizes = {}
        for name, (_, record_bytes, copies) in self.rates.items():
            for partition in range(2):
                if here < copies:
                    lost = 10**9 if self.deleted_at is not None and self.now > self.deleted_at and partition == 0 else 0
                    sizes[name, partition] = int(self.records(name) * record_bytes) - lost
        sizes["__consumer_offsets", 0] = int(10**9 * self.now)
        return sizes

    def usage(self, **changes: Any) -> Any:
        return usage_from_cluster(
            "fake:1",
            region="us-east-1",
            window_s=60,
            admin=self,
            log_dirs=self.log_dirs,
            sleep=self.sleep,
            clock=lambda: self.now,
            **changes,
        )


def test_a_partition_that_nobody_leads_is_named_and_not_counted_from_an_offset_below_zero() -> None:
    """-1001 for a million records, and back, would be a rate of its own."""
    cluster = FakeCluster()
    cluster.leaderless = ("audit",)
    with pytest.raises(BrokerError, match=r"partition 0 of audit \(and 1 more\) has no leader that answers"):
        cluster.usage()


def test_offsets_and_log_directories_become_rates_that_count_each_copy_once() -> None:
    usage = FakeCluster().usage()

    assert float(usage.ingest.mb_s.value) == pytest.approx((1000 * 200 + 100 * 100) / 1e6, rel=1e-3)
    assert float(usage.ingest.record_bytes.value) == pytest.approx(210_000 / 1100, rel=1e-3)
    assert usage.ingest.mb_s.basis == "measured"
    assert usage.ingest.mb_s.n == 3
    assert usage.topics.partitions.value == 4
    assert usage.topics.replication_factor.value == 3
    assert usage.consumers.groups.value == 2
    assert usage.zones.value == 3
    assert float(usage.retention.days.value) == pytest.approx((1000 * 7 + 100 * 1) / 1100)


def test_a_segment_deleted_meanwhile_does_not_make_the_stream_look_smaller() -> None:
    cluster = FakeCluster()
    cluster.deleted_at = 30

    assert float(cluster.usage().ingest.mb_s.value) == pytest.approx(0.21, rel=1e-3)


def test_a_topic_kept_for_ever_counts_with_its_age_and_not_as_nothing() -> None:
    usage = FakeCluster(orders_retention_ms=-1).usage()

    assert float(usage.retention.days.value) == pytest.approx((1000 * 10 + 100 * 1) / 1100, rel=1e-2)
    assert "orders" in usage.retention.days.note


def test_without_permission_for_settings_the_rest_is_told_and_retention_assumed() -> None:
    """The command ended with "does not list its topics", though it listed them all."""
    cluster = FakeCluster()
    cluster.hidden = ("orders",)
    days = cluster.usage().retention.days
    assert float(days.value) == pytest.approx((1000 * 7 + 100 * 1) / 1100)  # 7 assumed, 1 as it says
    assert days.basis == "assumed"
    assert "settings of orders cannot be described here: 7 days assumed" in days.note
    cluster.hidden = ("orders", "audit")
    assert float(cluster.usage().retention.days.value) == 7


def test_a_silent_cluster_is_refused_and_not_priced_at_nothing() -> None:
    cluster = FakeCluster()
    cluster.rates = {name: (0, size, copies) for name, (_, size, copies) in cluster.rates.items()}

    with pytest.raises(BrokerError, match="nothing was written"):
        cluster.usage()


@pytest.fixture
def broker() -> Iterator[tuple[int, list[bytes], list[bytes]]]:
    """A port that answers one request with prepared bytes, and the requests it got."""
    answers: list[bytes] = []
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                (length,) = struct.unpack(">i", link.recv(4))
                requests.append(link.recv(length))
                for chunk in answers:
                    link.sendall(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], answers, requests
        thread.join(5)


def directory(topic: bytes, *partitions: tuple[int, int, int], error: int = 0) -> bytes:
    replicas = b"".join(struct.pack(">iqqb", partition, size, 0, future) for partition, size, future in partitions)
    topics = struct.pack(">h", len(topic)) + topic + struct.pack(">i", len(partitions)) + replicas
    return struct.pack(">h", error) + struct.pack(">h", 5) + b"/data" + struct.pack(">i", 1) + topics


def framed(*directories: bytes) -> bytes:
    body = struct.pack(">iii", 1, 0, len(directories)) + b"".join(directories)
    return struct.pack(">i", len(body)) + body


def test_log_directories_are_summed_and_a_replica_on_the_move_is_counted_once(broker: Any) -> None:
    port, answers, requests = broker
    whole = framed(directory(b"orders", (0, 100, 0), (1, 7, 0)), directory(b"orders", (0, 60, 1)))
    answers += [whole[:9], whole[9:]]  # an answer arrives in pieces

    assert logdirs.describe("127.0.0.1", port) == {("orders", 0): 100, ("orders", 1): 7}
    assert requests[0][:4] == struct.pack(">hh", 35, 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (framed(directory(b"orders", (0, 1, 0), error=31)), "Kafka error 31"),
        (framed(directory(b"orders", (0, 1, 0)))[:-4] + b"", "closed"),
        (b"HTTP/1.1 400 Bad Request\r\n", "no Kafka broker"),
    ],
)
def test_an_answer_that_is_not_log_directories_is_refused_by_name(broker: Any, answer: bytes, said: str) -> None:
    port, answers, _ = broker
    answers.append(answer)

    with pytest.raises(BrokerError, match=said):
        logdirs.describe("127.0.0.1", port)
