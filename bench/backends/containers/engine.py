"""Docker's engine on this machine: reached, asked, and left as it was found.

Everything Streamgauge makes there carries its cluster and its owner as labels. The owner is a process: what belongs to
a dead one is a leftover, and the next start removes it; what belongs to a living one is never touched.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from bench.errors import HostError

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = "org.streamgauge.cluster"
OWNER = "org.streamgauge.owner"
ROLE = "org.streamgauge.role"  # kafka-1, jobmanager, taskmanager

ANSWER_S = 10  # a healthy engine answers in milliseconds
REMOVE_S = 60.0  # a busy host needs some seconds for a container with a full volume
ELSEWHERE = "or run with --backend local, which needs no Docker"


def owner() -> str:
    """This process, as a label: boot, pid namespace, pid, and when it started (pids come round again)."""
    return owner_label(os.getpid())


def owner_label(pid: int) -> str:
    """A process of this pid namespace, as a label; OSError when there is none."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # proc(5): the command may hold spaces and parentheses: fields count from the last ')'; starttime is field 22
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}/{pid}/{started}"


def is_dead(label: str) -> bool:
    """Whether the owner of that label has ended. Who cannot be looked up (another pid namespace) counts as alive."""
    try:
        boot, namespace, pid, _ = label.split("/")
        number = int(pid)
    except ValueError:
        return False
    here = owner().split("/")
    if boot != here[0]:
        return True
    if namespace != here[1]:
        return False
    try:
        return owner_label(number) != label
    except OSError:
        return True


def connect() -> docker.DockerClient:
    """A client of the engine on this machine. HostError with cause and next step within seconds."""
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not where.startswith("unix://"):
        raise HostError(
            f"DOCKER_HOST is {where}: an engine on another machine cannot be measured from here; "
            f"unset it to use this machine's, {ELSEWHERE}"
        )
    _ping(where.removeprefix("unix://"))
    with told_plainly("connecting to Docker"):
        return docker.from_env(timeout=ANSWER_S)


def _ping(path: str) -> None:
    """The engine's own health check, over a plain socket: docker's client would wrap the cause four times."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_S)
            line.connect(path)
            line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            if line.recv(1):
                return
    except PermissionError as error:
        raise HostError(
            f"the Docker engine at {path} refuses this user: add it to the group docker "
            f"(sudo usermod -aG docker $USER, then log in again), {ELSEWHERE}"
        ) from error
    except TimeoutError as error:
        raise HostError(
            f"the Docker engine at {path} did not answer within {ANSWER_S} s: restart it, {ELSEWHERE}"
        ) from error
    except OSError:  # no such file, nobody behind it
        pass
    raise HostError(
        f"no Docker engine answers at {path}: start one (sudo systemctl start docker; "
        f"as root without systemd: deploy/docker/engine.sh start), {ELSEWHERE}"
    )


@contextmanager
def told_plainly(doing: str) -> Iterator[None]:
    """What the engine refuses becomes one sentence of a HostError."""
    try:
        yield
    except (DockerException, OSError) as error:
        explanation = getattr(error, "explanation", None) or str(error)
        raise HostError(refusal(doing, str(explanation))) from error


def refusal(doing: str, text: str) -> str:
    """Why the engine did not do it, from what it (or compose) said, with the next step."""
    taken = re.search(r"127\.0\.0\.1:\d+", text) if re.search(r"already (in use|allocated)", text) else None
    if taken:
        return f"{doing}: the port {taken[0]} is taken by another program; end that one, or run again for a free port"
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return f"{doing}: Docker says: {lines[-1] if lines else 'nothing'}"


def containers(client: docker.DockerClient, cluster: str) -> dict[str, list[Any]]:
    """Role -> its containers, in the order of their names."""
    found: dict[str, list[Any]] = {}
    listed = client.containers.list(all=True, filters={"label": f"{CLUSTER}={cluster}"})
    for container in sorted(listed, key=lambda one: str(one.name)):
        found.setdefault(container.labels.get(ROLE, ""), []).append(container)
    return found


def remove(client: docker.DockerClient, cluster: str, *, within_s: float = REMOVE_S) -> None:
    """Remove every container, network and volume of a cluster, and see that none is left; HostError otherwise."""
    deadline = time.monotonic() + within_s
    wanted = {"label": f"{CLUSTER}={cluster}"}
    while True:
        refused = ""
        things = [
            *client.containers.list(all=True, filters=wanted, ignore_removed=True),
            *client.networks.list(filters=wanted),
            *client.volumes.list(filters=wanted),
        ]
        if not things:
            return
        for thing in things:
            try:
                if hasattr(thing, "logs"):  # a container; its anonymous volumes go with it
                    thing.remove(force=True, v=True)
                else:
                    thing.remove()
            except NotFound:
                continue
            except APIError as error:  # such as "removal already in progress", "network has active endpoints"
                refused = str(error.explanation)
        if time.monotonic() > deadline:
            names = ", ".join(str(thing.name) for thing in things)
            raise HostError(f"{names} could not be removed within {within_s:.0f} s ({refused}): docker rm -f them")
        time.sleep(0.1)


def remove_leftovers(client: docker.DockerClient) -> list[str]:
    """Remove the clusters whose owner has ended (kill -9, a crash of the host); returns their names."""
    things = [
        *client.containers.list(all=True, filters={"label": CLUSTER}, ignore_removed=True),
        *client.networks.list(filters={"label": CLUSTER}),
        *client.volumes.list(filters={"label": CLUSTER}),
    ]
    orphans = {labels_of(thing)[CLUSTER] for thing in things if is_dead(owner_of(thing))}
    for cluster in sorted(orphans):
        remove(client, cluster)
    return sorted(orphans)


def owner_of(thing: Any) -> str:
    """The owner's label of a container, network or volume; "" without one."""
    return labels_of(thing).get(OWNER, "")


def labels_of(thing: Any) -> Mapping[str, str]:
    """The labels of a container, network or volume."""
    return dict(thing.labels if hasattr(thing, "logs") else thing.attrs.get("Labels") or {})
