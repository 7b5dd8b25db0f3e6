"""A cluster that is somebody else's: Kafka by its addresses, Flink by its REST interface. Nothing of it is ours.

What cannot be seen from here is left out, never told as nothing: CPU comes from an exporter or from Flink's REST
interface, bytes on disk from DescribeLogDirs where that is allowed.
"""

from __future__ import annotations

import json
import math
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException

from bench import keyring, logdirs
from bench.analysis.clock import Offset
from bench.backends import PLAIN, Account, ClusterSpec, JobTerms, Limits, ObjectStore, Pipes, PythonUse, Victim
from bench.backends.flink import LOG4J, client_environment, get_json, java_options
from bench.backends.local import ROOT
from bench.backends.permits import Preflight, connected
from bench.backends.subtree import Child, Subtree
from bench.errors import BrokerError, HostError
from bench.probes.kafka import parse_exporter
from bench.toolchain import Toolchain, provision

PREFIX = "sg-"
ASK_S = 2.0
FRESH_S = 0.9  # probes ask every second; two that ask at once need no second answer
SQL_CONNECTOR = "flink-sql-connector-kafka"
_CPU, _RSS = "process_cpu_seconds_total", "process_resident_memory_bytes"  # of every Prometheus client for the JVM


@dataclass(frozen=True)
class Remote:
    """How it is found, and what may be done to it. What secures it is in the keyring, by its address."""

    bootstrap: str
    flink_url: str = ""
    broker_metrics: tuple[str, ...] = ()  # a JMX exporter's page a broker, or queries of a Prometheus that sum CPU up
    prefix: str = PREFIX
    owned: bool = False  # the caller says that nobody else minds

    @property
    def name(self) -> str:
        """Trials against another cluster are other trials."""
        return f"{self.bootstrap} {self.flink_url}".strip()

    @property
    def jmx_urls(self) -> tuple[str, ...]:
        return tuple(url for url in self.broker_metrics if not _is_query(url))


def _is_query(url: str) -> bool:
    return "/api/v1/query?" in url


def page(url: str) -> str:
    """What an exporter or a Prometheus says; OSError when it does not."""
    with urllib.request.urlopen(url, timeout=ASK_S) as answer:  # noqa: S310 -- the caller's own address
        text: str = answer.read().decode()
        return text


def broker_account(urls: Sequence[str]) -> Account | None:
    """What all brokers used, by their exporters' pages or a Prometheus' sums; None when one of them does not say."""
    if not urls:
        return None
    cpu_s = rss = 0.0
    for url in urls:
        try:
            used, resident = _sum_of(url) if _is_query(url) else _process(page(url))
        except (OSError, ValueError, KeyError, IndexError):
            return None
        if math.isnan(used):
            return None
        cpu_s, rss = cpu_s + used, rss + resident
    return Account(cpu_s, rss)


def _process(text: str) -> tuple[float, float]:
    found = {name: value for name, _, value in parse_exporter(text) if name in (_CPU, _RSS)}
    return found.get(_CPU, math.nan), found.get(_RSS, math.nan)


def _sum_of(url: str) -> tuple[float, float]:
    """Of a query for CPU seconds; memory is not asked for."""
    result = json.loads(page(url))["data"]["result"]
    return sum(float(one["value"][1]) for one in result) if result else math.nan, math.nan


def flink_account(url: str) -> Account | None:
    """CPU of JobManager and TaskManagers by Flink's own metric; None when one of them does not say it.

    Processes for Python functions are children of theirs, and are not in it; nor is resident memory to be had.
    """
    managers = get_json(f"{url}/taskmanagers")
    if managers is None:
        return None
    asked = [
        f"{url}/jobmanager/metrics",
        *(f"{url}/taskmanagers/{one['id']}/metrics" for one in managers["taskmanagers"]),
    ]
    answers = [get_json(f"{one}?get=Status.JVM.CPU.Time") for one in asked]
    if not all(answers):
        return None
    return Account(sum(float(answer[0]["value"]) for answer in answers) / 1e9, math.nan)


@dataclass(frozen=True)
class Connector:
    """How jobs speak Kafka there: what they bring along for it, and what its classes are called."""

    jars: tuple[Path, ...] = ()
    package: str = keyring.SHADED


def connector(url: str, tools: Toolchain) -> Connector:
    """By the JobManager's class path; one that does not tell it is taken to have Flink's SQL connector."""
    told = get_json(f"{url}/jobmanager/environment")
    classpath = " ".join((told or {}).get("classpath", [SQL_CONNECTOR]))
    if SQL_CONNECTOR in classpath:
        return Connector()
    if "flink-connector-kafka" in classpath:
        return Connector(package=keyring.KAFKA)
    return Connector(tuple(jar for jar in tools.flink_classpath if jar.name.startswith(SQL_CONNECTOR)))


