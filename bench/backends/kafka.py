"""How a KRaft broker is configured and started as a child process on loopback.

Settings that differ from Kafka's defaults say why; everything else is Kafka's own default, so that a result speaks
about Kafka as people run it.
"""

from __future__ import annotations

import base64
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.backends import NICE, disk
from bench.backends.replaceable import Replaceable
from bench.backends.subtree import Child, Subtree, await_true
from bench.errors import BrokerError, HostError
from bench.toolchain import Toolchain

FORMAT_TIMEOUT_S = 60.0  # a JVM start, 1.5 s on an idle host
READY_TIMEOUT_S = 90.0  # 4 s on an idle host

JVM = ("-XX:+UseG1GC", "-Xshare:auto", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")

METADATA = "__cluster_metadata-0"  # the folder of the quorum's log

# Only what probes, alert rules and dashboards read: walking every MBean each second costs more CPU than a light load
JMX_RULES = """\
includeObjectNames:
  - "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,*"
  - "kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,*"
  - "kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec,*"
  - "kafka.server:type=BrokerTopicMetrics,name=ReplicationBytesInPerSec"
  - "kafka.server:type=BrokerTopicMetrics,name=ReplicationBytesOutPerSec"
  - "kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec"
  - "kafka.server:type=BrokerTopicMetrics,name=TotalFetchRequestsPerSec"
  - "kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec"
  - "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions"
  - "kafka.server:type=replica-fetcher-metrics,*"
  - "java.lang:type=Memory"
  - "java.lang:type=GarbageCollector,*"
rules:
  # a counter's own rates over 1, 5 and 15 minutes are nobody's: what is read is its count, a gauge's value
  - pattern: "BrokerTopicMetrics.*Count"
    cache: true
  - pattern: "ReplicaManager.*Value"
    cache: true
  - pattern: "replica-fetcher-metrics.*byte-total"
    cache: true
  - pattern: "java.lang<type=Memory.*HeapMemoryUsage"
    cache: true
  - pattern: "java.lang<type=GarbageCollector.*Collection(Time|Count)"
    cache: true
"""


@dataclass(frozen=True)
class Tier:
    """A remote store: Kafka's own `LocalTieredStorage` in one folder for all brokers."""

    folder: Path
    jar: Path

    def told(self, brokers: int) -> dict[str, object]:
        """What a broker is told of it. The cleaner looks every second instead of five minutes: trials are short."""
        return {
            "remote.log.storage.system.enable": "true",
            "remote.log.storage.manager.class.name": "org.apache.kafka.server.log.remote.storage.LocalTieredStorage",
            "remote.log.storage.manager.class.path": self.jar,
            "remote.log.storage.manager.impl.prefix": "rsm.config.",
            "rsm.config.dir": self.folder,
            "remote.log.metadata.manager.listener.name": "PLAINTEXT",
            "remote.log.metadata.manager.impl.prefix": "rlmm.config.",
            "rlmm.config.remote.log.metadata.topic.replication.factor": min(3, brokers),
            "rlmm.config.remote.log.metadata.topic.num.partitions": 1,
            "remote.log.manager.task.interval.ms": 500,
            "log.retention.check.interval.ms": 1000,
            "log.initial.task.delay.ms": 1000,
        }


@dataclass(frozen=True)
class BrokerPlan:
    """One broker's identity and ports, fixed before any of them starts (the quorum must know them all)."""

    node_id: int
    rack: str
    port: int
    controller_port: int
    jmx_port: int
    folder: Path
    disk_mb: int = 0  # a file system of its own of this size; 0: that of its folder
    tier: Tier | None = None  # where segments go beyond a topic's local retention

    @property
    def disk(self) -> Path:
        return self.folder / "disk" if self.disk_mb else self.folder

    @property
    def data(self) -> Path:
        return self.disk / "data"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def addresses(plan: BrokerPlan, plans: Sequence[BrokerPlan]) -> dict[str, object]:
    """Where one broker of `plans` listens and is found, all of it on loopback."""
    return {
        "controller.quorum.voters": ",".join(f"{p.node_id}@127.0.0.1:{p.controller_port}" for p in plans),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{plan.address},CONTROLLER://127.0.0.1:{plan.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{plan.address}",
        "inter.broker.listener.name": "PLAINTEXT",
    }


def told(node_id: int, rack: str, data: str, brokers: int, where: Mapping[str, object]) -> str:
    """The server.properties of one of `brokers`, wherever it runs; `where` says how it is found."""
    replicas = min(3, brokers)
    settings = {
        "node.id": node_id,
        "process.roles": "broker,controller",
        **where,
        "log.dirs": data,
        "broker.rack": rack,
        # a typo in a topic name must fail, not create a topic
        "auto.create.topics.enable": "false",
        # 50 partitions each by default: they would dominate small partition counts
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 1,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": min(2, replicas),
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": min(2, replicas),
        # the first consumer waits 3 s for company by default
        "group.initial.rebalance.delay.ms": 0,
        # topics of past trials must give their disk back before the next trial measures it
        "log.segment.delete.delay.ms": 1000,
        # a broker looks for deleted topics only from half a minute after its start by default: the first trial of each
        # cluster would wait for that and time it. Kafka keeps the setting for tests: each periodic task of its logs
        # begins so much sooner, and none comes more often
        "log.initial.task.delay.ms": 1000,
        # rack-aware fetching is a client's choice (client.rack); without it nothing changes
        "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def properties(plan: BrokerPlan, plans: Sequence[BrokerPlan]) -> str:
    """The server.properties of one broker of `plans`."""
    where = addresses(plan, plans) | (plan.tier.told(len(plans)) if plan.tier else {})
    return told(plan.node_id, plan.rack, str(plan.data), len(plans), where)


def heap(size_mb: int) -> list[str]:
    """A heap of fixed size, so that a growing one is no trend."""
    return [f"-Xmx{size_mb}m", f"-Xms{size_mb}m"]


class Broker(Replaceable):
    """A broker's life: format once, start, and what faults do to it (see `bench.backends.Victim`)."""

    def __init__(self, plan: BrokerPlan, heap_mb: int, tools: Toolchain, subtree: Subtree, log: Path) -> None:
        super().__init__(f"broker {plan.node_id}", BrokerError)
        self.plan = plan
        self.heap_mb = heap_mb
        self.tools = tools
        self.subtree = subtree
        self.log = log

    def _java(self, name: str, memory: Sequence[str], main: Sequence[str], agent: str = "") -> Child:
        argv = [
            str(self.tools.java),
            *memory,
            *JVM,
            f"-Dlog4j2.configurationFile={self.plan.folder / 'log4j2.xml'}",
            *([agent] if agent else []),
            "-cp",
            ":".join(str(jar) for jar in self.tools.kafka_classpath),
            *main,
        ]
        return self.subtree.spawn(name, argv, log=self.log, cwd=self.plan.folder, nice=NICE)

    def format(self, plans: Sequence[BrokerPlan], cluster_id: str) -> Child:
        """Write the configuration and start formatting the log directory; wait for it with `formatted`."""
        if self.plan.disk_mb:
            disk.mount(self.plan.disk, self.plan.disk_mb)
        self.plan.data.mkdir(parents=True)
        (self.plan.folder / "server.properties").write_text(properties(self.plan, plans))
        (self.plan.folder / "jmx.yaml").write_text(JMX_RULES)
        (self.plan.folder / "log4j2.xml").write_text(LOG4J2)
        arguments = ["format", "-t", cluster_id, "-c", str(self.plan.folder / "server.properties")]
        # C1 only: a tool that lives 1.5 s never earns back what C2 costs
        return self._java(
            f"format-{self.plan.node_id}",
            ["-Xmx128m", "-XX:TieredStopAtLevel=1"],
            ["kafka.tools.StorageTool", *arguments],
        )

    def spawn(self) -> Child:
        """The broker process; it is ready later (see `await_ready`)."""
        agent = f"-javaagent:{self.tools.jmx_agent}=127.0.0.1:{self.plan.jmx_port}:{self.plan.folder / 'jmx.yaml'}"
        main = ["kafka.Kafka", str(self.plan.folder / "server.properties")]
        return self._java(f"broker-{self.plan.node_id}", heap(self.heap_mb), main, agent)

    def lose_disk(self) -> None:
        """The partitions' folders, but not the quorum's log: another machine took over its name with an empty disk.

        A broker without its part of the metadata would have to be formatted anew, and its cluster be told of it.
        """
        self.kill()
        for folder in self.plan.data.iterdir():
            if folder.is_dir() and folder.name != METADATA:
                shutil.rmtree(folder)

    def fill(self) -> None:
        """Kafka ends when the only disk it has fails: from here to `free` nobody wonders."""
        if not self.plan.disk_mb:
            raise HostError(f"{self.name} shares its disk with this machine: it is not filled")
        self._down = True
        disk.fill(self.plan.disk)

    def free(self) -> None:
        disk.free(self.plan.disk)
        if self._process().poll() is not None:
            self.start()
        self._down = False


def new_cluster_id() -> str:
    """A random cluster id as Kafka writes them: base64 of a UUID, without padding."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


def format_all(brokers: Sequence[Broker]) -> None:
    """Format every broker's log directory, side by side."""
    plans, cluster_id = [broker.plan for broker in brokers], new_cluster_id()
    for child in [broker.format(plans, cluster_id) for broker in brokers]:
        if child.wait(FORMAT_TIMEOUT_S) != 0:
            raise BrokerError(f"Kafka's storage tool failed on {child.name}:\n{child.log_tail()}")


def await_ready(bootstrap: str, brokers: int, check: Callable[[], None], log_tails: Callable[[], str]) -> None:
    """Until every broker is registered and answers; BrokerError with the logs' tails otherwise.

    `check` raises when one of them has ended.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # log_level 0: the first attempts hit closed ports, and librdkafka would tell stderr about each
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 100})

    def ready() -> bool:
        check()
        try:
            return len(admin.list_topics(timeout=0.5).brokers) == brokers
        except KafkaException:
            return False

    try:
        await_true(ready, READY_TIMEOUT_S, "broker ready")
    except TimeoutError as late:
        raise BrokerError(f"{late}\n{log_tails()}") from late


LOG4J2 = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%d{ISO8601} %p %m (%c{1})%n"/></Console>
  </Appenders>
  <Loggers>
    <!-- per-partition chatter: 2,000 partitions would write tens of thousands of lines a trial -->
    <Logger name="state.change.logger" level="WARN"/>
    <Logger name="kafka.log" level="WARN"/>
    <Logger name="org.apache.kafka.storage.internals.log" level="WARN"/>
    <Logger name="kafka.coordinator.group" level="WARN"/>
    <Root level="INFO"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""
