"""The consuming engine: n groups of m members, each a process, reading a topic in batches."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench import keyring
from bench.analysis.crossing import rack_of
from bench.analysis.histogram import LogLinearHistogram
from bench.errors import BrokerError, HostError
from bench.loadgen.drive import Process, Spawn, spawn_process
from bench.loadgen.wire import WireByNode, wire_from_json

ASSIGNED_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
GRID_S = 0.25
LAST_BYTES = 1 << 21  # more than the row of a hundred thousand partitions


@dataclass(frozen=True)
class MemberRead:
    """What one member read: the offset it reached in each partition (0: none), and bytes on the wire by broker.

    `flat_out_eps`: records a second from its first batch to its last, by its own clock; NaN of fewer than two batches.
    """

    next_offset: tuple[int, ...]
    wire: WireByNode
    flat_out_eps: float = math.nan


@dataclass(frozen=True)
class Read:
    """What one group read.

    `series`: a row every quarter of a second (index: s since the epoch) of totals so far over all members: records,
    value_bytes, rx_bytes (wire), cpu_s, and position, the events between the log's start and the read position; and of
    rss_bytes as it was. `census`: how often each sequence number was read, if that was asked for.
    """

    group: str
    members: int
    records: int
    value_bytes: int
    position: int  # where it stopped, summed over partitions: what it never reached lies behind
    series: pd.DataFrame
    rebalances_s: tuple[float, ...]  # when a member was given partitions, s since the epoch
    errors: Mapping[str, int]
    unstamped: int  # sampled records without readable stamps
    cpu_s: float
    rss_peak_bytes: int
    failures: tuple[str, ...]
    latency_by_due_s: Mapping[int, LogLinearHistogram]  # ms from due to read of a sample, by second due
    census: npt.NDArray[np.uint8] | None = None
    by_member: tuple[MemberRead, ...] = ()  # in their order; of one that died what it could still tell
    joined_s: tuple[float, ...] = ()  # when members that came later asked to join, s since the epoch
    left_s: tuple[float, ...] = ()  # and when members left that were told to

    def rebalance_s(self, began_s: Sequence[float]) -> float:
        """From such a request to the last partition that a member was given before the next; the longest, NaN if none.

        A group whose members were given nothing after one of them has not been rebalanced: no number either.
        """
        steps = sorted([*self.joined_s, *self.left_s])
        found = []
        for at in began_s:
            until = next((step for step in steps if step > at), np.inf)
            given = [moment for moment in self.rebalances_s if at < moment < until]
            found.append(max(given) - at if given else np.nan)
        return float(np.max(found)) if found else float("nan")

    def latency_ms(self, start_ns: int, end_ns: int) -> LogLinearHistogram:
        """Due -> read of the sampled records that were due in whole seconds within [start, end)."""
        merged = LogLinearHistogram("ms")
        for second, histogram in self.latency_by_due_s.items():
            if start_ns <= second * 1_000_000_000 and (second + 1) * 1_000_000_000 <= end_ns:
                merged.merge(histogram)
        return merged


@dataclass(frozen=True)
class _Member:
    group: str
    process: Process
    stem: Path

    def rows(self) -> list[dict[str, Any]]:
        path = self.stem.with_suffix(".rows.jsonl")
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.split("\n") if line]

    @property
    def result(self) -> dict[str, Any] | None:
        path = self.stem.with_suffix(".result.json")
        return dict(json.loads(path.read_text())) if path.exists() else None

    def last_row(self) -> dict[str, Any] | None:
        """The newest whole row, without reading the file again from its start."""
        path = self.stem.with_suffix(".rows.jsonl")
        if not path.exists():
            return None
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LAST_BYTES))
            *lines, _ = file.read().split(b"\n")
        return dict(json.loads(lines[-1])) if lines else None

    @property
    def census(self) -> npt.NDArray[np.uint8] | None:
        path = self.stem.with_suffix(".census.npy")
        return np.load(path) if path.exists() else None

    def log_tail(self) -> str:
        log = self.stem.with_suffix(".log")
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1] if lines else "no output"


class Consuming:
    """Running consumer groups: `begin`, `wait_for` a count, then `stop`."""

    def __init__(self, members: list[_Member], folder: Path, start: Callable[[str, int], _Member]) -> None:
        self._members, self._folder, self._start = members, folder, start
        self._first, self._leavers = len(members), list[_Member]()

    @property
    def pids(self) -> list[int]:
        return [m.process.pid for m in self._members]

    def join(self) -> None:
        """A member more for the first group."""
        group = self._members[0].group
        self._members.append(self._start(group, sum(m.group == group for m in self._members)))

    def leave(self) -> None:
        """The first group's newest member commits, leaves and ends."""
        staying = [m for m in self._members if m.group == self._members[0].group and m not in self._leavers]
        self._leavers.append(staying[-1])
        staying[-1].stem.with_suffix(".stop").touch()

    def sizes(self) -> list[int]:
        """How many partitions each member owns, as it said last; 0 of one that has said nothing yet."""
        return [int((m.last_row() or {"assigned": 0})["assigned"]) for m in self._members]

    def positions(self) -> dict[str, int]:
        """Group -> events between the log's start and its read position (at most about a second old)."""
        reached: dict[str, list[list[int]]] = {m.group: [] for m in self._members}
        for m in self._members:
            if (row := m.last_row()) is not None:
                reached[m.group].append(row["next_offset"])
        return {group: int(np.max(ends, axis=0).sum()) if ends else 0 for group, ends in reached.items()}

    def dead(self) -> list[str]:
        """Members whose process has ended, with the last line each said."""
        return [
            f"consumer {m.stem.name.removeprefix('group-')} died (exit {m.process.poll()}): {m.log_tail()}"
            for m in self._members
            if m.process.poll() is not None and (m not in self._leavers or m.result is None)
        ]

    def begin(self, partitions: int, timeout_s: float = ASSIGNED_TIMEOUT_S) -> None:
        """Let all read, once each group owns every partition: a rebalance in mid-read reads some records twice.

        BrokerError when the groups do not form in time.
        """
        end = time.monotonic() + timeout_s
        while True:
            owned: dict[str, float] = {}
            for m in self._members:
                row = m.last_row()
                owned[m.group] = owned.get(m.group, 0) + (row["assigned"] if row else 0)
            if all(n >= partitions for n in owned.values()):
                (self._folder / "begin").touch()
                return
            if time.monotonic() > end:
                raise BrokerError(f"consumer groups own {owned} of {partitions} partitions after {timeout_s:g} s")
            if dead := self.dead():
                raise HostError("; ".join(dead))
            time.sleep(0.1)

    def wait_for(self, events: int, timeout_s: float) -> bool:
        """Until every group has read so far; False when the time is up or a member has died."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and not self.dead():
            if all(n >= events for n in self.positions().values()):
                return True
            time.sleep(0.1)
        return False

    def kill(self) -> None:
        """End all members at once; what they read is lost."""
        for m in self._members:
            if m.process.poll() is None:
                m.process.kill()

    def stop(self) -> list[Read]:
        """End all members; what each group has read, in the order given."""
        ended_s = time.time()
        (self._folder / "stop").touch()
        end = time.monotonic() + STOP_TIMEOUT_S
        while any(m.process.poll() is None for m in self._members) and time.monotonic() < end:
            time.sleep(0.05)
        groups = list(dict.fromkeys(m.group for m in self._members))
        late, left = self._members[self._first :], self._leavers
        return [_read(group, [m for m in self._members if m.group == group], late, left, ended_s) for group in groups]


def start_consumers(
    groups: Sequence[Mapping[str, Any]], *, bootstrap: str, topic: str, partitions: int, run_dir: Path,
    fmt: str = "json", every: int = 64, committed: bool = True, client: Mapping[str, Any] | None = None,
    spawn: Spawn = spawn_process, census: int | None = None,
) -> Consuming:  # fmt: skip
    """Start `[{group, members, …}, ...]` on `topic`, from its beginning; they hold still until `begin`.

    A group is what a scenario says of it: a member that fetches from followers tells its rack to the brokers.

    `fmt`: the workload's format, or "rows" for a job's output: JSON with a `due_ns`. `census`: count how often each
    sequence number below it is read. `every`: the latency of one event in so many is kept. `client`: further librdkafka
    settings.
    """
    folder = run_dir / "consumers"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    protocols = {str(group["group"]): str(group.get("protocol") or "classic") for group in groups}

    spawn = keyring.entrusted(spawn, bootstrap)
    racks = {str(group["group"]): group["racks"] for group in groups if group.get("fetch_from_follower")}

    def start(name: str, k: int) -> _Member:
        stem = folder / f"group-{name}-{k}"
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-{name}",
            "group.protocol": protocols[name],
            "client.id": f"{name}-{k}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "queued.max.messages.kbytes": 65_536,
            "queued.min.messages": 200_000,
            # a partition whose queue is full would otherwise not be fetched from for a second: 0.3 M/s, not 2.4
            "fetch.queue.backoff.ms": 10,
            "fetch.message.max.bytes": 4_194_304,
            "statistics.interval.ms": 1000,
            "log_level": 3,
            **({"client.rack": rack_of(racks[name], k)} if name in racks else {}),
            **dict(client or {}),
        }
        body = {
            "client": {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in settings.items()},
            "topic": topic, "partitions": partitions, "format": fmt, "every": every, "census": census,
        }  # fmt: skip
        stem.with_suffix(".json").write_text(json.dumps(body))
        argv = [sys.executable, "-m", "bench.loadgen.reader", str(stem.with_suffix(".json"))]
        return _Member(name, spawn(argv, stem.with_suffix(".log")), stem)

    sizes = {str(group["group"]): int(group.get("members") or 1) for group in groups}
    members = [start(name, k) for name, size in sizes.items() for k in range(size)]
    return Consuming(members, folder, start)


def _read(group: str, members: list[_Member], late: Sequence[_Member], left: Sequence[_Member], ended_s: float) -> Read:
    failures: list[str] = []
    latency: dict[int, LogLinearHistogram] = {}
    errors: dict[str, int] = {}
    results = []
    for k, m in enumerate(members):
        if m.process.poll() is None:
            m.process.kill()
            failures.append(f"consumer {group}/{k} did not end and was killed")
        elif m.result is None:
            failures.append(f"consumer {group}/{k} died (exit {m.process.poll()}): {m.log_tail()}")
        results.append(m.result or {})
    for result in results:
        for name, n in result.get("errors", {}).items():
            errors[name] = errors.get(name, 0) + n
        for second, (buckets, counts, exact) in result.get("latency", {}).items():
            part = LogLinearHistogram.from_arrays(buckets, counts, exact, "ms")
            latency.setdefault(int(second), LogLinearHistogram("ms")).merge(part)
    rows = [m.rows() for m in members]
    last = [r or (w[-1] if w else {}) for r, w in zip(results, rows, strict=True)]
    reached = [end["next_offset"] for end in last if "next_offset" in end]
    counts = [found for m in members if (found := m.census) is not None]
    return Read(
        group=group, members=len(members),
        records=int(sum(end.get("records", 0) for end in last)),
        value_bytes=int(sum(end.get("value_bytes", 0) for end in last)),
        position=int(np.max(reached, axis=0).sum()) if reached else 0,
        series=_series(rows),
        rebalances_s=tuple(sorted(t for r in results for t in r.get("rebalances_s", []) if t < ended_s)),
        joined_s=_times("asked_s", members, late), left_s=_times("left_s", members, left), errors=errors,
        unstamped=sum(r.get("unstamped", 0) for r in results),
        cpu_s=float(sum(end.get("cpu_s", 0.0) for end in last)),
        rss_peak_bytes=sum(r.get("rss_peak_bytes", 0) for r in results), failures=tuple(failures),
        latency_by_due_s=latency, census=np.sum(counts, axis=0, dtype=np.uint8) if counts else None,
        by_member=tuple(
            MemberRead(tuple(end.get("next_offset", ())), wire_from_json(end.get("wire", {})), flat_out_eps(end))
            for end in last
        ),
    )  # fmt: skip


def flat_out_eps(result: Mapping[str, Any]) -> float:
    """Of a member's result. The first batch ends the waiting and is left out; rows come four times a second, too seldom
    for a topic that is read in one.
    """
    seconds = (result.get("last_ns", 0) - result.get("first_ns", 0)) / 1e9
    return (result["records"] - result["first_records"]) / seconds if seconds > 0 else math.nan


def _times(name: str, members: Sequence[_Member], some: Sequence[_Member]) -> tuple[float, ...]:
    """When these members did something, by their own clocks; one that died does not say."""
    found = (m.result for m in members if m in some)
    return tuple(float(result[name]) for result in found if result is not None)


def _series(rows: list[list[dict[str, Any]]]) -> pd.DataFrame:
    """Members' totals, interpolated at equal moments and added up; of a partition, the member that is furthest."""
    known = [r for r in rows if r]
    if not known:
        return pd.DataFrame(columns=["records", "value_bytes", "rx_bytes", "cpu_s", "rss_bytes", "position"])
    first, last = min(r[0]["at_s"] for r in known), max(r[-1]["at_s"] for r in known)
    grid = np.arange(np.floor(first), last + GRID_S, GRID_S)
    at = [np.array([x["at_s"] for x in r]) for r in known]

    def total(name: str) -> Any:
        return sum(np.interp(grid, t, [x[name] for x in r]) for t, r in zip(at, known, strict=True))

    data = {name: total(name) for name in ("records", "value_bytes", "rx_bytes", "cpu_s", "rss_bytes")}
    offsets = [np.array([x["next_offset"] for x in r], dtype=np.float64) for r in known]
    reached = [
        np.max([np.interp(grid, t, o[:, p]) for t, o in zip(at, offsets, strict=True)], axis=0)
        for p in range(offsets[0].shape[1])
    ]
    return pd.DataFrame(data | {"position": np.sum(reached, axis=0)}, index=pd.Index(grid, name="at_s"))
