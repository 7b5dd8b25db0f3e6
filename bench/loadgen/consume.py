"""The consuming engine: n groups of m members, each a process, reading a topic in batches."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.histogram import LogLinearHistogram
from bench.errors import BrokerError
from bench.loadgen.drive import Process, Spawn, spawn_process

ASSIGNED_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Read:
    """What one group read. `seconds`: a row a second of differences over all members (index: s since the epoch)."""

    group: str
    members: int
    records: int
    value_bytes: int
    seconds: pd.DataFrame  # records, value_bytes, cpu_s; rss_bytes at its end
    rebalances_s: tuple[float, ...]  # when a member was given partitions, s since the epoch
    errors: Mapping[str, int]
    unstamped: int  # sampled records without readable stamps
    cpu_s: float
    rss_peak_bytes: int
    failures: tuple[str, ...]
    latency_by_due_s: Mapping[int, LogLinearHistogram]  # ms from due to read of a 1-in-64 sample, by second due

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

    def rows(self) -> list[dict[str, float]]:
        path = self.stem.with_suffix(".rows.jsonl")
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.split("\n") if line]

    @property
    def result(self) -> dict[str, Any] | None:
        path = self.stem.with_suffix(".result.json")
        return dict(json.loads(path.read_text())) if path.exists() else None


class Consuming:
    """Running consumer groups: `begin`, `wait_for` a count, then `stop`."""

    def __init__(self, members: list[_Member], folder: Path) -> None:
        self._members, self._folder = members, folder

    @property
    def pids(self) -> list[int]:
        return [m.process.pid for m in self._members]

    def records(self) -> dict[str, int]:
        """Group -> records read so far (at most about a second old)."""
        total = {m.group: 0 for m in self._members}
        for m in self._members:
            total[m.group] += int(rows[-1]["records"]) if (rows := m.rows()) else 0
        return total

    def begin(self, partitions: int, timeout_s: float = ASSIGNED_TIMEOUT_S) -> None:
        """Let all read, once each group owns every partition: a rebalance in mid-read reads some records twice.

        BrokerError when the groups do not form in time.
        """
        end = time.monotonic() + timeout_s
        while True:
            owned: dict[str, float] = {}
            for m in self._members:
                rows = m.rows()
                owned[m.group] = owned.get(m.group, 0) + (rows[-1]["assigned"] if rows else 0)
            if all(n >= partitions for n in owned.values()):
                (self._folder / "begin").touch()
                return
            if time.monotonic() > end:
                raise BrokerError(f"consumer groups own {owned} of {partitions} partitions after {timeout_s:g} s")
            time.sleep(0.1)

    def wait_for(self, records: int, timeout_s: float) -> bool:
        """Until every group has read so many records; False when the time is up or a member has died."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and all(m.process.poll() is None for m in self._members):
            if all(n >= records for n in self.records().values()):
                return True
            time.sleep(0.1)
        return False

    def stop(self) -> list[Read]:
        """End all members; what each group has read, in the order given."""
        (self._folder / "stop").touch()
        end = time.monotonic() + STOP_TIMEOUT_S
        while any(m.process.poll() is None for m in self._members) and time.monotonic() < end:
            time.sleep(0.05)
        groups = list(dict.fromkeys(m.group for m in self._members))
        return [_read(group, [m for m in self._members if m.group == group]) for group in groups]


def start_consumers(
    groups: Sequence[Mapping[str, Any]], *, bootstrap: str, topic: str, run_dir: Path, fmt: str = "json",
    committed: bool = True, client: Mapping[str, Any] | None = None, spawn: Spawn = spawn_process,
) -> Consuming:  # fmt: skip
    """Start `[{group, members}, ...]` on `topic`, from its beginning; they hold still until `begin`.

    `client`: further librdkafka settings.
    """
    folder = run_dir / "consumers"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    members = []
    for group in groups:
        for k in range(int(group.get("members") or 1)):
            name = str(group["group"])
            stem = folder / f"group-{name}-{k}"
            settings = {
                "bootstrap.servers": bootstrap,
                "group.id": f"{topic}-{name}",
                "client.id": f"{name}-{k}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": True,
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "queued.max.messages.kbytes": 65_536,
                "fetch.message.max.bytes": 4_194_304,
                "log_level": 3,
                **dict(client or {}),
            }
            body = {"client": settings, "topic": topic, "format": fmt}
            stem.with_suffix(".json").write_text(json.dumps(body))
            argv = [sys.executable, "-m", "bench.loadgen.reader", str(stem.with_suffix(".json"))]
            members.append(_Member(name, spawn(argv, stem.with_suffix(".log")), stem))
    return Consuming(members, folder)


def _read(group: str, members: list[_Member]) -> Read:
    failures: list[str] = []
    latency: dict[int, LogLinearHistogram] = {}
    errors: dict[str, int] = {}
    results = []
    for k, m in enumerate(members):
        if m.process.poll() is None:
            m.process.kill()
            failures.append(f"consumer {group}/{k} did not end and was killed")
        elif m.result is None:
            failures.append(f"consumer {group}/{k} died (exit {m.process.poll()})")
        results.append(m.result or {})
    for result in results:
        for name, n in result.get("errors", {}).items():
            errors[name] = errors.get(name, 0) + n
        for second, (buckets, counts, exact) in result.get("latency", {}).items():
            part = LogLinearHistogram.from_arrays(buckets, counts, exact, "ms")
            latency.setdefault(int(second), LogLinearHistogram("ms")).merge(part)
    rows = [m.rows() for m in members]
    return Read(
        group=group, members=len(members),
        records=sum(_last(r, w, "records") for r, w in zip(results, rows, strict=True)),
        value_bytes=sum(_last(r, w, "value_bytes") for r, w in zip(results, rows, strict=True)),
        seconds=_seconds(rows),
        rebalances_s=tuple(sorted(t for r in results for t in r.get("rebalances_s", []))), errors=errors,
        unstamped=sum(r.get("unstamped", 0) for r in results),
        cpu_s=float(sum(r.get("cpu_s", 0.0) for r in results)),
        rss_peak_bytes=sum(r.get("rss_peak_bytes", 0) for r in results), failures=tuple(failures),
        latency_by_due_s=latency,
    )  # fmt: skip


def _last(result: Mapping[str, Any], rows: list[dict[str, float]], name: str) -> int:
    return int(result[name] if name in result else rows[-1][name] if rows else 0)


def _seconds(rows: list[list[dict[str, float]]]) -> pd.DataFrame:
    """Members' totals, interpolated at whole seconds and added up."""
    known = [r for r in rows if r]
    if not known:
        return pd.DataFrame(columns=["records", "value_bytes", "cpu_s", "rss_bytes"])
    grid = np.arange(np.floor(min(r[0]["at_s"] for r in known)), np.ceil(max(r[-1]["at_s"] for r in known)) + 1)
    at = [np.array([x["at_s"] for x in r]) for r in known]

    def total(name: str) -> Any:
        return sum(np.interp(grid, t, [x[name] for x in r]) for t, r in zip(at, known, strict=True))

    data = {name: np.diff(total(name)) for name in ("records", "value_bytes", "cpu_s")}
    return pd.DataFrame(data | {"rss_bytes": total("rss_bytes")[1:]}, index=pd.Index(grid[1:], name="at_s"))
