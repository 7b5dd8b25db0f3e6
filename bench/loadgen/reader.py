"""One member of a consumer group, in its own process. Start: `python -m bench.loadgen.reader FILE`.

Reads in batches, counts, knows how far it has read in each partition, and keeps the latency (due -> read) of one record
in so many. FILE is the settings as JSON (see `bench.loadgen.consume`); beside it appear `<stem>.rows.jsonl` and
`<stem>.result.json`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from bench import keyring
from bench.analysis.histogram import LogLinearHistogram
from bench.loadgen.librdkafka import gather, gather_bytes
from bench.loadgen.subscription import Fetched, Subscription
from bench.workloads.encoding import seq_bytes, seqs_of, stamps_of

BATCH = 10_000
POLL_MS = 100
LAST_STATS_S = 1.5
SECOND_NS = 1_000_000_000
ROW_NS = SECOND_NS // 4  # a drain of a million is over in a second


class Member:
    """Reads from when a file `begin` appears until `stop` or `<stem>.stop` does, or its parent is gone."""

    def __init__(self, path: Path) -> None:
        self._settings: dict[str, Any] = json.loads(path.read_text())
        self._folder, self._stem = path.parent, path.stem
        self._rows = (self._folder / f"{self._stem}.rows.jsonl").open("w")
        self._parent = os.getppid()
        self.records = self.value_bytes = 0
        self.unstamped = 0
        self._first_ns = self._first_records = self._last_ns = 0  # when a first batch came, its records; when the last
        size = self._settings.get("census")  # sequence numbers from 0 below it are counted, each by itself
        self._census = np.zeros(size, dtype=np.uint8) if size else None
        self._next_offset = np.zeros(int(self._settings["partitions"]), dtype=np.int64)
        self._latency: dict[int, LogLinearHistogram] = {}  # by the second in which the record was due
        self._process = psutil.Process()

    def run(self) -> None:
        """Read until told to stop; the result is written whatever happens."""
        client = {**self._settings["client"], **keyring.client(self._settings["client"]["bootstrap.servers"])}
        subscription = Subscription(client, self._settings["topic"], BATCH)
        next_ns, begun = time.time_ns(), False
        try:
            while not self._stopped():
                if not begun and (self._folder / "begin").exists():
                    begun = True
                    subscription.begin()
                self._count(subscription.fetch(POLL_MS if begun else 10))
                if time.time_ns() >= next_ns:
                    self._row(subscription)
                    next_ns += ROW_NS
            self._last_statistics(subscription)
        finally:
            self._row(subscription)
            self._write(subscription)
            subscription.close()

    def _last_statistics(self, subscription: Subscription) -> None:
        """One more document, so that the bytes are complete. What still comes is counted like the rest."""
        ended_s = time.time()
        while subscription.stats_s < ended_s and time.time() < ended_s + LAST_STATS_S:
            self._count(subscription.fetch(POLL_MS))

    def _count(self, fetched: Fetched) -> None:
        count = len(fetched.addresses)
        if not count:
            return
        now, first = time.time_ns(), -self.records % self._settings["every"]
        if not self.records:
            self._first_ns, self._first_records = now, count
        self._last_ns = now
        self.records += count
        self.value_bytes += int(fetched.value_bytes.sum())
        np.maximum.at(self._next_offset, fetched.partition, fetched.offset + 1)
        if self._census is not None:
            self._count_each(fetched, self._census)
        due = []
        for at in range(first, count, self._settings["every"]):
            try:
                due.append(self._due_ns(fetched.value(at)))
            except (ValueError, IndexError, KeyError, TypeError):
                self.unstamped += 1
        stamps = np.array(due, dtype=np.int64)
        for second in np.unique(stamps // SECOND_NS).tolist():
            mine = stamps[stamps // SECOND_NS == second]
            self._latency.setdefault(second, LogLinearHistogram("ms")).add((now - mine) / 1e6)

    def _due_ns(self, value: bytes) -> int:
        if self._settings["format"] == "rows":
            return int(json.loads(value)["due_ns"])
        return stamps_of(self._settings["format"], value)[1]

    def _count_each(self, fetched: Fetched, census: npt.NDArray[np.uint8]) -> None:
        offset, width = seq_bytes(self._settings["format"])
        whole = fetched.value_bytes >= offset + width
        seq = seqs_of(
            self._settings["format"], gather_bytes(gather(fetched.addresses[whole], "payload"), offset, width)
        )
        known = seq < len(census)
        self.unstamped += len(whole) - int(known.sum())
        np.add.at(census, seq[known], 1)

    def _row(self, subscription: Subscription) -> None:
        use = resource.getrusage(resource.RUSAGE_SELF)
        row = {
            "at_s": time.time(), "records": self.records, "value_bytes": self.value_bytes,
            "rx_bytes": subscription.rx_bytes, "next_offset": self._next_offset.tolist(),
            "assigned": len(subscription.assigned), "rebalances": len(subscription.rebalances_s),
            "cpu_s": use.ru_utime + use.ru_stime, "rss_bytes": self._process.memory_info().rss,
        }  # fmt: skip
        self._rows.write(json.dumps(row) + "\n")
        self._rows.flush()

    def _write(self, subscription: Subscription) -> None:
        use = resource.getrusage(resource.RUSAGE_SELF)
        latency = {}
        for second, histogram in self._latency.items():
            buckets, counts, exact = histogram.to_arrays()
            latency[second] = [buckets.tolist(), counts.tolist(), exact]
        result = {
            "records": self.records, "value_bytes": self.value_bytes, "next_offset": self._next_offset.tolist(),
            "unstamped": self.unstamped, "rebalances_s": subscription.rebalances_s, "errors": subscription.errors,
            "cpu_s": use.ru_utime + use.ru_stime, "rss_peak_bytes": use.ru_maxrss * 1024, "latency": latency,
            "asked_s": subscription.asked_s, "left_s": time.time(), "wire": subscription.wire,
            "first_ns": self._first_ns, "first_records": self._first_records, "last_ns": self._last_ns,
        }  # fmt: skip
        if self._census is not None:
            np.save(self._folder / f"{self._stem}.census.npy", self._census)
        part = self._folder / f"{self._stem}.result.part"
        part.write_text(json.dumps(result))
        part.rename(self._folder / f"{self._stem}.result.json")

    def _stopped(self) -> bool:
        own = self._folder / f"{self._stem}.stop"
        return (self._folder / "stop").exists() or own.exists() or os.getppid() != self._parent


if __name__ == "__main__":
    keyring.inherit()
    Member(Path(sys.argv[1])).run()
