"""What containers are told and what is said where there are none: no engine is needed to check it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bench.backends import Account, ClusterSpec, Limits, flink, kafka
from bench.backends.accounting import Cgroup, FileUse, topic_bytes
from bench.backends.containers import compose, engine, images
from bench.backends.containers import plan as planning
from bench.backends.containers.plan import Plan
from bench.errors import HostError

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: Any = YAML(typ="safe").load(COMPOSE_TEXT)


def plan(spec: ClusterSpec) -> Plan:
    n = spec.brokers
    ports = tuple(range(20_000, 20_000 + n))
    return Plan("streamgauge-x", "me", "id", spec, {}, Path("/conf"), ports, ports, 1, 2, (3, 4))


# ---- what they are told


def test_a_broker_in_a_container_is_told_what_a_local_one_is() -> None:
    """A ratio between backends that differ in settings is a ratio between settings."""
    local = kafka.BrokerPlan(1, "a", 1, 2, 3, Path("/run/broker-1"))
    here = dict(line.split("=", 1) for line in kafka.properties(local, [local]).splitlines())
    told = (planning.DEFAULTS / "1" / "kafka-1.properties").read_text()
    there = dict(line.split("=", 1) for line in told.splitlines())
    addresses = {"controller.quorum.voters", "listeners", "advertised.listeners", "listener.security.protocol.map"}
    assert {key for key in here.keys() | there.keys() if here.get(key) != there.get(key)} == addresses | {"log.dirs"}


def test_flink_in_containers_is_told_what_a_local_one_is() -> None:
    """As for the broker; and a raw setting of the scenario wins over ours, or an axis would vary nothing."""
    spec = ClusterSpec(task_managers=1, slots=2, flink={"heartbeat.timeout": "7000"})
    there = planning.session(spec, "--x")
    common = flink.told(spec.slots, spec.task_heap_mb, spec.managed_mb)
    assert {key for key, value in common.items() if there[key] != value} == {"heartbeat.timeout"}
    assert there["heartbeat.timeout"] == "7000"


def test_what_compose_uses_by_hand_is_what_the_backend_writes(tmp_path: Path) -> None:
    """The committed files are made by `python -m bench.backends.containers.plan`; edited by hand they would drift."""
    options = next(
        line.split(": ", 1)[1].strip().strip('"')
        for line in (planning.DEFAULTS / "1" / "flink" / "config.yaml").read_text().splitlines()
        if line.startswith("env.java.opts.all: ")
    )
    for brokers in (1, 3):
        spec = ClusterSpec(brokers=brokers, racks=("a", "b", "c")[:brokers], task_managers=1)
        planning.write(tmp_path / str(brokers), spec, planning.DEFAULT_PORTS[:brokers], options)
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    kept = {
        path.relative_to(planning.DEFAULTS): path.read_text() for path in planning.DEFAULTS.rglob("*") if path.is_file()
    }
    assert made == kept


# ---- docker-compose.yml


def test_every_port_is_published_on_loopback() -> None:
    """Nothing in it asks for a password: one port without an address opens the user's machine to the network."""
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(published) >= 10
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    on_host = [name for name, service in COMPOSE["services"].items() if service.get("network_mode") == "host"]
    for name in on_host:  # these listen themselves, and are told where
        assert "127.0.0.1" in str(COMPOSE["services"][name]), name


def test_no_variable_of_the_users_reaches_a_measurement() -> None:
    """A limit left in an .env file would quietly make a run of another machine."""
    told = compose.environment(plan(ClusterSpec(brokers=3, task_managers=1)))
    services = {"kafka-1", "kafka-2", "kafka-3", "jobmanager", "taskmanager"}
    used = set(re.findall(r"\$\{(\w+)", str({name: COMPOSE["services"][name] for name in services})))
    used |= set(re.findall(r"\$\{(\w+)", str(COMPOSE["x-labels"])))
    assert len(used) > 15
    assert sorted(used - told.keys()) == []


def test_limits_reach_compose() -> None:
    """A limit that is not handed on makes every point of its axis the same point."""
    limits = Limits(broker_cpus=0.5, broker_memory_mb=900, task_manager_cpus=1.5, task_manager_memory_mb=2000)
    told = compose.environment(plan(ClusterSpec(task_managers=1, limits=limits)))
    assert (told["STREAMGAUGE_KAFKA_CPUS"], told["STREAMGAUGE_KAFKA_MEMORY"]) == ("0.5", "900m")
    assert (told["STREAMGAUGE_TASKMANAGER_CPUS"], told["STREAMGAUGE_TASKMANAGER_MEMORY"]) == ("1.5", "2000m")


