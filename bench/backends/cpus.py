"""What part of this machine's CPUs a process may use: cores of its own, and a quota of their time.

A quota is a control group's, as a container engine would make it (version 1 or 2), so that it takes whoever may make
one: root, mostly. Unlike a container's it can change while the process runs.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.backends.accounting import cgroup_mounts
from bench.errors import HostError

PERIOD_US = 100_000  # the kernel's default, and what container engines use
CORES = tuple(sorted(os.sched_getaffinity(0)))  # of this program when it began: later it may stay on some of them


@dataclass(frozen=True)
class Place:
    """Where a process is put before it begins: a control group's folder ("": ours), cores (none: ours)."""

    group: str = ""
    cores: tuple[int, ...] = ()


ANYWHERE = Place()


@dataclass(frozen=True)
class Group:
    """A control group of our own. Whoever made it sees to it that it is removed."""

    folder: Path
    modern: bool  # version 2

    def hold(self, cpus: float | None) -> None:
        """From now on its processes get no more than `cpus` cores' time together; None: as much as there is."""
        quota = None if cpus is None else round(cpus * PERIOD_US)
        if self.modern:
            (self.folder / "cpu.max").write_text(f"{'max' if quota is None else quota} {PERIOD_US}")
        else:
            (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.folder / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))

    def told(self) -> str:
        """The quota as the kernel has it: microseconds a period, and the period; no limit is "max" or -1."""
        names = ["cpu.max"] if self.modern else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        return " ".join((self.folder / name).read_text().strip() for name in names)


def make_group(name: str, *, proc: Path = Path("/proc")) -> Group:
    """A control group below our own (version 2: the nearest that gives CPU on); HostError with the reason."""
    wrong = "no control groups for CPU are mounted here"
    try:
        for parent, modern in _parents(proc):
            folder = parent / name
            try:
                folder.mkdir()
            except OSError as error:
                wrong = f"{folder}: {error.strerror}"
                continue
            group = Group(folder, modern)
            if (folder / ("cpu.max" if modern else "cpu.cfs_quota_us")).exists():
                try:
                    group.hold(None)
                except OSError as error:
                    wrong = f"{folder}: {error.strerror}"
                else:
                    return group
            else:
                wrong = f"{parent} does not give CPU on to groups below it"
            folder.rmdir()
    except OSError as error:
        wrong = str(error)
    raise HostError(f"no control group could be made: {wrong}")


def _parents(proc: Path) -> Iterator[tuple[Path, bool]]:
    """(folder, version 2) of the groups that may hold one of ours, the nearest first."""
    mounts = cgroup_mounts((proc / "self" / "mountinfo").read_text())
    for line in (proc / "self" / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") and "cpu" in mounts:
            # within a container the path is the host's, and the mount itself is our own group
            yield from dict.fromkeys([(mounts["cpu"] / path.lstrip("/"), False), (mounts["cpu"], False)])
        elif not controllers and "" in mounts:
            own = mounts[""] / path.lstrip("/")
            yield from ((each, True) for each in [own, *own.parents] if each.is_relative_to(mounts[""]))


@cache
def why_no_quota() -> str:
    """Why no quota can be had here, "" if one can: found out by making one."""
    try:
        group = make_group(f"streamgauge-try-{os.getpid()}")
    except HostError as error:
        return str(error)
    with suppress(OSError):
        group.folder.rmdir()
    return ""


def apart(count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(`count` cores for somebody alone, the others). HostError when that leaves none."""
    rest = len(CORES) - count
    if rest < 1:
        raise HostError(f"{count} cores of {len(CORES)} for TaskManagers alone leave none for the broker and all else")
    return CORES[rest:], CORES[:rest]


@contextmanager
def only_on(cores: Collection[int]) -> Iterator[None]:
    """This process with all its threads, and what it starts meanwhile, on these cores only; afterwards as before."""
    before = os.sched_getaffinity(0)
    _all_threads(cores)
    try:
        yield
    finally:
        _all_threads(before)


def _all_threads(cores: Collection[int]) -> None:
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 -- names only
        with suppress(ProcessLookupError):  # it ended while we looked
            os.sched_setaffinity(int(thread), cores)
