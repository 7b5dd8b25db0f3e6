"""The local cluster, for real: on loopback only, accounted, and gone without a trace afterwards."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from bench import topics
from bench.backends import ClusterSpec, Limits
from bench.backends.cpus import CORES, why_no_quota
from bench.backends.flink import MEASURABLE, get_json
from bench.backends.local import LocalCluster, open_local
from bench.errors import BrokerError
from bench.probes.components import components
from bench.probes.kafka import jmx
from tests.e2e.command import LOOPBACK, listening

pytestmark = pytest.mark.platform

GONE_S = 30.0


def leaders(cluster: LocalCluster, topic: str) -> set[int]:
    """Brokers that lead a partition of the topic, by a client that has asked nobody before."""
    metadata = AdminClient({"bootstrap.servers": cluster.bootstrap}).list_topics(topic, timeout=30)
    return {partition.leader for partition in metadata.topics[topic].partitions.values()}


def below(cluster: LocalCluster) -> list[psutil.Process]:
    return psutil.Process(cluster.subtree.pid).children(recursive=True)


def listeners(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """(address, port) of everything that one of them accepts connections on."""
    return {found for process in processes for found in listening(process)}


@contextmanager
def cluster_that_leaves_no_trace(spec: ClusterSpec, folder: Path) -> Iterator[LocalCluster]:
    """An open cluster; afterwards: no process, nobody at its ports, no run folder, and the logs kept."""
    run_dir, log_dir = folder / "run", folder / "logs"
    with open_local(spec, run_dir=run_dir, log_dir=log_dir) as cluster:
        processes, ports = below(cluster), listeners(below(cluster))
        assert processes
        assert ports
        yield cluster
    _, alive = psutil.wait_procs(processes, GONE_S)
    assert alive == []
    assert ports.isdisjoint(listeners(psutil.Process().children(recursive=True)))
    for address, port in ports:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            assert probe.connect_ex((address, port)) != 0, f"somebody still answers on {address}:{port}"
    assert not run_dir.exists()
    assert all(path.stat().st_size for path in log_dir.glob("*.log"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    spec = ClusterSpec(broker_heap_mb=512, task_managers=1, slots=2, task_heap_mb=512)
    with cluster_that_leaves_no_trace(spec, tmp_path_factory.mktemp("cluster")) as opened:
        yield opened


def produce(cluster: LocalCluster, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all", "linger.ms": 5})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(60) == 0


def test_nothing_listens_on_anything_but_loopback(cluster: LocalCluster) -> None:
    """Kafka, its JMX exporter and Flink's REST interface ask for no password: the network must not reach them."""
    found = listeners(below(cluster))
    assert {address for address, _ in found} <= LOOPBACK
    known = {
        int(url.rsplit(":", 1)[1].split("/")[0]) for url in (cluster.bootstrap, cluster.flink_url, *cluster.jmx_urls)
    }
    assert known <= {port for _, port in found}


def test_what_is_written_is_counted_read_back_and_found_on_disk(cluster: LocalCluster) -> None:
    """Events counted wrongly are lost or doubled ones; bytes on disk counted wrongly are the storage bill."""
    values = [b'{"seq": %d, "pad": "%s"}' % (i, b"x" * 100) for i in range(5_000)]
    topics.create(cluster.bootstrap, "counted", partitions=3)
    topics.create(cluster.bootstrap, "counted-1", partitions=1)  # must not be taken for a partition of the other
    produce(cluster, "counted", values)
    produce(cluster, "counted-1", [b"other"])
    assert sum(topics.end_offsets(cluster.bootstrap, "counted").values()) == 5_000
    back = topics.read_topic(cluster.bootstrap, "counted")
    assert sorted(back.values) == sorted(values)
    assert len(back.timestamp_ms) == len(back.partition) == 5_000
    assert topics.json_rows(back.values)["seq"].sum() == sum(range(5_000))
    disk = cluster.disk_bytes("counted")
    assert disk["partitions"] == disk["segments"] == 3
    assert 100 * 5_000 < disk["log"] < 1.5 * sum(map(len, values))
    assert disk["log"] <= disk["apparent"]
    assert 0 < disk["allocated"] < 2 * disk["log"]  # Kafka's indexes claim 10 MB each and are sparse
    assert cluster.disk_bytes("nobody")["partitions"] == 0
    topics.delete(cluster.bootstrap, "counted", "counted-1", "nobody")
    assert "counted" not in AdminClient({"bootstrap.servers": cluster.bootstrap}).list_topics(timeout=30).topics


def test_a_typo_in_a_topics_name_creates_no_topic(cluster: LocalCluster) -> None:
    """Counting the wrong, empty topic would read as every event lost."""
    with pytest.raises(BrokerError, match="nobody"):
        topics.end_offsets(cluster.bootstrap, "nobody")


def test_cpu_is_accounted_to_its_component_and_never_shrinks(cluster: LocalCluster) -> None:
    """CPU per event is priced: a counter that forgets what an ended thread used makes the cloud look cheaper."""
    before = cluster.account()
    topics.create(cluster.bootstrap, "busy", partitions=1)
    produce(cluster, "busy", [b"x" * 1_000] * 50_000)
    after = cluster.account()
    assert set(before) == set(after) == {"broker", "flink"}
    assert all(after[name].cpu_s >= before[name].cpu_s > 0 for name in after)
    assert after["broker"].cpu_s > before["broker"].cpu_s
    assert all(200 << 20 < account.rss_bytes < psutil.virtual_memory().total for account in after.values())
    assert components(cluster)().keys() == {"broker_cpu_s", "broker_rss_bytes", "flink_cpu_s", "flink_rss_bytes"}


