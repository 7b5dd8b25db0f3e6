"""One member of a consumer group, in its own process. Start: `python -m bench.loadgen.reader FILE`.

Reads in batches with confluent-kafka's `consume`, counts, and keeps the latency (due -> read) of one record in so many.
FILE is the settings as JSON (see `bench.loadgen.consume`); beside it appear `<stem>.rows.jsonl` and
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
import psutil
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from bench.analysis.histogram import LogLinearHistogram
from bench.workloads.encoding import stamps_of

BATCH = 10_000
EVERY = 64  # latency of one record in so many
POLL_S = 0.1
SECOND_NS = 1_000_000_000


class Member:
    """Reads from when a file `begin` appears until `stop` does, or its parent is gone."""

    def __init__(self, path: Path) -> None:
        self._settings: dict[str, Any] = json.loads(path.read_text())
        self._folder, self._stem = path.parent, path.stem
        self._rows = (self._folder / f"{self._stem}.rows.jsonl").open("w")
        self._parent = os.getppid()
        self.records = self.value_bytes = 0
        self.unstamped = 0
        self.rebalances: list[float] = []  # when partitions were given to this member, s since the epoch
        self.errors: dict[str, int] = {}
        self._assigned = 0
        self._begun = False
        self._latency: dict[int, LogLinearHistogram] = {}  # by the second in which the record was due
        self._process = psutil.Process()

    def run(self) -> None:
        """Read until told to stop; the result is written whatever happens."""
        consumer = Consumer(self._settings["client"])
        consumer.subscribe([self._settings["topic"]], on_assign=self._on_assign, on_revoke=self._on_revoke)
        next_ns = time.time_ns()
        try:
            while not self._stopped():
                if not self._begun and (self._folder / "begin").exists():
                    self._begun = True
                    consumer.resume(consumer.assignment())
                self._count(consumer.consume(BATCH, POLL_S))
                if time.time_ns() >= next_ns:
                    self._row()
                    next_ns += SECOND_NS
        finally:
            self._row()
            self._write()
            consumer.close()

    def _count(self, messages: list[Message]) -> None:
        good = [m for m in messages if m.error() is None]
        if len(good) < len(messages):
            self._note_errors(messages)
        if not good:
            return
        self.records += len(good)
        self.value_bytes += sum(map(len, good))
        now, due = time.time_ns(), []
        for message in good[self.records % EVERY :: EVERY]:
            try:
                due.append(stamps_of(self._settings["format"], message.value() or b"")[1])
            except (ValueError, IndexError):
                self.unstamped += 1
        stamps = np.array(due, dtype=np.int64)
        for second in np.unique(stamps // SECOND_NS).tolist():
            mine = stamps[stamps // SECOND_NS == second]
            self._latency.setdefault(second, LogLinearHistogram("ms")).add((now - mine) / 1e6)

    def _note_errors(self, messages: list[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public name
                self.errors[error.name()] = self.errors.get(error.name(), 0) + 1

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not self._begun:
            consumer.assign(partitions)
            consumer.pause(partitions)
        self._assigned += len(partitions)
        self.rebalances.append(time.time())

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned -= len(partitions)

    def _row(self) -> None:
        use = resource.getrusage(resource.RUSAGE_SELF)
        row = {
            "at_s": time.time(), "records": self.records, "value_bytes": self.value_bytes, "assigned": self._assigned,
            "rebalances": len(self.rebalances), "cpu_s": use.ru_utime + use.ru_stime,
            "rss_bytes": self._process.memory_info().rss,
        }  # fmt: skip
        self._rows.write(json.dumps(row) + "\n")
        self._rows.flush()

    def _write(self) -> None:
        use = resource.getrusage(resource.RUSAGE_SELF)
        latency = {}
        for second, histogram in self._latency.items():
            buckets, counts, exact = histogram.to_arrays()
            latency[second] = [buckets.tolist(), counts.tolist(), exact]
        result = {
            "records": self.records, "value_bytes": self.value_bytes, "unstamped": self.unstamped,
            "rebalances_s": self.rebalances, "errors": self.errors, "cpu_s": use.ru_utime + use.ru_stime,
            "rss_peak_bytes": use.ru_maxrss * 1024, "latency": latency,
        }  # fmt: skip
        part = self._folder / f"{self._stem}.result.part"
        part.write_text(json.dumps(result))
        part.rename(self._folder / f"{self._stem}.result.json")

    def _stopped(self) -> bool:
        return (self._folder / "stop").exists() or os.getppid() != self._parent


if __name__ == "__main__":
    Member(Path(sys.argv[1])).run()
