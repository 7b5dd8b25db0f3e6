"""Clusters in containers, for real: on loopback only, accounted by cgroup, limited as asked, and gone afterwards."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
from confluent_kafka import Producer

from bench import topics
from bench.backends import ClusterSpec, Limits, open_cluster
from bench.backends.containers import engine
from bench.backends.containers import plan as planning
from bench.backends.containers.cluster import ContainerCluster
from bench.backends.flink import MEASURABLE, get_json
from bench.errors import BrokerError, HostError
from bench.probes.components import components
from bench.probes.kafka import jmx

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

SPEC = ClusterSpec(
    broker_heap_mb=512,
    task_managers=2,
    slots=1,
    task_heap_mb=512,
    flink={"restart-strategy.fixed-delay.attempts": "7"},
    limits=Limits(broker_cpus=1.5, broker_memory_mb=1200, task_manager_cpus=1.0, task_manager_memory_mb=2000),
)


def left(client: docker.DockerClient) -> list[str]:
    """Names of everything that this process made in the engine and that is there still."""
    wanted = {"label": engine.CLUSTER}
    listed = [
        *client.containers.list(all=True, filters=wanted),
        *client.networks.list(filters=wanted),
        *client.volumes.list(filters=wanted),
    ]
    return sorted(thing.name for thing in listed if engine.owner_of(thing) == engine.owner())


@pytest.fixture(scope="module")
def cluster(container_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with open_cluster(container_backend, SPEC, run_dir=folder / "run", log_dir=folder / "logs") as opened:
        assert isinstance(opened, ContainerCluster)
        yield opened
        plan = opened.plan
    with closing(engine.connect()) as client:
        assert left(client) == [], "containers, networks or volumes stayed behind"
    assert not (folder / "run").exists()
    for port in (*plan.kafka_ports, *plan.jmx_ports, plan.rest_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"somebody still answers on {port}"
    logs = {path.name: path.stat().st_size for path in (folder / "logs").glob("*.log")}
    assert logs.keys() >= {"broker-1.log", "jobmanager.log", "taskmanager-0.log", "taskmanager-1.log"}
    assert all(size > 1_000 for size in logs.values()), logs


def containers(cluster: ContainerCluster) -> dict[str, Any]:
    return {**cluster.brokers, **cluster.flink}


def produce(cluster: ContainerCluster, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all", "linger.ms": 5, "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(60) == 0


def test_ports_are_published_on_loopback_only(cluster: ContainerCluster) -> None:
    """Kafka and Flink ask for no password: an engine publishes on every interface unless told."""
    found = containers(cluster)
    bindings = [
        binding["HostIp"]
        for container in found.values()
        for published in container.attrs["NetworkSettings"]["Ports"].values()
        for binding in published or []
    ]
    assert len(found) == 4
    assert len(bindings) >= 2 + 2 + 2
    assert set(bindings) == {"127.0.0.1"}
    assert not any(container.attrs["HostConfig"]["Privileged"] for container in found.values())


def test_every_container_is_limited_as_asked_and_says_so(cluster: ContainerCluster) -> None:
    """A limit that did not arrive makes every point of its axis the same point."""
    told = {
        name: (one.attrs["HostConfig"]["NanoCpus"] / 1e9, one.attrs["HostConfig"]["Memory"] >> 20)
        for name, one in containers(cluster).items()
    }
    each = (1.0, 2000)
    assert told == {"kafka-1": (1.5, 1200), "jobmanager": (0, 0), "taskmanager-0": each, "taskmanager-1": each}
    recorded = cluster.versions["container_limits"]
    assert "kafka-1: 1.5 CPUs, 1200 MiB" in recorded
    assert "taskmanager-1: 1 CPUs, 2000 MiB" in recorded
    assert "jobmanager: all CPUs, all memory" in recorded


def test_what_runs_is_asked_where_it_runs(cluster: ContainerCluster) -> None:
    """An exchanged image must not be recorded as what this checkout would have installed."""
    versions = cluster.versions
    assert (versions["kafka"], versions["flink"]) == ("4.3.1", "2.3.0")
    assert versions["java"].startswith("21.")
    assert versions["container_images"].count("@sha256:") == 2


def test_what_is_written_is_counted_and_found_on_disk(cluster: ContainerCluster) -> None:
    """Bytes on disk counted wrongly are the storage bill; the log lies in a volume that only the broker sees."""
    values = [b'{"seq": %d, "pad": "%s"}' % (i, b"x" * 100) for i in range(5_000)]
    topics.create(cluster.bootstrap, "counted", partitions=3)
    topics.create(cluster.bootstrap, "counted-1", partitions=1)  # must not be taken for a partition of the other
    produce(cluster, "counted", values)
    produce(cluster, "counted-1", [b"other"])
    assert sum(topics.end_offsets(cluster.bootstrap, "counted").values()) == 5_000
    disk = cluster.disk_bytes("counted")
    assert disk["partitions"] == disk["segments"] == 3
    assert 100 * 5_000 < disk["log"] < 1.5 * sum(map(len, values))
    assert disk["log"] <= disk["apparent"]
    assert 0 < disk["allocated"] < 2 * disk["log"]  # Kafka's indexes claim 10 MB each and are sparse
    assert cluster.disk_bytes("nobody")["partitions"] == 0
    seen = dict(jmx(cluster.jmx_urls, "counted")())
    assert seen["broker_messages_in"] == 5_000
    assert seen["broker_heap_bytes"] > 1 << 20


def test_cpu_and_memory_come_from_the_cgroups(cluster: ContainerCluster) -> None:
    """CPU per event is priced: it must rise with work, in the right component, and agree with what /proc says."""
    before = cluster.account()
    topics.create(cluster.bootstrap, "busy", partitions=1)
    produce(cluster, "busy", [b"x" * 1_000] * 50_000)
    after = cluster.account()
    assert set(before) == set(after) == {"broker", "flink"}
    assert after["broker"].cpu_s > before["broker"].cpu_s > 0
    assert after["flink"].cpu_s >= before["flink"].cpu_s > 0
    (pid,) = (one.attrs["State"]["Pid"] for one in cluster.brokers.values())
    java = psutil.Process(pid)
    assert after["broker"].cpu_s == pytest.approx(sum(java.cpu_times()[:2]), rel=0.5)
    assert after["broker"].rss_bytes == pytest.approx(java.memory_info().rss, rel=0.3)
    assert components(cluster)().keys() == {"broker_cpu_s", "broker_rss_bytes", "flink_cpu_s", "flink_rss_bytes"}


def test_flink_is_configured_as_the_local_one_is(cluster: ContainerCluster) -> None:
    """A ratio between backends that differ in settings is a ratio between settings."""
    told = {entry["key"]: entry["value"] for entry in get_json(f"{cluster.flink_url}/jobmanager/config")}
    expected = {**MEASURABLE, "restart-strategy.fixed-delay.attempts": "7"}  # the scenario's own word wins
    assert {key: told[key] for key in expected} == expected
    overview = get_json(f"{cluster.flink_url}/overview")
    assert (overview["taskmanagers"], overview["slots-total"]) == (2, 2)


def test_jobs_are_importable_where_they_run(cluster: ContainerCluster) -> None:
    """A Python function travels to Flink's workers by name: without the project there, the job restarts for ever."""
    code = "import bench.jobs as j, pyflink, pandas, pyarrow; print(len([j.find(n) for n in j.names()]))"
    done = cluster.flink["taskmanager-0"].exec_run(["python", "-c", code])
    assert (done.exit_code, int(done.output)) == (0, len(__import__("bench.jobs", fromlist=["names"]).names()))