def test_the_brokers_own_counters_agree_with_what_was_written(cluster: LocalCluster) -> None:
    """A JMX rule that no longer matches would read as a broker that received nothing."""
    topics.create(cluster.bootstrap, "watched", partitions=1)
    produce(cluster, "watched", [b"x" * 500] * 1_000)
    seen: dict[str, Any] = {}
    end = time.monotonic() + 60
    while seen.get("broker_messages_in") != 1_000 and time.monotonic() < end:
        seen = dict(jmx(cluster.jmx_urls, "watched")())
    assert seen["broker_messages_in"] == 1_000
    assert 500_000 < seen["broker_bytes_in"] < 600_000
    assert seen["broker_produce_requests"] > 0
    assert seen["broker_heap_bytes"] > 1 << 20


def test_flink_is_configured_as_it_was_told(cluster: LocalCluster) -> None:
    """A setting that Flink does not know is silently a default: metrics ten seconds old, ten checkpoints remembered."""
    told = {entry["key"]: entry["value"] for entry in get_json(f"{cluster.flink_url}/jobmanager/config")}
    assert {key: told[key] for key in MEASURABLE} == MEASURABLE
    assert told["rest.bind-address"] == "127.0.0.1"
    overview = get_json(f"{cluster.flink_url}/overview")
    assert (overview["taskmanagers"], overview["slots-total"]) == (1, 2)
    assert overview["flink-version"] == cluster.versions["flink"]


def test_three_brokers_stand_in_three_racks_and_a_dead_one_is_told(tmp_path: Path) -> None:
    """Rack-aware results on a cluster without racks would say that fetching from a follower saves nothing; and a
    trial must not go on counting with a broker that has died.
    """
    spec = ClusterSpec(brokers=3, racks=("a", "b", "c"), broker_heap_mb=512)
    with cluster_that_leaves_no_trace(spec, tmp_path) as cluster:
        assert (cluster.flink_url, cluster.client_environment(), len(cluster.jmx_urls)) == ("", {}, 3)
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        described = admin.describe_cluster(request_timeout=60).result()
        assert sorted(node.rack for node in described.nodes) == ["a", "b", "c"]
        topics.create(cluster.bootstrap, "copied", partitions=3, replication=3, config={"min.insync.replicas": "2"})
        produce(cluster, "copied", [b"x"] * 100)
        assert cluster.disk_bytes("copied")["partitions"] == 9
        assert 2 in leaders(cluster, "copied")
        assert set(cluster.account()) == {"broker"}
        cluster.check()
        victim = cluster.brokers[1].child
        assert victim is not None
        victim.kill()
        assert victim.wait(60) == -9
        with pytest.raises(BrokerError, match=r"broker 2 ended \(exit code -9\)\n.+"):
            cluster.check()
        # an answer without the dead leader's partition is none: a failover would take no time at all
        topics.await_led(cluster.bootstrap, "copied", 3)
        assert 2 not in leaders(cluster, "copied")
        assert sum(topics.end_offsets(cluster.bootstrap, "copied").values()) == 100


def test_a_broker_that_cannot_start_says_why_and_leaves_no_trace(tmp_path: Path) -> None:
    """A heap too small must read as itself, not as a time-out; and half a cluster must not stay behind."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with (
        pytest.raises(BrokerError, match=r"broker 1 ended \(exit code 1\)\n[\s\S]*[Tt]oo small"),
        open_local(ClusterSpec(broker_heap_mb=1), run_dir=tmp_path / "run", log_dir=tmp_path / "logs"),
    ):
        pytest.fail("opened")
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(bool(why_no_quota()) or len(CORES) < 2, reason=why_no_quota() or "one core cannot be shared out")
def test_a_limited_taskmanager_is_alone_on_its_core_and_stays_held_back_when_replaced(tmp_path: Path) -> None:
    """A prediction from parts of a core is none if the broker shares it, or if a new process runs free of its quota."""
    spec = ClusterSpec(
        broker_heap_mb=512, task_managers=1, slots=1, task_heap_mb=512, limits=Limits(task_manager_cpus=0.5)
    )
    everywhere = os.sched_getaffinity(0)
    with cluster_that_leaves_no_trace(spec, tmp_path) as opened:
        assert opened.flink is not None
        (taskmanager,), (broker,), jobmanager = opened.flink.taskmanagers, opened.brokers, opened.flink.jobmanager
        assert taskmanager.child is not None and broker.child is not None and jobmanager is not None
        (group,) = opened.groups
        assert os.sched_getaffinity(taskmanager.child.pid) == {CORES[-1]}
        for other in (broker.child.pid, jobmanager.pid, 0):
            assert os.sched_getaffinity(other) == set(CORES[:-1])
        assert "max" in group.told() or "-1" in group.told()  # the compiler is not held back while it is primed
        opened.hold(Limits(task_manager_cpus=0.25))
        assert "25000" in group.told()
        taskmanager.kill()
        taskmanager.start()
        assert (group.folder / "cgroup.procs").read_text().split() == [str(taskmanager.child.pid)]
        assert os.sched_getaffinity(taskmanager.child.pid) == {CORES[-1]}
    assert not group.folder.exists()
    assert os.sched_getaffinity(0) == everywhere
