"""A Kafka and a Flink that somebody opened: `open_cluster(spec)` is a context manager that yields a `Cluster`.

A backend differs in how the two are started and accounted; everything after that is the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ClusterSpec:
    """What has to be there. Trials with equal specs share one cluster."""

    brokers: int = 1
    racks: tuple[str, ...] = ()
    broker_heap_mb: int = 1500
    task_managers: int = 0  # 0: no Flink at all
    slots: int = 4  # per TaskManager
    task_heap_mb: int = 1536
    managed_mb: int = 128
    flink: Mapping[str, str] = field(default_factory=dict)  # raw settings of the session cluster


@dataclass(frozen=True)
class Account:
    """What a component has used: CPU since it started, resident memory now. Monotone in `cpu_s`."""

    cpu_s: float
    rss_bytes: int


class Process(Protocol):
    """A child that was started: enough of `subprocess.Popen`."""

    name: str
    pid: int

    def poll(self) -> int | None: ...
    def send_signal(self, number: int) -> None: ...
    def log_tail(self, lines: int = 12) -> str: ...


class Cluster(Protocol):
    """An open cluster. Only valid inside the `with` that opened it."""

    backend: str
    spec: ClusterSpec
    bootstrap: str  # host:port,host:port
    flink_url: str  # "" without Flink
    jmx_urls: tuple[str, ...]  # one JMX exporter a broker; empty where there is none
    logs: Mapping[str, Path]  # process -> its log
    capabilities: frozenset[str]  # "kill-broker", "log-dirs", "account-cpu", ...
    versions: Mapping[str, str]

    def account(self) -> dict[str, Account]:
        """Component ("broker", "flink") -> what it has used."""
        ...

    def client_environment(self) -> dict[str, str]:
        """What a PyFlink client needs in its environment to submit here."""
        ...

    def disk_bytes(self, topic: str) -> dict[str, int]:
        """{"apparent": …, "allocated": …, "log": …, "index": …, "timeindex": …, "segments": …} over all replicas of a topic."""
        ...

    def spawn(self, argv: Sequence[str], log: Path) -> Process:
        """Start a Python child of this command beside the cluster; it ends with the cluster at the latest."""
        ...

    def check(self) -> None:
        """BrokerError or JobError with the log's tail when a process is gone."""
        ...


def open_cluster(backend: str, spec: ClusterSpec, *, run_dir: Path, log_dir: Path) -> AbstractContextManager[Cluster]:
    """Open `spec` on `backend`; `run_dir` holds data and is removed at the end, `log_dir` is kept."""
    if backend == "local":
        from bench.backends.local import open_local

        return open_local(spec, run_dir=run_dir, log_dir=log_dir)
    raise ValueError(f"no backend {backend!r}")