def test_a_dead_broker_is_told_with_its_memory_limit(container_backend: str, tmp_path: Path) -> None:
    """A trial must not go on counting with a broker that has died; and who is killed for memory wants to know it."""
    spec = ClusterSpec(brokers=2, racks=("a", "b"), broker_heap_mb=384)
    with open_cluster(container_backend, spec, run_dir=tmp_path / "run", log_dir=tmp_path / "logs") as cluster:
        assert isinstance(cluster, ContainerCluster)
        assert (cluster.flink_url, cluster.client_environment(), len(cluster.jmx_urls)) == ("", {}, 2)
        assert set(cluster.account()) == {"broker"}
        cluster.check()
        cluster.brokers["kafka-2"].kill()
        cluster.brokers["kafka-2"].wait()
        with pytest.raises(BrokerError, match=r"broker 2 ended \(exit code 137\)\n.+"):
            cluster.check()


def test_a_taken_port_is_named(
    container_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_client: docker.DockerClient
) -> None:
    """Docker's own sentence about it is three lines of endpoints and proxies; and nothing may stay behind."""
    before = left(docker_client)  # of the module's own cluster
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        free = planning.free_ports
        monkeypatch.setattr(planning, "free_ports", lambda count: [taken, *free(count - 1)])
        with (
            pytest.raises(HostError, match=rf"the port 127\.0\.0\.1:{taken} is taken by another program; "),
            open_cluster(
                container_backend, ClusterSpec(broker_heap_mb=384), run_dir=tmp_path / "run", log_dir=tmp_path / "logs"
            ),
        ):
            pytest.fail("opened")
    assert left(docker_client) == before


@pytest.mark.parametrize("variable", ["STREAMGAUGE_KAFKA_IMAGE", "STREAMGAUGE_FLINK_IMAGE"])
def test_an_image_that_is_not_here_is_named_with_the_next_step(
    container_backend: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull that hangs for minutes on a closed network would look like a slow start."""
    monkeypatch.setenv(variable, "nobody/nothing:1")
    with (
        pytest.raises(HostError, match=rf"^the image nobody/nothing:1 is not on this machine: .*unset {variable}$"),
        open_cluster(container_backend, SPEC, run_dir=tmp_path / "run", log_dir=tmp_path / "logs"),
    ):
        pytest.fail("opened")
    assert not (tmp_path / "run").exists()
