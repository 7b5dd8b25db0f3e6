"""Whether this host can hold what a trial's partitions take, and which of its limits stopped a broker that died."""

from __future__ import annotations

import re
import resource
from pathlib import Path

MAX_MAPS = Path("/proc/sys/vm/max_map_count")
# The least that one broker takes, with one segment for each replica of a partition: an open log, two mapped indexes,
# and what the heap keeps. As measured: broker_open_files, broker_memory_maps and broker_live_heap_bytes of
# Kafka 4.3 on Java 21 at 6 and at 384 partitions; the heap's base is mostly the log cleaner's buffer of 128 MiB.
FILES, FILES_EACH = 150, 1
MAPS, MAPS_EACH = 420, 2
HEAP_BYTES, HEAP_BYTES_EACH = 180 << 20, 30_000


def why_not(
    replicas: int, brokers: int, heap_mb: int, *, max_files: int | None = None, max_maps: int | None = None
) -> str:
    """Why brokers on this host cannot hold so many replicas of partitions, "" if they can.

    `max_files`, `max_maps`: the limits, as this host has them by default; 0 is none.
    """
    each = -(-replicas // brokers)
    files = _max_files() if max_files is None else max_files
    maps = _max_maps() if max_maps is None else max_maps
    limits = (
        ("open files (ulimit -n)", files, FILES + FILES_EACH * each),
        ("memory maps (sysctl vm.max_map_count)", maps, MAPS + MAPS_EACH * each),
        ("bytes of heap (cluster.broker_heap_mb)", heap_mb << 20, HEAP_BYTES + HEAP_BYTES_EACH * each),
    )
    short = [f"{needs:,} {what}, {has:,} are allowed" for what, has, needs in limits if has and needs > has]
    if not short:
        return ""
    return f"not testable here: {each:,} replicas of partitions on a broker take at least {'; '.join(short)}"


_LIMITS = (
    (r"Too many open files", "the limit on open files (ulimit -n {files})"),
    (r"Map failed|mmap failed", "the limit on memory maps (sysctl vm.max_map_count = {maps})"),
    (r"Java heap space|GC overhead limit", "the broker's heap (cluster.broker_heap_mb)"),
    (r"No space left on device", "the disk"),
)


def blamed(said: str) -> str:
    """The host's limit that a dead broker's last words are about, as a sentence; "" if they are about none."""
    limits = {"files": _max_files() or "unlimited", "maps": _max_maps() or "unknown"}
    for pattern, limit in _LIMITS:
        if re.search(pattern, said):
            return f"what stopped it is a limit of this host: {limit.format(**limits)}"
    return ""


def _max_files() -> int:
    """What a JVM raises its own limit to, 0 for no limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 0 if hard == resource.RLIM_INFINITY else hard


def _max_maps() -> int:
    try:
        return int(MAX_MAPS.read_text())
    except (OSError, ValueError):
        return 0
