"""How a Flink session cluster is configured and started as child processes on loopback: one JobManager, n TaskManagers.

The JVMs are started directly rather than through Flink's scripts, which daemonise: a daemon would leave the subtree
that the supervisor owns, and its start would cost seconds of shell.
"""

from __future__ import annotations

import json
import os
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

import urllib3

from bench.backends import NICE
from bench.backends.cpus import ANYWHERE, Place
from bench.backends.objectstore import flink_options
from bench.backends.replaceable import Replaceable
from bench.backends.subtree import Child, Subtree, await_true
from bench.errors import JobError
from bench.toolchain import Toolchain

EMPTY: Mapping[str, str] = MappingProxyType({})
READY_TIMEOUT_S = 90.0  # 7 s on an idle host
JOBMANAGER_HEAP_MB = 512
FRAMEWORK_HEAP_MB = 128
OFF_HEAP_MB = 128
TASK_OFF_HEAP_MB = 64
NETWORK_MB = 128
JVM = ("-XX:+UseG1GC", "-XX:MaxMetaspaceSize=256m", "-XX:+IgnoreUnrecognizedVMOptions")
JOBMANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASKMANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
OWN_STORE = "s3.endpoint"  # among raw options: an object store that is not ours
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

# Defaults that spoil a measurement, and what we use instead (facts: "Flink settings that spoil measurements").
MEASURABLE: Mapping[str, str] = {
    # 10 s by default; below the probes' 1 s, so that each of their rounds makes Flink fetch anew
    "metrics.fetcher.update-interval": "400",
    # 10 minutes by default: so long does its fetcher wait for a killed TaskManager's metrics, and tells stale ones of
    # everybody meanwhile
    "web.timeout": "15000",
    "web.refresh-interval": "500",
    "web.checkpoints.history": "1000",  # 10 would forget most of a run
    "web.exception-history-size": "1000",  # 16 would forget the fault over the attempts to restart without slots
    "execution.checkpointing.num-retained": "1",
    "heartbeat.interval": "1000",
    "heartbeat.timeout": "10000",  # a killed TaskManager is noticed in 10 s instead of 50
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "10",
    "restart-strategy.fixed-delay.delay": "500 ms",
    "taskmanager.load-balance.mode": "SLOTS",  # spread over the TaskManagers: Flink 2's name for it
    "metrics.latency.interval": "0",
}

# What dashboards and alert rules read. All of Flink's metrics would be 1 MB a second at 96 partitions, made and parsed.
REPORTED = (
    "pendingRecords", "numRecordsIn", "numRecordsOut", "busyTimeMsPerSecond", "backPressuredTimeMsPerSecond",
    "idleTimeMsPerSecond", "accumulateIdleTimeMs", "currentInputWatermark", "currentOutputWatermark",
    "numLateRecordsDropped", "numberOfCompletedCheckpoints", "numberOfFailedCheckpoints", "lastCheckpointDuration",
    "lastCheckpointSize", "numRestarts", "numRunningJobs", "numRegisteredTaskManagers", "taskSlotsTotal",
    "taskSlotsAvailable",
)  # fmt: skip


def reporter(name: str, factory: str, options: Mapping[str, str]) -> dict[str, str]:
    """The settings of one of Flink's Prometheus reporters."""
    prefix = f"metrics.reporter.{name}"
    return {
        f"{prefix}.factory.class": f"org.apache.flink.metrics.prometheus.{factory}",
        f"{prefix}.filter.includes": f"*:{','.join(REPORTED)}",
        **{f"{prefix}.{key}": value for key, value in options.items()},
    }


@dataclass(frozen=True)
class FlinkPlan:
    """Ports, folders and sizes of a session cluster."""

    folder: Path
    rest_port: int
    rpc_port: int
    blob_port: int
    slots: int
    task_heap_mb: int
    managed_mb: int
    raw: Mapping[str, str]
    s3_url: str = ""  # of an object store that may be started later

    @property
    def conf(self) -> Path:
        return self.folder / "conf"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"


def settings(plan: FlinkPlan, java_options: str) -> dict[str, str]:
    """The session cluster's config.yaml, flat: everything on loopback."""
    return {
        "env.java.opts.all": java_options,
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": str(plan.rpc_port),
        "jobmanager.bind-host": "127.0.0.1",
        "blob.server.port": str(plan.blob_port),
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",  # it binds to every interface unless told
        "rest.port": str(plan.rest_port),
        "rest.bind-port": str(plan.rest_port),
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "execution.checkpointing.dir": plan.checkpoints.as_uri(),
        "io.tmp.dirs": str(plan.folder / "tmp"),
        **(_store(plan) if plan.s3_url else {}),
        **told(plan.slots, plan.task_heap_mb, plan.managed_mb),
        **plan.raw,
    }


