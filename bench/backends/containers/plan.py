"""What containers are told: the same settings as the local backend's, at other addresses, as files mounted at /conf.

    python -m bench.backends.containers.plan        writes the files that a plain `docker compose up` uses

Every broker has two doors. Programs on this machine come through a port published on loopback, Flink's tasks through
the containers' own network; each is told the address that works for it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.backends import ClusterSpec, flink, kafka, objectstore
from bench.backends.local import free_ports
from bench.toolchain import Toolchain, provision

DEFAULTS = Path(__file__).resolve().parents[3] / "deploy" / "docker" / "conf"
DEFAULT_PORTS = (9092, 9192, 9292)  # of kafka-1, kafka-2, kafka-3 under a plain `docker compose up`

INSIDE, HOST, CONTROLLER, JMX, REST, REPORTER = 9092, 19092, 9093, 9404, 8081, 9249


@dataclass(frozen=True)
class Plan:
    """One cluster in containers: its name, its ports on loopback, and the folder that becomes /conf."""

    cluster: str  # also the name of compose's project
    owner: str
    cluster_id: str
    spec: ClusterSpec
    images: Mapping[str, str]  # "kafka", "flink" -> name
    conf: Path
    kafka_ports: tuple[int, ...]  # one a broker
    jmx_ports: tuple[int, ...]
    rest_port: int
    s3_port: int
    reporter_ports: tuple[int, ...]  # Prometheus reporters: JobManager, then each TaskManager

    @property
    def brokers(self) -> tuple[str, ...]:
        return broker_names(self.spec)


def broker_names(spec: ClusterSpec) -> tuple[str, ...]:
    """kafka-1, kafka-2, ...: role, host name and service of each broker."""
    return tuple(f"kafka-{n}" for n in range(1, spec.brokers + 1))


def make(spec: ClusterSpec, tools: Toolchain, images: Mapping[str, str], owner: str, folder: Path) -> Plan:
    """A plan with free ports, its files written below `folder`."""
    n = spec.brokers
    ports = free_ports(2 * n + 3 + spec.task_managers)
    plan = Plan(
        cluster=f"streamgauge-{secrets.token_hex(4)}",
        owner=owner,
        cluster_id=kafka.new_cluster_id(),
        spec=spec,
        images=images,
        conf=folder / "conf",
        kafka_ports=tuple(ports[:n]),
        jmx_ports=tuple(ports[n : 2 * n]),
        rest_port=ports[2 * n],
        s3_port=ports[2 * n + 1],
        reporter_ports=tuple(ports[2 * n + 2 :]),
    )
    write(plan.conf, spec, plan.kafka_ports, _java_options(tools))
    return plan


def _java_options(tools: Toolchain) -> str:
    return flink.java_options(tools.flink_home / "conf" / "config.yaml")


def write(conf: Path, spec: ClusterSpec, kafka_ports: Sequence[int], java_options: str) -> None:
    """Everything /conf holds, readable by whatever user a container runs as."""
    files = {
        **{f"{name}.properties": text for name, text in _brokers(spec, kafka_ports).items()},
        "kafka.args": _arguments(
            [*kafka.heap(spec.broker_heap_mb), *kafka.JVM, "-Dlog4j2.configurationFile=/conf/kafka-log4j2.xml"]
        ),
        "kafka-log4j2.xml": kafka.LOG4J2,
        "jmx.yaml": kafka.JMX_RULES,
        "jobmanager.args": _flink_arguments(flink.jobmanager_memory(), java_options),
        "taskmanager.args": _flink_arguments(flink.taskmanager_memory(spec.task_heap_mb), java_options),
        "flink/config.yaml": yaml_lines(session(spec, java_options)),
        "flink/log4j.properties": flink.LOG4J,
        "s3.args": _arguments(["-Xmx256m", "-Dlogback.configurationFile=/conf/s3-logback.xml"]),
        "s3proxy.conf": objectstore.properties("http://0.0.0.0:9000", "/data/s3"),
        "s3-logback.xml": objectstore.LOGBACK,
    }
    for name, text in files.items():
        path = conf / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        path.parent.chmod(0o755)


def _brokers(spec: ClusterSpec, kafka_ports: Sequence[int]) -> dict[str, str]:
    names, racks = broker_names(spec), spec.racks or ("a",)
    told = {}
    for index, (name, port) in enumerate(zip(names, kafka_ports, strict=True)):
        where = {
            "controller.quorum.voters": ",".join(f"{n}@{peer}:{CONTROLLER}" for n, peer in enumerate(names, 1)),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://0.0.0.0:{INSIDE},HOST://0.0.0.0:{HOST},CONTROLLER://0.0.0.0:{CONTROLLER}",
            "advertised.listeners": f"PLAINTEXT://{name}:{INSIDE},HOST://127.0.0.1:{port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
        }
        told[name] = kafka.told(index + 1, racks[index % len(racks)], "/data/kafka", len(names), where)
    return told


def session(spec: ClusterSpec, java_options: str) -> dict[str, str]:
    """The session cluster's config.yaml, flat."""
    return {
        "env.java.opts.all": java_options,
        "jobmanager.rpc.address": "jobmanager",
        "jobmanager.rpc.port": "6123",
        "jobmanager.bind-host": "0.0.0.0",  # noqa: S104 -- of a container: only published ports leave it, on loopback
        "blob.server.port": "6124",
        "rest.address": "jobmanager",
        "rest.bind-address": "0.0.0.0",  # noqa: S104 -- as above
        "rest.port": str(REST),
        "rest.bind-port": str(REST),
        "taskmanager.bind-host": "0.0.0.0",  # noqa: S104 -- as above
        "execution.checkpointing.dir": "file:///checkpoints",
        "io.tmp.dirs": "/tmp",  # noqa: S108 -- a container's own
        **flink.reporter("prom", "PrometheusReporterFactory", {"port": str(REPORTER)}),
        # for whoever has it as a store of his own: see docs/containers.md
        **objectstore.flink_options("http://s3:9000"),
        **flink.told(spec.slots, spec.task_heap_mb, spec.managed_mb),
        **spec.flink,
    }


def client_configuration(plan: Plan, tools: Toolchain, folder: Path) -> None:
    """What a job client on this machine needs in FLINK_CONF_DIR."""
    folder.mkdir(parents=True)
    local = {"rest.address": "127.0.0.1", "rest.port": str(plan.rest_port), "jobmanager.rpc.address": "127.0.0.1"}
    (folder / "config.yaml").write_text(yaml_lines({"env.java.opts.all": _java_options(tools), **local}))
    for name in ("log4j.properties", "log4j-cli.properties"):
        (folder / name).write_text(flink.LOG4J)


def yaml_lines(settings: Mapping[str, str]) -> str:
    """A flat config.yaml; JSON's strings are YAML's."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())


def _flink_arguments(memory: list[str], java_options: str) -> str:
    log = "-Dlog4j.configurationFile=file:/conf/flink/log4j.properties"
    return _arguments([*memory, *flink.JVM, *java_options.split(), log])


def _arguments(words: Sequence[str]) -> str:
    """A file for `java @FILE`."""
    return "".join(f"{word}\n" for word in words)


def main() -> int:
    """Write the defaults anew."""
    shutil.rmtree(DEFAULTS, ignore_errors=True)
    for brokers in (1, 3):
        spec = ClusterSpec(brokers=brokers, racks=("a", "b", "c")[:brokers], task_managers=1)
        write(DEFAULTS / str(brokers), spec, DEFAULT_PORTS[:brokers], _java_options(provision()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
