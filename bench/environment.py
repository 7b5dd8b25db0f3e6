"""On what a run ran: recorded with each, and compared before two results are."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("apache-flink", "confluent-kafka", "locust", "numpy", "pandas")
# What must agree before two results may be compared: the rest is context
COMPARED = ("cpu_model", "cores", "memory_gib", "java", "kafka", "flink", "librdkafka", "backend")


@cache
def _cpu_model() -> str:
    import cpuinfo

    return str(cpuinfo.get_cpu_info().get("brand_raw", platform.machine()))


def _cgroup_limit(name: str) -> str:
    """A limit of our own cgroup (v2), "" where none is visible."""
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
        return (Path("/sys/fs/cgroup") / own.lstrip("/") / name).read_text().strip()
    except OSError:
        return ""


def _git_revision() -> str:
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return done.stdout.strip()


@cache
def _still() -> Mapping[str, Any]:
    import confluent_kafka

    return {
        "cpu_model": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "cgroup_cpu_max": _cgroup_limit("cpu.max"),
        "cgroup_memory_max": _cgroup_limit("memory.max"),
        "git": _git_revision(),
    }


def host_class() -> str:
    """Machines of one class may share results: "2 cores, 23.5 GiB, <CPU model>"."""
    still = _still()
    return f"{still['cores']} cores, {still['memory_gib']:.0f} GiB, {still['cpu_model']}"


def describe(backend: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """The environment of a run that begins now."""
    return {
        **_still(),
        "backend": backend,
        **{name: versions[name] for name in ("java", "kafka", "flink") if name in versions},
        "swap_used_bytes": psutil.swap_memory().used,
        "load_average_1m": os.getloadavg()[0],
        "disk_free_bytes": psutil.disk_usage(str(Path.cwd())).free,
        "clock": clock_offset_ns(),
    }


def clock_offset_ns() -> int:
    """Realtime minus monotonic: its change over a run is a clock step (method: > 1 ms invalidates a latency)."""
    return time.time_ns() - time.monotonic_ns()
