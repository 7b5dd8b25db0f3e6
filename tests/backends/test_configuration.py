"""What Kafka and Flink are told: the part of a result that nobody sees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from bench.backends.flink import CREDENTIALS, FlinkPlan, credentials, settings
from bench.backends.kafka import BrokerPlan, properties
from bench.backends.local import free_ports

RUN = Path("/run")


def broker(node_id: int, rack: str) -> BrokerPlan:
    return BrokerPlan(node_id, rack, 9000 + node_id, 9100 + node_id, 9200 + node_id, RUN / f"broker-{node_id}")


BROKERS = [broker(1, "a"), broker(2, "b"), broker(3, "c")]
FLINK = FlinkPlan(RUN / "flink", 8081, 6123, 6124, slots=2, task_heap_mb=512, managed_mb=128, raw={"a.b": "c"})


def test_a_broker_is_told_exactly_this(snapshot: SnapshotAssertion) -> None:
    """A setting that changes unseen changes every number measured after it; the golden file makes it seen."""
    assert properties(BROKERS[1], BROKERS) == snapshot(name="second of three")
    assert properties(BROKERS[0], BROKERS[:1]) == snapshot(name="alone")


def test_flink_is_told_exactly_this(snapshot: SnapshotAssertion) -> None:
    """As for the broker; and a raw setting of the scenario wins over ours, or an axis would vary nothing."""
    assert settings(FLINK, "--add-opens=x") == snapshot
    raw = FlinkPlan(RUN, 1, 2, 3, 2, 512, 128, raw={"heartbeat.timeout": "7000"})
    assert settings(raw, "")["heartbeat.timeout"] == "7000"


def test_keys_of_an_object_store_come_from_the_environment_and_are_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flink takes them from its own environment, but only where its configuration names none."""
    theirs = FlinkPlan(RUN, 1, 2, 3, 2, 512, 128, raw={"s3.endpoint": "https://s3"}, s3_url="http://127.0.0.1:4")
    for name in CREDENTIALS:
        monkeypatch.setenv(name, "hunter2")
    assert "hunter2" not in str(settings(theirs, ""))
    assert {"s3.access-key", "s3.secret-key"}.isdisjoint(settings(theirs, ""))
    assert credentials(theirs) == dict.fromkeys(CREDENTIALS, "hunter2")
    assert credentials(FLINK) == {}
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    assert settings(theirs, "")["s3.access-key"] == "unused"
    assert credentials(theirs) == {}


def test_every_address_is_loopback() -> None:
    """Kafka and Flink have no password here: one listener on another interface opens the user's machine."""
    told = properties(BROKERS[0], BROKERS)
    listeners = dict(line.split("=", 1) for line in told.splitlines())["listeners"].split(",")
    assert [re.sub(r"\d+$", "", listener) for listener in listeners] == [
        "PLAINTEXT://127.0.0.1:",
        "CONTROLLER://127.0.0.1:",
    ]
    flink = settings(FLINK, "")
    hosts = {key: value for key, value in flink.items() if key.endswith(("host", "address"))}
    assert set(hosts.values()) == {"127.0.0.1"}
    assert {"rest.bind-address", "jobmanager.bind-host", "taskmanager.bind-host"} <= hosts.keys()


def test_ports_are_not_given_twice() -> None:
    """Two brokers on one port: the second dies, and the trial crashes for nothing."""
    ports = free_ports(200)
    assert len(set(ports)) == 200
