"""A cluster in containers, however they were started: found by label, accounted by cgroup, gone afterwards."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from bench.backends import Account, ClusterSpec, JobTerms, Limits, Pipes, PythonUse, Victim
from bench.backends.accounting import Cgroup, FileUse, held, python_use, topic_bytes
from bench.backends.containers import compose, engine, ephemeral, images
from bench.backends.containers import plan as planning
from bench.backends.containers.plan import Plan
from bench.backends.containers.warden import Warden
from bench.backends.flink import await_slots, client_environment, get_json
from bench.backends.kafka import await_ready
from bench.backends.local import ROOT
from bench.backends.subtree import Child, Subtree
from bench.errors import BrokerError, HostError, JobError
from bench.toolchain import Toolchain, provision

STARTERS = {"compose": compose, "testcontainers": ephemeral}
TAIL_LINES = 12


class ContainerCluster:
    """See `bench.backends.Cluster`."""

    ours = True
    terms = JobTerms({"python.executable": "python"})  # the images', for workers: this command's own is not in them

    def __init__(
        self,
        backend: str,
        plan: Plan,
        *,
        client: docker.DockerClient,
        tools: Toolchain,
        subtree: Subtree,
        run_dir: Path,
        log_dir: Path,
    ) -> None:
        self.backend = backend
        self.plan = plan
        self.spec: ClusterSpec = plan.spec
        self.subtree = subtree
        self.log_dir = log_dir
        self._client = client
        self._tools = tools
        self._client_conf = run_dir / "client-conf"
        planning.client_configuration(plan, tools, self._client_conf)
        found = engine.containers(client, plan.cluster)
        self.brokers = {name: found[name][0] for name in plan.brokers}
        self.flink: dict[str, Any] = {}
        if plan.spec.task_managers:
            self.flink = {"jobmanager": found["jobmanager"][0]}
            self.flink |= {f"taskmanager-{i}": one for i, one in enumerate(found["taskmanager"])}
        self._cgroups: dict[str, Cgroup] = {}
        for name, container in {**self.brokers, **self.flink}.items():
            _Follow(container, log_dir / f"{_log_name(name)}.log").start()
        self.versions: Mapping[str, str] = {}

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.plan.kafka_ports)

    @property
    def bootstrap_inside(self) -> str:
        return ",".join(f"{name}:{planning.INSIDE}" for name in self.plan.brokers)

    @property
    def flink_url(self) -> str:
        return f"http://127.0.0.1:{self.plan.rest_port}" if self.flink else ""

    @property
    def jmx_urls(self) -> tuple[str, ...]:
        return tuple(f"http://127.0.0.1:{port}/metrics" for port in self.plan.jmx_ports)

    @property
    def flink_metrics_urls(self) -> tuple[str, ...]:
        published = (one.attrs["NetworkSettings"]["Ports"] for one in self.flink.values())
        bindings = (ports.get(f"{planning.REPORTER}/tcp") or [] for ports in published)
        return tuple(f"http://127.0.0.1:{found[0]['HostPort']}/metrics" for found in bindings if found)

    @property
    def logs(self) -> Mapping[str, Path]:
        return {path.stem: path for path in sorted(self.log_dir.glob("*.log"))}

    def await_ready(self) -> None:
        """Until Kafka and Flink answer on loopback; then what they are is read from them."""
        await_ready(self.bootstrap, len(self.brokers), self._check_brokers, lambda: _tails(self.brokers))
        if self.flink:
            slots = self.spec.task_managers * self.spec.slots
            await_slots(self.flink_url, slots, self.check, lambda: _tails({"jobmanager": self.flink["jobmanager"]}))
        self._cgroups = {name: _cgroup(container) for name, container in {**self.brokers, **self.flink}.items()}
        self.versions = self._versions()

    def _versions(self) -> dict[str, str]:
        """What runs, asked where it runs: an image may have been exchanged."""
        broker = self.brokers[self.plan.brokers[0]]
        with engine.told_plainly(f"asking {broker.name} for its versions"):
            said = broker.exec_run(["sh", "-c", "java -version 2>&1; ls /opt/kafka/libs"]).output.decode()
            engine_version = self._client.version()["Version"]
        found = {
            "java": _group(r'version "([\d.]+)', said),
            "kafka": _group(r"kafka_2\.\d+-([\w.]+)\.jar", said),
            "container_engine": f"Docker {engine_version}",
            "container_images": ", ".join(self.plan.images.values()),
            "container_limits": ", ".join(_limits(name, one) for name, one in {**self.brokers, **self.flink}.items()),
        }
        if self.flink:
            found["flink"] = (get_json(f"{self.flink_url}/config") or {}).get("flink-version", "")
        return found

    def account(self) -> dict[str, Account]:
        found = {"broker": _sum(self._cgroups[name].account() for name in self.brokers)}
        if self.flink:
            found["flink"] = _sum(self._cgroups[name].account() for name in self.flink)
        return found

    def python_use(self) -> PythonUse | None:
        return python_use(one.attrs["State"]["Pid"] for name, one in self.flink.items() if name != "jobmanager")

    def object_store(self) -> None:
        """The one in the composition is not metered."""

    def client_environment(self) -> dict[str, str]:
        return client_environment(self._tools, self._client_conf, self.log_dir) if self.flink else {}

    def disk_bytes(self, topic: str) -> dict[str, int]:
        return topic_bytes((file for one in self.brokers.values() for file in _files(one, topic)), topic)

    def broker_footprint(self) -> dict[str, int]:
        # a JVM answers only who sees its files and its process as it does: its heap stays unknown from out here
        return held(one.attrs["State"]["Pid"] for one in self.brokers.values())

    def tiered_bytes(self, topic: str) -> int:
        del topic
        return 0  # no container is told of a remote store

    def spawn(
        self, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, fds: Pipes | None = None
    ) -> Child:
        environment = {**(env or {}), "PYTHONPATH": str(ROOT)}
        stdin, stdout = fds or (None, None)
        return self.subtree.spawn(log.stem, argv, log=log, env=environment, cwd=ROOT, stdin=stdin, stdout=stdout)

    def victim(self, target: str, which: int = 1) -> Victim:
        raise HostError(f"a fault on {target} {which} needs the local backend: its processes are ours to stop")

    def _check_brokers(self) -> None:
        for name, container in self.brokers.items():
            ended = _ended(container)
            if ended:
                raise BrokerError(f"{_log_name(name).replace('-', ' ')} ended ({ended})\n{_tails({name: container})}")

    def hold(self, limits: Limits) -> None:
        """They were started with them."""

    def check(self) -> None:
        self._check_brokers()
        for name, container in self.flink.items():
            ended = _ended(container)
            if ended:
                raise JobError(f"{name} ended ({ended})\n{_tails({name: container})}")


def _log_name(role: str) -> str:
    """A process's log is called alike on every backend."""
    return role.replace("kafka-", "broker-")


