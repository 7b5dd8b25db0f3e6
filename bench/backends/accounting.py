"""What was used: CPU and memory by a tree of processes (/proc) or a container (cgroup), disk by a topic."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.backends import Account, PythonUse

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGESIZE")
WORKER = b"beam_boot"  # what Flink starts for Python functions, one process for each slot that has some
EMBEDDED = b"pemja"  # the library that has Python inside of a TaskManager
KINDS = ("log", "index", "timeindex")  # of the files that a segment has


class Stat(NamedTuple):
    """A line of /proc: times in ticks."""

    parent: int
    own: int  # user and system
    reaped: int  # of children whose end it has seen, and theirs
    started: int  # since boot: with the number it tells a process from a later one
    resident_pages: int


Process = tuple[int, int]
"""Number and start."""


@dataclass
class _Past:
    """What a process brought with it, and what its children were last seen with, in ticks."""

    reaped: int
    children: dict[Process, int] = field(default_factory=dict)


class Ledger:
    """What trees of processes have used, those included that have ended since.

    A process that was killed takes its counters with it, unless its parent waits for it: Flink's Python workers, whose
    own parent is killed first, vanish with all they used. What each was last seen with stays in the sum; what it used
    after that is lost: at most a sampling interval of it.
    """

    def __init__(self) -> None:
        self._cpu_s: dict[Process, float] = {}  # root -> the most it was ever seen with
        self._past: dict[Process, _Past] = {}

    def account(self, roots: Iterable[int]) -> Account:
        """CPU so far, and memory now, of `roots` with all their descendants."""
        stats, resident = _all_stats(), 0
        children = _children(stats)
        for root in {*roots} & stats.keys():
            process = (root, stats[root].started)
            used_s = self._ticks(stats, children, root) * TICK_S
            self._cpu_s[process] = max(used_s, self._cpu_s.get(process, 0.0))
            resident += sum(stats[pid].resident_pages for pid in (root, *_below(children, root))) * PAGE_BYTES
        return Account(sum(self._cpu_s.values()), resident)

    def _ticks(self, stats: Mapping[int, Stat], children: Mapping[int, Sequence[int]], pid: int) -> int:
        """Of a process and all that ever was below it.

        A child that is gone is in what its parent has reaped, or will be in a moment, or never: the larger of the two
        sums counts, never both.
        """
        stat = stats[pid]
        past = self._past.setdefault((pid, stat.started), _Past(stat.reaped))
        there = {(child, stats[child].started): self._ticks(stats, children, child) for child in children.get(pid, ())}
        past.children |= there
        gone = sum(ticks for child, ticks in past.children.items() if child not in there)
        return stat.own + sum(there.values()) + past.reaped + max(stat.reaped - past.reaped, gone)


def _all_stats() -> dict[int, Stat]:
    """Every process of this machine, by its number."""
    found: dict[int, Stat] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 -- once a second for hundreds of processes
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123 -- as above
                # the command may hold spaces and parentheses: fields count from the last ')'
                told = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended while we looked
        # proc(5): state is field 3, so field k is at k - 3: ppid 4, utime..cstime 14-17, starttime 22, rss 24
        parent, user, system, waited_user, waited_system, started, resident = (
            int(told[k - 3]) for k in (4, 14, 15, 16, 17, 22, 24)
        )
        found[int(name)] = Stat(parent, user + system, waited_user + waited_system, started, resident)
    return found


def python_use(task_managers: Iterable[int]) -> PythonUse | None:
    """What runs below these processes, and what they have loaded; None when one may not be looked at."""
    children, workers, embedded = _children(_all_stats()), 0, False
    for root in task_managers:
        try:
            embedded |= EMBEDDED in Path(f"/proc/{root}/maps").read_bytes()
        except OSError:
            return None
        for pid in _below(children, root):
            try:
                workers += WORKER in Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue  # it ended while we looked
    return PythonUse(workers, embedded)


def _children(stats: Mapping[int, Stat]) -> Mapping[int, Sequence[int]]:
    """Process -> those that it started, and that are still there."""
    found: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        found.setdefault(stat.parent, []).append(pid)
    return found


def _below(children: Mapping[int, Sequence[int]], root: int) -> Iterator[int]:
    """All descendants of a process."""
    for child in children.get(root, ()):
        yield child
        yield from _below(children, child)


def held(pids: Iterable[int]) -> dict[str, int]:
    """What these processes hold now: "open_files" and "memory_maps"; one that may not be looked at leaves both out."""
    total = {"open_files": 0, "memory_maps": 0}
    for pid in pids:
        try:
            total["open_files"] += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 -- thousands of entries
            total["memory_maps"] += Path(f"/proc/{pid}/maps").read_bytes().count(b"\n")
        except OSError:
            return {}
    return total


@dataclass(frozen=True)
class Cgroup:
    """A control group, as files: it counts every process that was ever in it, whoever reaped them."""

    cpu: Path  # cpuacct.usage (v1, ns) or cpu.stat (v2, usage_usec)
    memory: Path  # memory.stat

    @classmethod
    def of(cls, pid: int, *, proc: Path = Path("/proc")) -> Cgroup:
        """The cgroup of a process of this host; OSError when the process or the hierarchy cannot be seen from here."""
        mounts = cgroup_mounts((proc / "self" / "mountinfo").read_text())
        paths: dict[str, str] = {}
        for line in (proc / str(pid) / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths |= dict.fromkeys(controllers.split(","), path.lstrip("/"))  # v2 is the one without a name
        try:
            if "cpuacct" in paths and "memory" in paths:
                cpu = mounts["cpuacct"] / paths["cpuacct"] / "cpuacct.usage"
                return cls(cpu, mounts["memory"] / paths["memory"] / "memory.stat")
            folder = mounts[""] / paths[""]
        except KeyError as missing:
            raise OSError(f"no cgroup hierarchy of {missing} is mounted here") from missing
        return cls(folder / "cpu.stat", folder / "memory.stat")

    def account(self) -> Account:
        """What it used; OSError once it is gone.

        Memory is what /proc calls resident (anonymous and mapped pages), so that it compares with a tree's; the page
        cache, which a cgroup counts too, is left out.
        """
        told = self.cpu.read_text().split()
        cpu_s = int(told[0]) / 1e9 if len(told) == 1 else int(told[told.index("usage_usec") + 1]) / 1e6
        memory = dict(line.split() for line in self.memory.read_text().splitlines())
        names = ("total_rss", "total_mapped_file") if "total_rss" in memory else ("anon", "file_mapped")
        return Account(cpu_s, sum(int(memory[name]) for name in names))


def cgroup_mounts(mountinfo: str) -> dict[str, Path]:
    """Controller -> where its hierarchy is mounted; "" is v2's."""
    found: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        # proc(5): fields before " - ": the mount point is the fifth; after it: type, source, options
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        place = Path(before.split()[4])
        if kind == "cgroup2":
            found.setdefault("", place)
        elif kind == "cgroup":
            found |= dict.fromkeys(options.split(","), place)
    return found


