"""A Flink session cluster that runs already when a test reaches it as somebody else's, by its REST address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.backends.flink import FlinkPlan, SessionCluster
from bench.backends.local import free_ports
from bench.backends.subtree import Subtree
from bench.toolchain import provision


@contextmanager
def session_cluster(folder: Path, slots: int = 2) -> Iterator[SessionCluster]:
    """On loopback, with one TaskManager; its logs are in `folder`/logs."""
    rest, rpc, blob = free_ports(3)
    logs = folder / "logs"
    logs.mkdir(parents=True)
    with Subtree() as subtree:
        cluster = SessionCluster(FlinkPlan(folder, rest, rpc, blob, slots, 1024, 128, {}), provision(), subtree, logs)
        cluster.write_configuration()
        cluster.start_jobmanager()
        cluster.start_taskmanager(0)
        cluster.await_ready()
        yield cluster