def _group(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _sum(accounts: Iterator[Account]) -> Account:
    known = list(accounts)
    return Account(sum(one.cpu_s for one in known), sum(one.rss_bytes for one in known))


def _cgroup(container: Any) -> Cgroup:
    try:
        container.reload()
        return Cgroup.of(container.attrs["State"]["Pid"])
    except (OSError, DockerException) as error:
        raise HostError(
            f"the cgroup of {container.name} cannot be read ({error}): the engine has to run on this machine itself, "
            "not in a virtual one"
        ) from error


def _limits(name: str, container: Any) -> str:
    """As the engine enforces them."""
    told = container.attrs["HostConfig"]
    cpus, memory = (told.get("NanoCpus") or 0) / 1e9, (told.get("Memory") or 0) >> 20
    return f"{name}: {f'{cpus:g} CPUs' if cpus else 'all CPUs'}, {f'{memory} MiB' if memory else 'all memory'}"


def _ended(container: Any) -> str:
    """How it ended, or "" while it runs."""
    try:
        container.reload()
    except NotFound:
        return "its container was removed"
    except (DockerException, OSError) as error:
        return f"Docker does not answer: {error}"
    state = container.attrs["State"]
    if state["Running"]:
        return ""
    return f"exit code {state['ExitCode']}" + (", killed at its memory limit" if state.get("OOMKilled") else "")


def _tails(named: Mapping[str, Any]) -> str:
    """The ends of their logs, from the engine: what was said last may not have reached the files yet."""
    found = []
    for container in named.values():
        with suppress(DockerException, OSError):
            found.append(container.logs(tail=TAIL_LINES).decode("utf-8", "replace").strip())
    return "\n".join(found)


def _files(container: Any, topic: str) -> Iterator[FileUse]:
    """The topic's files in a broker's container, with length and blocks; the same on Debian and Alpine."""
    found = ["find", "/data/kafka", "-maxdepth", "2", "-path", f"/data/kafka/{topic}-*"]
    with engine.told_plainly(f"reading the log folders of {container.name}"):
        # files roll or go while they are looked at: `stat` complains of those and tells the rest
        said = container.exec_run([*found, "-exec", "stat", "-c", "%s %b %n %F", "{}", "+"], demux=True).output[0]
    for line in (said or b"").decode().splitlines():
        size, blocks, path, kind = line.split(" ", 3)
        folder, _, name = path.removeprefix("/data/kafka/").partition("/")
        is_folder = kind == "directory"
        yield FileUse(folder, name, 0 if is_folder else int(size), 0 if is_folder else int(blocks))


class _Follow(threading.Thread):
    """Copies what a container says into a file, until it is gone."""

    def __init__(self, container: Any, log: Path) -> None:
        super().__init__(name=f"log-{log.stem}", daemon=True)
        self._container = container
        self._log = log

    def run(self) -> None:
        with suppress(DockerException, OSError, APIError), self._log.open("ab", buffering=0) as log:
            for chunk in self._container.logs(stream=True, follow=True):
                log.write(chunk)


def require_containers(backend: str) -> None:
    """See `bench.backends.require`."""
    with closing(engine.connect()) as client:
        images.require(client)
    if backend == "compose":
        compose.command()


@contextmanager
def open_containers(backend: str, spec: ClusterSpec, *, run_dir: Path, log_dir: Path) -> Iterator[ContainerCluster]:
    """A ContainerCluster, ready; containers, networks, volumes and `run_dir` are gone afterwards, whatever happens."""
    start = STARTERS[backend].start
    with closing(engine.connect()) as client:
        found = images.require(client)
        with engine.told_plainly("removing what an earlier command left"):
            engine.remove_leftovers(client)
        tools = provision()
        run_dir.mkdir(parents=True)
        log_dir.mkdir(parents=True, exist_ok=True)
        with Subtree() as subtree:
            subtree.remove_at_end(run_dir)
            plan = planning.make(spec, tools, found, engine.owner(), run_dir)
            with Warden(plan.cluster, run_dir / "warden.log"):
                start(plan)
                cluster = ContainerCluster(
                    backend, plan, client=client, tools=tools, subtree=subtree, run_dir=run_dir, log_dir=log_dir
                )
                cluster.await_ready()
                yield cluster
