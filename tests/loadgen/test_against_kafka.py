"""The instrument against a real broker: its count is that of Kafka's own tool, and what a broker refuses is told."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import topics
from bench.backends import ClusterSpec
from bench.backends.local import LocalCluster, open_local
from bench.errors import StreamgaugeError
from bench.loadgen import drive, prefill, start_consumers, validity
from bench.toolchain import provision

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]

EVENTS, PARTITIONS = 200_000, 4
SETTINGS: dict[str, Any] = {
    "workload": {"name": "clicks", "format": "json", "event_bytes": 200, "keys": {"distinct": 200, "zipf": 1.05}},
    "load": {"rate_eps": 2_000.0, "workers": 1},
    "producer": {"linger_ms": 5},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    folder = tmp_path_factory.mktemp("kafka")
    spec = ClusterSpec(broker_heap_mb=512)
    with open_local(spec, run_dir=folder / "run", log_dir=folder / "logs") as opened:
        yield opened


def sent_to(cluster: LocalCluster, topic: str, folder: Path, **client: Any) -> Any:
    trial = {**SETTINGS, "producer": {**SETTINGS["producer"], "client": client}}
    return drive(
        trial, bootstrap=cluster.bootstrap, topic=topic, partitions=PARTITIONS, duration_s=2.0, warmup_s=0.0,
        run_dir=folder, seed=7,
    )  # fmt: skip


def test_our_consumers_count_what_kafkas_own_tool_counts(cluster: LocalCluster, tmp_path: Path) -> None:
    """Fan-out is priced by this count; kafka-consumer-perf-test knows nothing of our reading."""
    topics.create(cluster.bootstrap, "counted", partitions=PARTITIONS)
    common: dict[str, Any] = {"bootstrap": cluster.bootstrap, "topic": "counted", "partitions": PARTITIONS}
    sent = prefill(SETTINGS, EVENTS, **common, run_dir=tmp_path, seed=7, t0_ns=1_790_000_000_000_000_000)
    consuming = start_consumers([{"group": "ours", "members": 2}], **common, run_dir=tmp_path, census=EVENTS)
    consuming.begin(PARTITIONS)
    assert consuming.wait_for(EVENTS, 60)
    [read] = consuming.stop()
    tools = provision()
    argv = [
        str(tools.java), "-Xmx256m", "-cp", ":".join(map(str, tools.kafka_tools)),
        "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", cluster.bootstrap, "--topic", "counted",
        "--num-records", str(EVENTS + 1), "--timeout", "5000", "--hide-header",  # one more than there are: all
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    rows = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") >= 5]
    assert rows, done.stdout + done.stderr
    assert int(rows[-1][4]) == read.records == read.position == sent.acknowledged_events == EVENTS
    assert float(rows[-1][2]) == pytest.approx(read.value_bytes / 2**20, rel=0.05)  # it counts the keys' bytes besides
    assert read.census is not None
    assert (read.census == 1).all()


def test_a_record_too_large_for_the_broker_is_counted_under_its_name(cluster: LocalCluster, tmp_path: Path) -> None:
    """A load that the broker threw away would read as one that it carried."""
    topics.create(
        cluster.bootstrap,
        "small",
        partitions=PARTITIONS,
        config={"max.message.bytes": "300", "compression.type": "uncompressed"},
    )
    sent = sent_to(cluster, "small", tmp_path, **{"compression.type": "none"})
    assert sent.acknowledged_events + sum(sent.failed.values()) == sent.offered_events == 4_000
    assert sent.failed["MSG_SIZE_TOO_LARGE"] > 1_000
    [said] = [reason for reason in validity(sent) if "MSG_SIZE_TOO_LARGE" in reason]
    assert said.startswith(f"{sent.failed['MSG_SIZE_TOO_LARGE']:,} events were not delivered")


def test_a_topic_that_is_not_there_and_a_broker_that_wants_another_login_say_so(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    sent = sent_to(cluster, "nowhere", tmp_path, **{"topic.metadata.propagation.max.ms": 500})
    assert sent.acknowledged_events == 0
    [said] = [reason for reason in validity(sent) if "not delivered" in reason]
    assert "UNKNOWN_TOPIC" in said
    topics.create(cluster.bootstrap, "there", partitions=PARTITIONS)
    wrong = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": "p",
    }
    with pytest.raises(StreamgaugeError, match=r"topic there: no metadata within .*; the client said .* times\)"):
        sent_to(cluster, "there", tmp_path, **wrong)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_joins_and_leaves_and_every_record_is_read_once(
    cluster: LocalCluster, tmp_path: Path, protocol: str
) -> None:
    """A rebalance that is timed from a process's start, or that reads records twice, would be the protocol's fault."""
    topic = f"shared-{protocol}"
    topics.create(cluster.bootstrap, topic, partitions=6)
    common: dict[str, Any] = {"bootstrap": cluster.bootstrap, "topic": topic, "run_dir": tmp_path, "partitions": 6}
    group = [{"group": "a", "members": 2, "protocol": protocol}]
    consuming = start_consumers(group, **common, client={"fetch.wait.max.ms": 5})
    consuming.begin(6)
    sent_s = time.time()
    prefill(SETTINGS, 20_000, **common, seed=7, t0_ns=1_790_000_000_000_000_000)
    consuming.join()
    until(lambda: consuming.sizes()[-3:] == [2, 2, 2])
    consuming.leave()
    until(lambda: sorted(consuming.sizes()[:2]) == [3, 3])
    assert consuming.wait_for(20_000, 60)
    assert consuming.dead() == []  # who was told to leave has not died
    [read] = consuming.stop()
    assert (read.members, read.records, read.position, read.failures) == (3, 20_000, 20_000, ())
    assert len(read.joined_s) == len(read.left_s) == 1
    assert sent_s < read.joined_s[0] < read.left_s[0]
    for began_s in (read.joined_s, read.left_s):
        assert 0 < read.rebalance_s(began_s) < 60


def until(met: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)
