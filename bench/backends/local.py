"""The embedded default backend: a real Kafka and a real Flink as child processes on loopback, with free ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bench.backends import PLAIN, Account, ClusterSpec, Limits, Pipes, PythonUse, Victim, cores_apart, hotspot
from bench.backends.accounting import FileUse, Ledger, held, python_use, topic_bytes
from bench.backends.cpus import Group, Place, apart, make_group, only_on
from bench.backends.flink import FlinkPlan, SessionCluster
from bench.backends.kafka import Broker, BrokerPlan, Tier, await_ready, format_all
from bench.backends.objectstore import ObjectStore
from bench.backends.subtree import Child, Subtree
from bench.toolchain import FIRST_SETUP, Toolchain, provision

ROOT = Path(__file__).resolve().parents[2]


def free_ports(count: int) -> list[int]:
    """`count` different ports that were free on loopback a moment ago (held open until all are found)."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class LocalCluster:
    """See `bench.backends.Cluster`."""

    backend = "local"
    ours = True
    terms = PLAIN

    def __init__(
        self,
        spec: ClusterSpec,
        tools: Toolchain,
        subtree: Subtree,
        run_dir: Path,
        log_dir: Path,
        *,
        cores: tuple[int, ...] = (),
    ) -> None:
        """`cores`: those of limited TaskManagers."""
        self.spec = spec
        self._cores = cores
        self.subtree = subtree
        self.log_dir = log_dir
        self.versions: Mapping[str, str] = tools.versions
        self._ledgers = {"broker": Ledger(), "flink": Ledger(), "store": Ledger()}
        ports = iter(free_ports(3 * spec.brokers + 5))
        racks = spec.racks or ("a",)
        self._tier = Tier(run_dir / "tier", tools.tiered_storage) if spec.tiered else None
        self.brokers = [
            Broker(
                BrokerPlan(
                    n,
                    racks[(n - 1) % len(racks)],
                    next(ports),
                    next(ports),
                    next(ports),
                    run_dir / f"broker-{n}",
                    spec.broker_disk_mb,
                    self._tier,
                ),
                spec.broker_heap_mb,
                tools,
                subtree,
                log_dir / f"broker-{n}.log",
            )
            for n in range(1, spec.brokers + 1)
        ]
        self.flink: SessionCluster | None = None
        self.groups: list[Group] = []  # one a TaskManager, where they are limited
        self._store = ObjectStore(run_dir / "store", next(ports), next(ports), subtree, log_dir)
        if spec.task_managers:
            plan = FlinkPlan(
                run_dir / "flink",
                next(ports),
                next(ports),
                next(ports),
                spec.slots,
                spec.task_heap_mb,
                spec.managed_mb,
                spec.flink,
                self._store.url,
            )
            self.flink = SessionCluster(plan, tools, subtree, log_dir)

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.plan.address for broker in self.brokers)

    @property
    def bootstrap_inside(self) -> str:
        return self.bootstrap

    @property
    def flink_url(self) -> str:
        return self.flink.plan.url if self.flink else ""

    @property
    def jmx_urls(self) -> tuple[str, ...]:
        return tuple(f"http://127.0.0.1:{broker.plan.jmx_port}/metrics" for broker in self.brokers)

    @property
    def flink_metrics_urls(self) -> tuple[str, ...]:
        return ()  # Flink's reporter would listen on every interface

    @property
    def logs(self) -> Mapping[str, Path]:
        return {path.stem: path for path in sorted(self.log_dir.glob("*.log"))}

    def start(self) -> None:
        """Formatting and Flink's start overlap: both are JVM starts that wait for each other's idle core."""
        if self.flink:
            self.flink.write_configuration()
        format_all(self.brokers)
        for broker in self.brokers:
            broker.start()
        if self.flink:
            self.flink.start_jobmanager()
            for index in range(self.spec.task_managers):
                self.flink.start_taskmanager(index, self._place(index))
        await_ready(self.bootstrap, len(self.brokers), self._check_brokers, self._broker_tails)
        if self.flink:
            self.flink.await_ready()

    def _place(self, index: int) -> Place:
        """Of a TaskManager: with a limit in a group of its own, which holds nothing back yet, on the cores apart."""
        if self.spec.limits.task_manager_cpus is None:
            return Place()
        group = make_group(f"streamgauge-{os.getpid()}-taskmanager-{index}")
        self.subtree.remove_group_at_end(group.folder)
        self.groups.append(group)
        return Place(str(group.folder), self._cores)

    def hold(self, limits: Limits) -> None:
        for group in self.groups:
            group.hold(limits.task_manager_cpus)

    def account(self) -> dict[str, Account]:
        roots = {"broker": [broker.child.pid for broker in self.brokers if broker.child]}
        if self.flink:
            children = [*(one.child for one in self.flink.taskmanagers), self.flink.jobmanager]
            roots["flink"] = [child.pid for child in children if child]
        if self._store.pids:
            roots["store"] = self._store.pids
        return {component: self._ledgers[component].account(pids) for component, pids in roots.items()}

    def python_use(self) -> PythonUse | None:
        return python_use(one.child.pid for one in self.flink.taskmanagers if one.child) if self.flink else None

    def object_store(self) -> ObjectStore:
        self._store.start(ROOT)
        return self._store

    def client_environment(self) -> dict[str, str]:
        return self.flink.environment() if self.flink else {}

    def disk_bytes(self, topic: str) -> dict[str, int]:
        return topic_bytes((file for broker in self.brokers for file in data_files(broker.plan.data, topic)), topic)

    def broker_footprint(self) -> dict[str, int]:
        pids = [broker.child.pid for broker in self.brokers if broker.child]
        heaps = [hotspot.live_heap_bytes(pid) for pid in pids]
        whole = [size for size in heaps if size is not None]
        return held(pids) | ({"live_heap_bytes": sum(whole)} if len(whole) == len(heaps) else {})

    def tiered_bytes(self, topic: str) -> int:
        return sum(size for size in segment_sizes(self._tier.folder, topic)) if self._tier else 0

    def spawn(
        self, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, fds: Pipes | None = None
    ) -> Child:
        environment = {**(env or {}), "PYTHONPATH": str(ROOT)}
        stdin, stdout = fds or (None, None)
        return self.subtree.spawn(log.stem, argv, log=log, env=environment, cwd=ROOT, stdin=stdin, stdout=stdout)

    def victim(self, target: str, which: int = 1) -> Victim:
        known: dict[str, Sequence[Victim]] = {"broker": self.brokers}
        if self.flink:
            known["taskmanager"] = self.flink.taskmanagers
        return known[target][which - 1]

    def _check_brokers(self) -> None:
        for broker in self.brokers:
            broker.check()

    def _broker_tails(self) -> str:
        return "\n".join(broker.child.log_tail() for broker in self.brokers if broker.child)

    def check(self) -> None:
        self._check_brokers()
        if self.flink:
            self.flink.check()
        self._store.check()