def told(slots: int, task_heap_mb: int, managed_mb: int) -> dict[str, str]:
    """What a session cluster is told wherever it runs: explicit sizes, and nothing that spoils a measurement."""
    return {
        "jobmanager.memory.process.size": "1024m",
        "taskmanager.numberOfTaskSlots": str(slots),
        # explicit sizes: a standalone TaskManager started without Flink's scripts has to be told all of them
        "taskmanager.cpu.cores": str(slots),
        "taskmanager.memory.framework.heap.size": f"{FRAMEWORK_HEAP_MB}m",
        "taskmanager.memory.task.heap.size": f"{task_heap_mb}m",
        "taskmanager.memory.framework.off-heap.size": f"{OFF_HEAP_MB}m",
        "taskmanager.memory.task.off-heap.size": f"{TASK_OFF_HEAP_MB}m",
        "taskmanager.memory.network.min": f"{NETWORK_MB}m",
        "taskmanager.memory.network.max": f"{NETWORK_MB}m",
        "taskmanager.memory.managed.size": f"{managed_mb}m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "execution.checkpointing.storage": "filesystem",  # the default is the JobManager's heap
        **MEASURABLE,
    }


def jobmanager_memory() -> list[str]:
    """The JobManager's JVM sizes, and its quick compiler alone.

    It moves no records: what it does is answer, some times a second, and the optimizing compiler would be at it for
    longer than a study takes. A look at its metrics took it 30 ms of CPU with this, 43 without (standard errors 4, 7).
    """
    return [f"-Xmx{JOBMANAGER_HEAP_MB}m", "-XX:MaxDirectMemorySize=128m", "-XX:TieredStopAtLevel=1"]


def taskmanager_memory(task_heap_mb: int) -> list[str]:
    """A TaskManager's JVM sizes, agreeing with what `told` says of them."""
    heap_mb = FRAMEWORK_HEAP_MB + task_heap_mb
    direct_mb = OFF_HEAP_MB + TASK_OFF_HEAP_MB + NETWORK_MB
    return [f"-Xmx{heap_mb}m", f"-Xms{heap_mb}m", f"-XX:MaxDirectMemorySize={direct_mb}m"]


class TaskManager(Replaceable):
    """A TaskManager's life, and what faults do to it (see `bench.backends.Victim`)."""

    def __init__(self, index: int, spawn: Callable[[str, str], Child]) -> None:
        super().__init__(f"taskmanager-{index}", JobError)
        self._index, self._spawn, self._starts = index, spawn, 0

    def spawn(self) -> Child:
        """Each time under another resource id, as a replacement has one where machines come and go.

        Under the same one Flink would learn of a death from the new registration, before any heartbeat is missed.
        """
        self._starts += 1
        return self._spawn(self.name, f"tm{self._index}-{self._starts}")


