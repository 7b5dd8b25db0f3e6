"""A Kafka and a Flink that somebody opened: `open_cluster(spec)` is a context manager that yields a `Cluster`.

A backend differs in how the two are started and accounted; everything after that is the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench.errors import HostError

if TYPE_CHECKING:
    import pandas as pd

    from bench.backends.remote import Remote

BACKENDS = ("local", "compose", "testcontainers", "remote")
BUCKET = "streamgauge"  # of the object store beside a cluster: told to jobs, whose workers have nothing of a backend's

# On one host, broker and Flink yield the CPU to the generator: a late instrument measures nothing (method 3). It costs
# them nothing while a core is free; at saturation they are the limit either way.
NICE = 5


@dataclass(frozen=True)
class Limits:
    """What one broker or TaskManager may use; None: all of the machine.

    A container is started with them. Of processes on this machine only `task_manager_cpus` can be held (see `hold`).
    """

    broker_cpus: float | None = None
    broker_memory_mb: int | None = None
    task_manager_cpus: float | None = None
    task_manager_memory_mb: int | None = None


@dataclass(frozen=True)
class ClusterSpec:
    """What has to be there. Trials with equal specs share one cluster."""

    brokers: int = 1
    racks: tuple[str, ...] = ()
    broker_heap_mb: int = 1500
    tiered: bool = False  # segments beyond a topic's local retention go to a folder that stands for an object store
    broker_disk_mb: int = 0  # a bounded disk for each broker, so that it can be filled; 0: the run folder's
    task_managers: int = 0  # 0: no Flink at all
    slots: int = 4  # per TaskManager
    task_heap_mb: int = 1536
    managed_mb: int = 128
    flink: Mapping[str, str] = field(default_factory=dict)  # raw settings of the session cluster
    limits: Limits = Limits()


@dataclass(frozen=True)
class Account:
    """What a component has used: CPU since it started, resident memory now. Monotone in `cpu_s`."""

    cpu_s: float
    rss_bytes: float  # NaN: not to be seen


@dataclass(frozen=True)
class PythonUse:
    """How Flink runs Python functions now: worker processes below its TaskManagers, or Python inside of them.

    Who once had it inside keeps it: only `processes` tells of the job that runs now.
    """

    processes: int
    embedded: bool

    @property
    def mode(self) -> str:
        """process, thread or none."""
        if self.processes:
            return "process"
        return "thread" if self.embedded else "none"


@dataclass(frozen=True)
class JobTerms:
    """What every job needs on a cluster: Flink settings, under its own; its Kafka clients' settings, secrets too."""

    settings: Mapping[str, str] = field(default_factory=dict)
    client: Mapping[str, str] = field(default_factory=dict, repr=False)


PLAIN = JobTerms()

Pipes = tuple[int, int]
"""File descriptors that become a child's stdin and stdout."""


class Process(Protocol):
    """A child that was started: some of `subprocess.Popen`, and its log."""

    name: str
    pid: int

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def stop(self, grace_s: float = 5.0) -> int: ...

    def log_tail(self, lines: int = 12) -> str: ...


