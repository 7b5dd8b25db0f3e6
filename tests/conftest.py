"""For every test: what a busy machine must not decide, a Docker engine with images, and which backends really ran."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from bench.backends import BACKENDS
from bench.backends.accounting import Cgroup
from bench.backends.containers import engine, images
from bench.errors import HostError

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / "deploy" / "docker" / "engine.sh"
OURS: list[str] = []  # what engine.sh said when it started one for these tests
IN_CONTAINERS = ("compose", "testcontainers")

settings.register_profile("calm", deadline=None)  # a neighbour's load is no finding about an example
settings.load_profile("calm")


BESIDE_NICE = 10  # tests beside a cluster take what it leaves: its brokers are timed, and they are not


class BesideClusters(LoadScopeScheduling):
    """Of two workers (`make test`) one has every file that starts clusters, one after another, the other all others.

    What is dealt out are names, without their marks: so a file's text is asked. With pytest-xdist's own
    `xdist_group` and pytest 9.2, tests of one group went to either worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "clusters" if _starts_clusters(ROOT / file) else file


@functools.cache
def _starts_clusters(file: Path) -> bool:
    return "pytest.mark.platform" in file.read_text()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BesideClusters:
    return BesideClusters(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ and not _starts_clusters(item.path):
        os.nice(max(0, BESIDE_NICE - os.nice(0)))


@functools.cache
def lack_of_containers() -> str:
    """Why containers cannot run here, "" if they can: said only after an engine was really started, or tried to be."""
    if told := os.environ.get("STREAMGAUGE_NO_CONTAINERS"):
        return told
    try:
        engine.connect().close()
    except HostError as error:
        tried = subprocess.run([ENGINE, "start"], capture_output=True, text=True, timeout=120, check=False)
        if tried.returncode != 0:
            return f"{error}; {tried.stderr.strip().splitlines()[-1]}"
        if "started" in tried.stdout:
            OURS.append(tried.stdout)
    try:
        with closing(engine.connect()) as client:
            try:
                images.require(client)
            except HostError as error:
                base = "debian" if os.getuid() == 0 else "official"
                print(f"\n{error}; building them on {base}", file=sys.stderr)
                if images.main([base]) != 0:
                    return f"the images cannot be built here ({base} base)"
            _try(client)
    except (HostError, DockerException, OSError) as error:
        return str(error)
    return ""


def _try(client: docker.DockerClient) -> None:
    """What every test needs: a network, a port on loopback, and a cgroup that can be read from here."""
    labels = {engine.CLUSTER: "trial", engine.OWNER: engine.owner()}
    try:
        network = client.networks.create("streamgauge-trial", labels=labels)
        ports = {"9092/tcp": ("127.0.0.1", None)}
        container = client.containers.run(
            images.name("kafka"), ["sleep", "30"], detach=True, labels=labels, network=network.name, ports=ports
        )
        container.reload()
        Cgroup.of(container.attrs["State"]["Pid"]).account()
    finally:
        engine.remove(client, "trial")


@pytest.fixture(scope="session", params=IN_CONTAINERS)
def container_backend(request: pytest.FixtureRequest) -> str:
    """Each backend of containers, where they can run."""
    lack = lack_of_containers()
    if lack:
        pytest.skip(f"no containers: {lack}")
    backend: str = request.param
    return backend


@pytest.fixture(scope="session")
def containers() -> None:
    """Containers can run here, for tests that are of no backend in particular."""
    if lack := lack_of_containers():
        pytest.skip(f"no containers: {lack}")


@pytest.fixture
def docker_client() -> Iterator[docker.DockerClient]:
    with closing(engine.connect()) as client:
        yield client


def pytest_sessionfinish(session: pytest.Session) -> None:
    """An engine that these tests started ends with them."""
    if OURS:
        subprocess.run([ENGINE, "stop"], capture_output=True, timeout=60, check=False)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Which backends really ran: a skipped one is easily overlooked."""
    platform = [report for report in terminalreporter.stats.get("passed", []) if "platform" in report.keywords]
    ran = dict.fromkeys(BACKENDS, False)
    for report in platform:
        named = [backend for backend in (*IN_CONTAINERS, "remote") if backend in report.nodeid]
        for backend in named or ["local"]:
            ran[backend] = True
    if platform:
        said = ", ".join(f"{backend} {'ran' if did else 'DID NOT RUN'}" for backend, did in ran.items())
        terminalreporter.write_line(f"backends: {said}")
        watched = any("test_alerts_and_dashboards_on_a_real_run" in report.nodeid for report in platform)
        ran_or_not = "ran" if watched else "DID NOT RUN"
        terminalreporter.write_line(f"prometheus: alerts and dashboards on a real run {ran_or_not}")