def data_files(data: Path, topic: str) -> Iterator[FileUse]:
    """The topic's partition folders below a broker's data folder, and the files in them."""
    for folder in data.glob(f"{topic}-*"):
        yield FileUse(folder.name, "", 0, 0)
        try:
            files = list(folder.iterdir())
        except FileNotFoundError:
            continue  # deleted while we looked: renamed first, then removed
        for file in files:
            try:
                stat = file.stat()
            except FileNotFoundError:
                continue  # rolled or deleted while we looked
            yield FileUse(folder.name, file.name, stat.st_size, stat.st_blocks)


def segment_sizes(tier: Path, topic: str) -> Iterator[int]:
    """Bytes of each segment of a topic in a `LocalTieredStorage`; its folders are called TOPIC-PARTITION-ID."""
    for file in tier.rglob(f"{topic}-*/*.log"):
        try:
            yield file.stat().st_size
        except FileNotFoundError:
            continue  # deleted while we looked


@contextmanager
def open_local(spec: ClusterSpec, *, run_dir: Path, log_dir: Path) -> Iterator[LocalCluster]:
    """A LocalCluster, ready; its processes and `run_dir` are gone afterwards, whatever happens.

    Limited TaskManagers have cores to themselves: everything else, this process included, stays on the others.
    """
    tools = provision(only={*FIRST_SETUP, "tiered"}) if spec.tiered else provision()
    run_dir.mkdir(parents=True)
    log_dir.mkdir(parents=True, exist_ok=True)
    theirs, ours = apart(count) if (count := cores_apart(spec)) else ((), ())
    with only_on(ours) if ours else nullcontext(), Subtree() as subtree:
        subtree.remove_at_end(run_dir)
        cluster = LocalCluster(spec, tools, subtree, run_dir, log_dir, cores=theirs)
        cluster.start()
        yield cluster