class RemoteCluster:
    """See `bench.backends.Cluster`."""

    backend = "remote"
    ours = False

    def __init__(
        self, remote: Remote, spec: ClusterSpec, tools: Toolchain, *, subtree: Subtree, run_dir: Path, log_dir: Path
    ) -> None:
        self.remote, self.spec, self.subtree, self.log_dir = remote, spec, subtree, log_dir
        self._tools, self._conf = tools, run_dir / "client-conf"
        self._admin, _ = connected(remote.bootstrap)
        self._describe = logdirs.describing(keyring.security(remote.bootstrap))
        self._accounts: tuple[float, dict[str, Account]] = (-math.inf, {})
        self.stopped = ""  # why the load must end, by whoever watches over the cluster
        self.versions: dict[str, str] = {"remote": remote.bootstrap}
        self.terms = PLAIN
        if self.flink_url:
            self._configure_client()
            config = get_json(f"{self.flink_url}/config") or {}
            self.versions["flink"] = str(config.get("flink-version", ""))
            found = connector(self.flink_url, tools)
            jars = {"pipeline.jars": ";".join(jar.as_uri() for jar in found.jars)} if found.jars else {}
            self.terms = JobTerms(jars, keyring.java(remote.bootstrap, found.package))

    def _configure_client(self) -> None:
        self._conf.mkdir(parents=True)
        options = java_options(self._tools.flink_home / "conf" / "config.yaml")
        (self._conf / "config.yaml").write_text(f"env.java.opts.all: {json.dumps(options)}\n")
        for name in ("log4j.properties", "log4j-cli.properties"):
            (self._conf / name).write_text(LOG4J)

    @property
    def bootstrap(self) -> str:
        return self.remote.bootstrap

    @property
    def bootstrap_inside(self) -> str:
        return keyring.inside(self.remote.bootstrap)

    @property
    def flink_url(self) -> str:
        return self.remote.flink_url if self.spec.task_managers else ""

    @property
    def jmx_urls(self) -> tuple[str, ...]:
        return self.remote.jmx_urls

    @property
    def flink_metrics_urls(self) -> tuple[str, ...]:
        return ()

    @property
    def logs(self) -> Mapping[str, Path]:
        return {path.stem: path for path in sorted(self.log_dir.glob("*.log"))}

    def account(self) -> dict[str, Account]:
        at, known = self._accounts
        if time.monotonic() - at > FRESH_S:
            broker = broker_account(self.remote.broker_metrics)
            flink = flink_account(self.flink_url) if self.flink_url else None
            known = {name: one for name, one in (("broker", broker), ("flink", flink)) if one is not None}
            self._accounts = time.monotonic(), known
        return known

    def clocks(self) -> Offset | None:
        """How far its brokers' clocks are ahead of ours, now."""
        brokers = len(self._admin.list_topics(timeout=ASK_S * 5).brokers)
        return Preflight(self._admin, self.bootstrap, self.remote.prefix).clocks(brokers)

    def python_use(self) -> PythonUse | None:
        return None

    def object_store(self) -> ObjectStore | None:
        return None  # none that we could meter

    def client_environment(self) -> dict[str, str]:
        return client_environment(self._tools, self._conf, self.log_dir) if self.flink_url else {}

    def disk_bytes(self, topic: str) -> dict[str, int]:
        """`log` bytes and `partitions` (replicas), by the brokers' own word; {} where they do not give it."""
        sizes: list[int] = []
        try:
            for one in self._admin.list_topics(timeout=ASK_S * 5).brokers.values():
                sizes += [size for (name, _), size in self._describe(str(one.host), one.port).items() if name == topic]
        except (KafkaException, BrokerError):
            return {}
        return {"log": sum(sizes), "partitions": len(sizes)}

    def broker_footprint(self) -> dict[str, int]:
        return {}

    def tiered_bytes(self, topic: str) -> int:
        raise HostError(f"what is in the remote store of {topic} cannot be seen on the backend remote")

    def spawn(
        self, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, fds: Pipes | None = None
    ) -> Child:
        environment = {**(env or {}), "PYTHONPATH": str(ROOT)}
        stdin, stdout = fds or (None, None)
        return self.subtree.spawn(log.stem, argv, log=log, env=environment, cwd=ROOT, stdin=stdin, stdout=stdout)

    def victim(self, target: str, which: int = 1) -> Victim:
        raise HostError(f"a fault on {target} {which} needs the local backend: its processes are ours to stop")

    def hold(self, limits: Limits) -> None:
        """Its limits are its owner's."""

    def check(self) -> None:
        if self.stopped:
            raise BrokerError(self.stopped)


@contextmanager
def open_remote(remote: Remote, spec: ClusterSpec, *, run_dir: Path, log_dir: Path) -> Iterator[RemoteCluster]:
    """A RemoteCluster that answers; processes of ours and `run_dir` are gone afterwards."""
    tools = provision()
    run_dir.mkdir(parents=True)
    log_dir.mkdir(parents=True, exist_ok=True)
    with Subtree() as subtree:
        subtree.remove_at_end(run_dir)
        yield RemoteCluster(remote, spec, tools, subtree=subtree, run_dir=run_dir, log_dir=log_dir)