class SessionCluster:
    """A JobManager and its TaskManagers."""

    def __init__(self, plan: FlinkPlan, tools: Toolchain, subtree: Subtree, log_dir: Path) -> None:
        self.plan = plan
        self.tools = tools
        self.subtree = subtree
        self.log_dir = log_dir
        self.jobmanager: Child | None = None
        self.taskmanagers: list[TaskManager] = []
        self._options = java_options(tools.flink_home / "conf" / "config.yaml")

    def environment(self) -> dict[str, str]:
        """What the JVMs, and a PyFlink client, find their files by."""
        return client_environment(self.tools, self.plan.conf, self.log_dir)

    def write_configuration(self) -> None:
        for folder in (self.plan.conf, self.plan.checkpoints, self.plan.folder / "tmp"):
            folder.mkdir(parents=True)
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in settings(self.plan, self._options).items()]
        (self.plan.conf / "config.yaml").write_text("".join(lines))
        for name in ("log4j.properties", "log4j-cli.properties"):
            (self.plan.conf / name).write_text(LOG4J)

    def _java(
        self, name: str, memory: list[str], main: list[str], place: Place = ANYWHERE, env: Mapping[str, str] = EMPTY
    ) -> Child:
        log = self.log_dir / f"{name}.log"
        argv = [
            str(self.tools.java),
            *memory,
            *JVM,
            *self._options.split(),
            f"-Dlog.file={log}",
            f"-Dlog4j.configurationFile=file:{self.plan.conf / 'log4j.properties'}",
            "-cp",
            ":".join(str(jar) for jar in self.tools.flink_classpath),
            *main,
            "--configDir",
            str(self.plan.conf),
        ]
        where = self.plan.folder
        return self.subtree.spawn(
            name,
            argv,
            log=log,
            env={**self.environment(), **credentials(self.plan), **env},
            cwd=where,
            nice=NICE,
            place=place,
        )

    def start_jobmanager(self) -> None:
        self.jobmanager = self._java("jobmanager", jobmanager_memory(), [JOBMANAGER])

    def start_taskmanager(self, index: int, place: Place = ANYWHERE) -> None:
        def spawn(name: str, resource_id: str) -> Child:
            main = [TASKMANAGER, "-D", f"taskmanager.resource-id={resource_id}"]
            # Python in a thread of the JVM does not see what is installed for the interpreter of a virtual environment
            installed = {"PYTHONPATH": sysconfig.get_paths()["purelib"]}
            return self._java(name, taskmanager_memory(self.plan.task_heap_mb), main, place, installed)

        one = TaskManager(index, spawn)
        self.taskmanagers.append(one)
        one.start()

    def check(self) -> None:
        """JobError with the log's tail when one of the processes is gone."""
        if self.jobmanager is not None and self.jobmanager.poll() is not None:
            code = self.jobmanager.poll()
            raise JobError(f"jobmanager ended (exit code {code})\n{self.jobmanager.log_tail()}")
        for one in self.taskmanagers:
            one.check()

    def await_ready(self) -> None:
        """Until every TaskManager has registered its slots."""
        slots = len(self.taskmanagers) * self.plan.slots
        await_slots(self.plan.url, slots, self.check, lambda: self.jobmanager.log_tail() if self.jobmanager else "")


def await_slots(url: str, slots: int, check: Callable[[], None], log_tail: Callable[[], str]) -> None:
    """Until the session cluster at `url` has all its slots; JobError with the JobManager's log otherwise.

    `check` raises when a process of it has ended.
    """

    def ready() -> bool:
        check()
        overview = get_json(f"{url}/overview")
        return overview is not None and overview["slots-total"] == slots

    try:
        await_true(ready, READY_TIMEOUT_S, "Flink's session cluster ready", poll_s=0.1)
    except TimeoutError as late:
        raise JobError(f"{late}\n{log_tail()}") from late


def credentials(plan: FlinkPlan) -> dict[str, str]:
    """Of the caller, for an object store that the scenario names: for those who ask it, and in no file or argument."""
    return {key: os.environ[key] for key in CREDENTIALS if key in os.environ} if OWN_STORE in plan.raw else {}


def _store(plan: FlinkPlan) -> dict[str, str]:
    """Of the store beside the cluster, unless the scenario names another: then its keys come from the environment."""
    options = flink_options(plan.s3_url)
    if credentials(plan):
        del options["s3.access-key"], options["s3.secret-key"]
    return options


def client_environment(tools: Toolchain, conf: Path, log_dir: Path) -> dict[str, str]:
    """Where Flink's programs on this machine find Java, their jars and their configuration."""
    home = tools.flink_home
    return {
        "JAVA_HOME": str(tools.java_home),
        "FLINK_HOME": str(home),
        "FLINK_CONF_DIR": str(conf),
        "FLINK_LIB_DIR": str(home / "lib"),
        "FLINK_OPT_DIR": str(home / "opt"),
        "FLINK_PLUGINS_DIR": str(tools.flink_plugins_dir),
        "FLINK_LOG_DIR": str(log_dir),
    }


_ASKING = urllib3.PoolManager(maxsize=4, retries=False)  # connections stay: each new one costs the JobManager CPU


def get_json(url: str, timeout_s: float = 2.0) -> Any:
    """A GET of Flink's REST interface; None when nobody answers (yet) or there is no such thing."""
    try:
        answer = _ASKING.request("GET", url, timeout=timeout_s)
        return answer.json() if answer.status < HTTPStatus.MULTIPLE_CHOICES else None
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        return None


def java_options(config: Path) -> str:
    """`env.java.opts.all` of the distribution's own config.yaml: the module openings Flink needs on Java 21."""
    from ruamel.yaml import YAML

    options: str = YAML(typ="safe").load(config)["env"]["java"]["opts"]["all"]
    return options


LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = CONSOLE
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} - %m%n
# a line per record batch or per restart attempt says nothing a probe does not
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.source.name = org.apache.flink.connector.base.source.reader
logger.source.level = WARN
# the planner muses over every class it meets
logger.types.name = org.apache.flink.api.java.typeutils
logger.types.level = WARN
"""
