"""What processes have used, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable

from bench.backends import Account

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def tree_account(roots: Iterable[int]) -> Account:
    """CPU and memory of `roots` with all their descendants (Flink's Python workers are grandchildren).

    CPU counts user and system time, and that of children already reaped, so that a worker's end loses nothing.
    """
    stats = _all_stats()
    frontier = {pid for pid in roots if pid in stats}
    ticks = resident = 0
    while frontier:
        for pid in frontier:
            ticks += stats[pid][1]
            resident += stats[pid][2]
        frontier = {pid for pid, stat in stats.items() if stat[0] in frontier}
    return Account(ticks * TICK_S, resident * PAGE_BYTES)


def _all_stats() -> dict[int, tuple[int, int, int]]:
    """Pid -> (parent, ticks of itself and of reaped children, resident pages)."""
    found: dict[int, tuple[int, int, int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 -- once a second for hundreds of processes
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123 -- as above
                # the command may hold spaces and parentheses: fields count from the last ')'
                field = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended while we looked
        # proc(5): state is field 3, so field k is at k - 3: ppid 4, utime..cstime 14-17, rss 24
        found[int(name)] = (int(field[1]), sum(int(x) for x in field[11:15]), int(field[21]))
    return found