class Victim(Protocol):
    """A process of the platform that a fault hits."""

    def pause(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        ...

    def resume(self) -> None: ...

    def kill(self) -> None:
        """SIGKILL. From here to `start` nobody wonders that it is gone."""
        ...

    def end(self) -> None:
        """As its operator would: it may put its things in order. From here to `start` nobody wonders."""
        ...

    def start(self) -> object:
        """Again, after `kill` or `end`; returns when the process runs, not when it is ready."""
        ...

    def lose_disk(self) -> None:
        """SIGKILL, and what it had stored of topics is gone; it still knows who it is. Else as `kill`."""
        ...

    def fill(self) -> None:
        """Take what is left of its disk. From here to `free` nobody wonders that it is gone."""
        ...

    def free(self) -> None:
        """Give the disk back, and start the process again if it has ended meanwhile."""
        ...


class ObjectStore(Protocol):
    """An S3-compatible store beside a cluster, whose calls take as long as they are told to, and are counted."""

    @property
    def url(self) -> str: ...

    def pace(self, latency_ms: float, bandwidth_mb_s: float | None) -> None:
        """From now on a request takes this long, plus its bytes over a link that all share (10^6 bytes a second)."""
        ...

    def requests(self, since_ns: int) -> pd.DataFrame:
        """What ended since then, a row a request: end_ns, operation (as S3 calls it), status, took_ms (as measured),
        due_ms (as configured), in_bytes, out_bytes.
        """
        ...


class Cluster(Protocol):
    """An open cluster. Only valid inside the `with` that opened it."""

    @property
    def backend(self) -> str: ...

    @property
    def spec(self) -> ClusterSpec: ...

    @property
    def bootstrap(self) -> str:
        """host:port,host:port, for programs on this machine."""
        ...

    @property
    def bootstrap_inside(self) -> str:
        """The same brokers for Flink's tasks, which may live in another network."""
        ...

    @property
    def flink_url(self) -> str:
        """Flink's REST address, "" without Flink."""
        ...

    @property
    def jmx_urls(self) -> tuple[str, ...]:
        """One JMX exporter a broker; empty where there is none."""
        ...

    @property
    def flink_metrics_urls(self) -> tuple[str, ...]:
        """Prometheus reporters of JobManager and TaskManagers; empty where Flink can be told to push instead."""
        ...

    @property
    def logs(self) -> Mapping[str, Path]:
        """Process -> its log."""
        ...

    @property
    def ours(self) -> bool:
        """Whether it was started for this: then it is as `spec` says, and each of its processes is seen."""
        ...

    @property
    def versions(self) -> Mapping[str, str]: ...

    @property
    def terms(self) -> JobTerms:
        """What every job needs here, beside what it is told anyway."""
        ...

    def account(self) -> dict[str, Account]:
        """Component ("broker", "flink") -> what it has used."""
        ...

    def python_use(self) -> PythonUse | None:
        """Where Flink's Python functions run at this moment; None where that cannot be seen from here."""
        ...

    def object_store(self) -> ObjectStore | None:
        """Its store, started when first asked for; None where there is none that could be metered."""
        ...

    def client_environment(self) -> dict[str, str]:
        """What a PyFlink client needs in its environment to submit here."""
        ...

    def disk_bytes(self, topic: str) -> dict[str, int]:
        """Over all replicas of a topic: see `bench.backends.accounting.topic_bytes`."""
        ...

    def broker_footprint(self) -> dict[str, int]:
        """What the brokers hold now: "open_files", "memory_maps", "live_heap_bytes" (what a full collection leaves: it
        collects). What cannot be seen from here is left out.
        """
        ...

    def tiered_bytes(self, topic: str) -> int:
        """Bytes of a topic's segments in the remote store, once each; 0 where there is none."""
        ...

    def spawn(
        self, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, fds: Pipes | None = None
    ) -> Process:
        """Start a Python child of this command on this machine; it ends with the cluster at the latest."""
        ...

    def victim(self, target: str, which: int = 1) -> Victim:
        """The process that a fault on `target` ("broker", "taskmanager") hits: the `which`-th of its kind, from 1.

        KeyError for what it has not.
        """
        ...

    def hold(self, limits: Limits) -> None:
        """From now on to these limits, where they can change while it runs; a container keeps those of its start."""
        ...

    def check(self) -> None:
        """BrokerError or JobError with the log's tail when a process is gone."""
        ...


def not_testable(backend: str, spec: ClusterSpec) -> str:
    """Why this host cannot hold processes to the limits; "" if it can, or if nobody asks it to."""
    cpus = spec.limits.task_manager_cpus
    if backend != "local" or cpus is None:
        return ""
    from bench.backends.cpus import apart, why_no_quota

    why = why_no_quota()
    if not why:
        try:
            apart(cores_apart(spec))
        except HostError as error:
            why = str(error)
    return f"not testable here: cluster.limits.task_manager_cpus takes a quota on cores apart, and {why}" if why else ""


def cores_apart(spec: ClusterSpec) -> int:
    """Whole cores that its limited TaskManagers have for themselves."""
    return math.ceil(spec.limits.task_manager_cpus or 0) * spec.task_managers


def require(backend: str) -> None:
    """HostError, within seconds, where this machine has not what `backend` needs: an engine, compose, the images."""
    if backend not in ("local", "remote"):  # what the second needs is asked of it (see `bench.backends.reach`)
        from bench.backends.containers.cluster import require_containers

        require_containers(backend)


def open_cluster(
    backend: str, spec: ClusterSpec, *, run_dir: Path, log_dir: Path, remote: Remote | None = None
) -> AbstractContextManager[Cluster]:
    """Open `spec` on `backend`; `run_dir` holds data and is removed at the end, `log_dir` is kept.

    `remote`: the cluster that the backend remote is about; what it has, it has whatever `spec` says.
    """
    if backend == "remote" and remote is not None:
        from bench.backends.remote import open_remote

        return open_remote(remote, spec, run_dir=run_dir, log_dir=log_dir)
    if backend == "local":
        from bench.backends.local import open_local

        return open_local(spec, run_dir=run_dir, log_dir=log_dir)
    if backend in ("compose", "testcontainers"):
        from bench.backends.containers.cluster import open_containers

        return open_containers(backend, spec, run_dir=run_dir, log_dir=log_dir)
    raise ValueError(f"no backend {backend!r}")