class FileUse(NamedTuple):
    """A file in a partition's folder, or (no name) the folder itself."""

    folder: str
    name: str
    size_bytes: int
    blocks: int  # st_blocks: 512-byte units whatever the file system


def topic_bytes(files: Iterable[FileUse], topic: str) -> dict[str, int]:
    """Bytes of one topic in `files`, all replicas: apparent (length), allocated (blocks), and both by kind of file.

    "leaving": folders of partitions that were deleted and are still there.
    """
    kinds = (*KINDS, *(f"{kind}_allocated" for kind in KINDS))
    total = dict.fromkeys(("apparent", "allocated", *kinds, "segments", "partitions", "leaving"), 0)
    for file in files:
        number, _, rest = file.folder.removeprefix(f"{topic}-").partition(".")
        if not number.isdigit() or rest:
            # another topic whose name begins alike, or a partition on its way out: topic-0.UUID-delete
            total["leaving"] += number.isdigit() and rest.endswith("-delete") and not file.name
            continue
        if not file.name:
            total["partitions"] += 1
            continue
        total["apparent"] += file.size_bytes
        total["allocated"] += file.blocks * 512
        kind = file.name.rpartition(".")[2]
        if kind in KINDS:
            total[kind] += file.size_bytes
            total[f"{kind}_allocated"] += file.blocks * 512
        total["segments"] += kind == "log"
    return total
