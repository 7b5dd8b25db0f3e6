"""Starts a plan container by container through testcontainers: any number of brokers, no compose needed.

Testcontainers' own reaper is a container from a registry; the warden does its work here, cluster by cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from docker.types import Mount
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from bench.backends.containers import engine, images
from bench.backends.containers import plan as planning
from bench.backends.containers.plan import Plan

SOURCES = engine.ROOT / "bench"


class _Member(DockerContainer):
    """One container of a plan: labelled, configured by /conf, published on loopback only."""

    def __init__(
        self,
        plan: Plan,
        kind: str,
        role: str,
        host: str,
        network: Network,
        *,
        command: Sequence[str],
        environment: Mapping[str, str],
        ports: Mapping[int, int],  # inside -> on loopback
        volumes: Mapping[str, str],  # inside -> name
        cpus: float | None = None,
        memory_mb: int | None = None,
    ) -> None:
        labels = _labels(plan)
        super().__init__(images.name(kind), name=f"{plan.cluster}-{host}", network=network, network_aliases=[host])
        self._command = list(command)
        self.with_envs(**environment)
        self.ports: Any = {f"{inside}/tcp": ("127.0.0.1", outside) for inside, outside in ports.items()}
        mounts = [
            Mount("/conf", str(plan.conf), type="bind", read_only=True),
            *(Mount(inside, name, type="volume", labels=labels) for inside, name in volumes.items()),
        ]
        if kind == "flink":
            mounts.append(Mount("/opt/streamgauge/src/bench", str(SOURCES), type="bind", read_only=True))
        limits: dict[str, Any] = {}
        if cpus is not None:
            limits["nano_cpus"] = round(cpus * 1e9)
        if memory_mb is not None:
            limits |= {"mem_limit": memory_mb << 20, "memswap_limit": memory_mb << 20}
        self.with_kwargs(hostname=host, mounts=mounts, labels=labels | {engine.ROLE: role}, **limits)


def _labels(plan: Plan) -> dict[str, str]:
    return {engine.CLUSTER: plan.cluster, engine.OWNER: plan.owner}


def start(plan: Plan) -> None:
    """Start brokers and Flink on a network of their own; returns when they are started, not when they are ready."""
    testcontainers_config.ryuk_disabled = True
    with engine.told_plainly("starting containers"):
        network = Network(docker_network_kw={"labels": _labels(plan)}).create()
        members = [*_brokers(plan, network), *_flink(plan, network)]
        try:
            for member in members:
                member.start()
        finally:
            # closed otherwise only by removing, which is the warden's
            for docker_client in (network._docker, *(member.get_docker_client() for member in members)):  # noqa: SLF001
                docker_client.client.close()


def _brokers(plan: Plan, network: Network) -> list[_Member]:
    limits = plan.spec.limits
    return [
        _Member(
            plan,
            "kafka",
            name,
            name,
            network,
            command=["/opt/streamgauge/broker.sh"],
            environment={"BROKER": name, "CLUSTER_ID": plan.cluster_id},
            ports={planning.HOST: port, planning.JMX: jmx},
            volumes={"/data": f"{plan.cluster}-{name}"},
            cpus=limits.broker_cpus,
            memory_mb=limits.broker_memory_mb,
        )
        for name, port, jmx in zip(plan.brokers, plan.kafka_ports, plan.jmx_ports, strict=True)
    ]


def _flink(plan: Plan, network: Network) -> list[_Member]:
    spec, limits = plan.spec, plan.spec.limits
    if not spec.task_managers:
        return []
    volumes = {"/checkpoints": f"{plan.cluster}-checkpoints"}
    script = "/opt/streamgauge/flink.sh"
    jobmanager = _Member(
        plan,
        "flink",
        "jobmanager",
        "jobmanager",
        network,
        command=[script, "jobmanager"],
        environment={},
        ports={planning.REST: plan.rest_port, planning.REPORTER: plan.reporter_ports[0]},
        volumes=volumes,
    )
    taskmanagers = [
        _Member(
            plan,
            "flink",
            "taskmanager",
            f"taskmanager-{index}",
            network,
            command=[script, "taskmanager"],
            environment={},
            ports={planning.REPORTER: plan.reporter_ports[1 + index]},
            volumes=volumes,
            cpus=limits.task_manager_cpus,
            memory_mb=limits.task_manager_memory_mb,
        )
        for index in range(spec.task_managers)
    ]
    return [jobmanager, *taskmanagers]
