"""Load workers on other machines, as far as one machine has others: each in a network namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import topics
from bench.backends.kafka import JVM, LOG4J2, await_ready, heap, new_cluster_id, told
from bench.backends.local import ROOT, free_ports
from bench.backends.subtree import Child, Subtree
from bench.loadgen import start
from bench.loadgen.drive import Master
from bench.toolchain import provision

pytestmark = [pytest.mark.platform, pytest.mark.timeout(240)]

NET = "10.213.77"
HERE, BROKER, WORKERS = f"{NET}.1", f"{NET}.2", (f"{NET}.3", f"{NET}.4")
RATE_EPS, SECONDS = 2_000, 5


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=10)


@contextmanager
def namespaces() -> Iterator[tuple[str, Sequence[str]]]:
    """One for the broker, with a bridge that the others and this machine are plugged into, and one a worker."""
    mine = os.getpid() % 100_000
    broker, workers = f"sgb{mine}", [f"sgw{mine}{k}" for k in "ab"]
    with ExitStack() as stack:
        for name in (broker, *workers):
            try:
                ip("netns", "add", name)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"network namespaces cannot be made here: {getattr(error, 'stderr', '') or error}".strip())
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
            ip("-n", name, "link", "set", "lo", "up")
        try:
            ip("-n", broker, "link", "add", "lan", "type", "bridge")
            ip("-n", broker, "addr", "add", f"{BROKER}/24", "dev", "lan")
            ip("-n", broker, "link", "set", "lan", "up")
            for k, (name, address) in enumerate(zip((None, *workers), (HERE, *WORKERS), strict=True)):
                far, near = f"p{k}", f"sg{mine}{k}"
                ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", broker)
                if name is None:
                    stack.callback(subprocess.run, ["ip", "link", "del", near], check=False, capture_output=True)
                else:
                    ip("link", "set", near, "netns", name)
                where = ["-n", name] if name else []
                ip(*where, "addr", "add", f"{address}/24", "dev", near)
                ip(*where, "link", "set", near, "up")
                ip("-n", broker, "link", "set", far, "master", "lan", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"namespaces cannot be joined here: {error.stderr.strip()}")
        yield broker, workers


@contextmanager
def broker_in(namespace: str, folder: Path, subtree: Subtree) -> Iterator[str]:
    """A plain broker there; its address."""
    tools, (port, controller) = provision(), free_ports(2)
    where = {
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{BROKER}:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://{BROKER}:{port}",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    (folder / "server.properties").write_text(told(1, "a", str(folder / "data"), 1, where))
    (folder / "log4j2.xml").write_text(LOG4J2)

    def java(name: str, *main: str, memory: Sequence[str]) -> Child:
        argv = ["ip", "netns", "exec", namespace, str(tools.java), *memory, *JVM,
                f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}",
                "-cp", ":".join(map(str, tools.kafka_classpath)), *main]  # fmt: skip
        return subtree.spawn(name, argv, log=folder / "broker.log", cwd=folder)

    properties = str(folder / "server.properties")
    format_words = ("kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", properties)
    assert java("format", *format_words, memory=["-Xmx128m"]).wait(60) == 0
    child = java("broker", "kafka.Kafka", properties, memory=heap(512))

    def check() -> None:
        assert child.poll() is None, child.log_tail()

    bootstrap = f"{BROKER}:{port}"
    await_ready(bootstrap, 1, check, child.log_tail)
    yield bootstrap


@dataclass
class Started:
    """The workers, once somebody started them."""

    children: list[Child]


def test_two_workers_elsewhere_drive_one_broker_elsewhere(tmp_path: Path) -> None:
    """Each sends its share of one schedule over a wire of its own, and nothing is lost or sent twice."""
    with namespaces() as (apart, places), Subtree() as subtree, broker_in(apart, tmp_path, subtree) as bootstrap:
        topics.create(bootstrap, "from-afar", partitions=4)
        (port,) = free_ports(1)
        started = Started([])

        def start_workers() -> None:
            time.sleep(1.0)  # the master is there first, as where somebody starts them by hand
            for place in places:
                argv = ["ip", "netns", "exec", place, sys.executable, "-m", "bench.loadgen.worker", "--master",
                        f"{HERE}:{port}"]  # fmt: skip
                environment = {"PYTHONPATH": str(ROOT)}
                log = tmp_path / f"{place}.log"
                started.children.append(subtree.spawn(place, argv, log=log, env=environment, cwd=ROOT))

        by_hand = threading.Thread(target=start_workers)
        by_hand.start()
        settings = {
            "workload": {"name": "clicks", "event_bytes": 200}, "producer": {},
            "load": {"rate_eps": RATE_EPS, "workers": 2},
        }  # fmt: skip
        drive = start(
            settings, bootstrap=bootstrap, topic="from-afar", partitions=4, duration_s=SECONDS, warmup_s=0,
            run_dir=tmp_path, seed=7, master=Master(bind_host=HERE, port=port, spawn_workers=False),
        )  # fmt: skip
        by_hand.join()
        seen = {Path(f"/proc/{child.pid}/ns/net").readlink() for child in started.children}
        assert len(seen | {Path("/proc/self/ns/net").readlink()}) == 3
        sent = drive.wait()
        assert sent.worker_failures == ()
        assert [round(n, -3) for n in sent.offered_by_worker] == [RATE_EPS * SECONDS / 2] * 2
        assert sent.acknowledged_events == sum(topics.end_offsets(bootstrap, "from-afar").values()) > 0