def test_every_object_carries_its_cluster_and_owner() -> None:
    """What has no label is left behind for ever, and fills the disk one run at a time."""
    labelled = [*COMPOSE["services"].values(), *COMPOSE["networks"].values(), *COMPOSE["volumes"].values()]
    for thing in labelled:
        assert {engine.CLUSTER, engine.OWNER} <= thing["labels"].keys()


def test_images_are_pinned_and_overridable() -> None:
    """A moving tag measures something else next month."""
    for name, service in COMPOSE["services"].items():
        found = re.fullmatch(
            r"\$\{STREAMGAUGE_\w+_IMAGE:-([\w./-]+):([\w.-]+)(@sha256:[0-9a-f]{64})?\}", service["image"]
        )
        assert found, name
        assert found[2] != "latest"
        assert found[3] or found[1].startswith("streamgauge/"), f"{name}: somebody else's tag moves without a digest"
    ours = {images.name("kafka"), images.name("flink")}
    assert ours <= set(re.findall(r"IMAGE:-([\w./:-]+)\}", COMPOSE_TEXT))


@pytest.mark.parametrize("program", [("docker", "compose"), ("docker-compose",)])
def test_compose_reads_the_file(program: tuple[str, ...]) -> None:
    """Both kinds of compose are in use, and they differ in what they take; nothing is started."""
    if (
        shutil.which(program[0]) is None
        or subprocess.run([*program, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{' '.join(program)} is not installed")
    done = subprocess.run(
        [*program, "--file", ROOT / "docker-compose.yml", "config", "--quiet"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


# ---- what is said where it cannot be had


def test_no_engine_is_one_sentence_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack trace of four libraries about a missing file tells nobody to start Docker."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(HostError, match=r"^no Docker engine answers at \S+/docker.sock: start one .*, or run with"):
        engine.connect()
    with socket.socket(socket.AF_UNIX) as closed:  # a socket that a dead engine left
        closed.bind(f"{tmp_path}/docker.sock")
        with pytest.raises(HostError, match=r"^no Docker engine answers"):
            engine.connect()


def test_a_silent_engine_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that hangs must not hang us."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setattr(engine, "ANSWER_S", 1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/docker.sock")
        silent.listen()
        with pytest.raises(HostError, match="did not answer within 1 s: restart it, "):
            engine.connect()


def test_an_engine_that_refuses_this_user_is_told_apart(tmp_path: Path) -> None:
    """Whoever is not in the group docker would go looking for an engine that runs."""
    place = Path("/tmp") / f"streamgauge-{os.getpid()}.sock"  # where another user may look, but not enter
    code = (
        "import os; from bench.backends.containers import engine\n"
        "os.getuid() == 0 and os.setuid(65534)\n"
        "try: engine.connect()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    with socket.socket(socket.AF_UNIX) as private:
        private.bind(str(place))
        try:
            private.listen()
            place.chmod(0o000)
            environment = {**os.environ, "DOCKER_HOST": f"unix://{place}", "PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
            )
        finally:
            place.unlink()
    assert done.stdout.startswith(
        f"HostError the Docker engine at {place} refuses this user: add it to the group docker"
    )
    assert done.stderr == ""


def test_an_engine_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ports, its cgroups and its clock are of another machine."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    with pytest.raises(HostError, match=r"^DOCKER_HOST is tcp://10\.0\.0\.1:2375: an engine on another machine"):
        engine.connect()


def test_no_compose_names_the_backend_that_needs_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Testcontainers needs only the engine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    compose.command.cache_clear()
    with pytest.raises(HostError, match=r"^docker compose is not installed: .* --backend testcontainers"):
        compose.command()
    compose.command.cache_clear()


@pytest.mark.parametrize(
    "said",
    [
        (
            "Error response from daemon: driver failed programming external connectivity on endpoint x (1a): Error "
            "starting userland proxy: listen tcp4 127.0.0.1:9092: bind: address already in use"
        ),
        "driver failed programming external connectivity: Bind for 127.0.0.1:9092 failed: port is already allocated",
        "exposing port TCP 127.0.0.1:9092 -> 0.0.0.0:0: listen tcp 127.0.0.1:9092: bind: address already in use",
        (
            "failed to set up container networking: driver failed programming external connectivity on endpoint k: "
            "failed to bind host port for 127.0.0.1:9092:172.18.0.2:19092/tcp: address already in use"
        ),
    ],
)
def test_a_taken_port_is_found_in_what_engines_say(said: str) -> None:
    """Every version words it differently; a reader wants the port."""
    assert "the port 127.0.0.1:9092 is taken by another program" in engine.refusal("compose up", said)


def test_anything_else_is_quoted() -> None:
    """What we do not know we must not interpret."""
    told = engine.refusal("compose up", "Creating x ...\nError: no space left on device\n")
    assert told == "compose up: Docker says: Error: no space left on device"


# ---- owners


def test_only_a_dead_owners_things_are_leftovers() -> None:
    """Removing what a running study uses is worse than any leftover."""
    me = engine.owner()
    boot, namespace, pid, started = me.split("/")
    assert not engine.is_dead(me)
    with subprocess.Popen(["sleep", "60"]) as other:
        alive = engine.owner_label(other.pid)
        assert not engine.is_dead(alive)
        other.kill()
    assert engine.is_dead(alive)
    assert engine.is_dead(f"{boot}/{namespace}/{pid}/{int(started) + 1}"), "the pid came round again"
    assert engine.is_dead(f"another-boot/{namespace}/{pid}/{started}"), "the machine was started again"
    assert not engine.is_dead(f"{boot}/1/{pid}/{started}"), "a process we cannot see from here"
    assert not engine.is_dead("by-hand"), "a person's own compose"
    assert not engine.is_dead("")


# ---- accounting


def test_a_cgroup_is_read_in_both_versions(tmp_path: Path) -> None:
    """CPU is priced: nanoseconds taken for microseconds would be a bill a thousand times off."""
    proc, one, two = tmp_path / "proc", tmp_path / "v1", tmp_path / "v2"
    for folder in (proc / "self", proc / "7", proc / "8", one / "cpuacct" / "d", one / "memory" / "d", two / "d"):
        folder.mkdir(parents=True)
    (proc / "self" / "mountinfo").write_text(
        f"30 29 0:26 / {one}/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
        f"31 29 0:27 / {one}/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
        f"32 29 0:28 / {two} rw,relatime - cgroup2 cgroup2 rw\n"
    )
    (proc / "7" / "cgroup").write_text("4:memory:/d\n2:cpuacct:/d\n0::/\n")
    (proc / "8" / "cgroup").write_text("0::/d\n")
    (one / "cpuacct" / "d" / "cpuacct.usage").write_text("2500000000\n")
    (one / "memory" / "d" / "memory.stat").write_text("rss 1\ntotal_cache 9\ntotal_rss 100\ntotal_mapped_file 20\n")
    (two / "d" / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\nsystem_usec 1\n")
    (two / "d" / "memory.stat").write_text("anon 100\nfile 900\nfile_mapped 20\n")
    assert Cgroup.of(7, proc=proc).account() == Cgroup.of(8, proc=proc).account() == Account(2.5, 120)
    with pytest.raises(OSError):
        Cgroup.of(9, proc=proc)


def test_only_the_topics_own_partitions_are_counted() -> None:
    """A topic whose name begins alike would be billed twice."""
    files = [
        FileUse("t-0", "", 0, 0),
        FileUse("t-0", "00000000000000000000.log", 1000, 8),
        FileUse("t-0", "00000000000000000000.index", 10_485_760, 0),
        FileUse("t-0", "leader-epoch-checkpoint", 8, 8),
        FileUse("t-x-0", "00000000000000000000.log", 5000, 16),
        FileUse("t-0.1a2b-delete", "", 0, 0),
        FileUse("t-0.1a2b-delete", "00000000000000000000.log", 7000, 16),
    ]
    assert topic_bytes(files, "t") == {
        "apparent": 1000 + 10_485_760 + 8, "allocated": 16 * 512, "log": 1000, "index": 10_485_760, "timeindex": 0,
        "log_allocated": 8 * 512, "index_allocated": 0, "timeindex_allocated": 0, "segments": 1, "partitions": 1,
        "leaving": 1,
    }  # fmt: skip
