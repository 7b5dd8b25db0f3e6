# noqa: INP001  # scripts, not a package
"""The price of starting small: a topic gets more partitions while keyed events go in and readers read.

    python benchmarks/adding_partitions.py [--from 6] [--to 12] [--rate 4000] [--seconds 45] [--at 15] [--out FILE]

Local broker and Flink, one load. Clients look for new partitions every 5 s here (their default is five minutes:
`topic.metadata.refresh.interval.ms`, Java's `metadata.max.age.ms`), one Flink job every five, another never. Told:

    altering       from the request until every new partition has a leader
    keys           how many change their partition: by murmur2, and as they were seen on both sides
    order          events read after a later one of the same key: by a reader that keeps up, and by one that begins
                   when all is over, as any reader with a backlog would
    readers        how long after the alteration each read its first event of a new partition, and what it never read
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # not re-exported

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import topics  # noqa: E402
from bench.backends import ClusterSpec  # noqa: E402
from bench.backends.local import open_local  # noqa: E402
from bench.jobs import job_params  # noqa: E402
from bench.jobs.session import JobSession  # noqa: E402
from bench.loadgen import start  # noqa: E402
from bench.scenario.sections import Cluster, Keys, Load, Phases, Pipeline, Producer, Settings, Topic, Workload  # noqa: E402
from bench.workloads.draws import murmur2, partition_of  # noqa: E402
from bench.workloads.encoding import stamps_of  # noqa: E402

LOOK_S = 5.0
DISTINCT = 5_000
JOB = "fan-out"  # hands on each event as it is, and says when
SETTLE_S = 15.0


class Reader:
    """A plain consumer of a topic, alone in its group: `table` is what it read, in that order."""

    def __init__(self, bootstrap: str, topic: str, group: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "log_level": 0,
                "topic.metadata.refresh.interval.ms": round(LOOK_S * 1000),
            }
        )  # fmt: skip
        self._consumer.subscribe([topic])
        self._rows: list[tuple[int, bytes, int, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._over.is_set():
            for message in self._consumer.consume(1000, timeout=0.2):
                if message.error() is None:
                    seq = stamps_of("json", message.value() or b"")[0]
                    self._rows.append((seq, message.key() or b"", message.partition() or 0, time.time_ns()))
        self._consumer.close()

    def stop(self) -> pd.DataFrame:
        """DataFrame(seq, key, partition, at_ns), in the order of reading; an event read again counts once."""
        self._over.set()
        self._thread.join(30)
        return pd.DataFrame(self._rows, columns=["seq", "key", "partition", "at_ns"]).drop_duplicates("seq")

    @property
    def count(self) -> int:
        """Records read so far."""
        return len(self._rows)


def overtaken(table: pd.DataFrame) -> int:
    """Events that came after a later one of their key."""
    newest = table.groupby("key").seq.cummax()
    return int((table.seq < newest).sum())


def moved(keys: pd.Series, before: int, after: int) -> float:
    """Share of different keys that murmur2 sends elsewhere."""
    different = keys.unique()
    lengths = np.array([len(key) for key in different], dtype=np.int64)
    rows = np.zeros((len(different), int(lengths.max())), dtype=np.uint8)
    for row, key in zip(rows, different, strict=True):
        row[: len(key)] = np.frombuffer(key, dtype=np.uint8)
    hashed = murmur2(rows, lengths)
    return float((partition_of(hashed, before) != partition_of(hashed, after)).mean())


def seen_moving(table: pd.DataFrame, before: int) -> float:
    """Share of the keys read on both sides of the alteration whose partition changed, by where each event lay."""
    ordered = table.sort_values("seq")
    first_new = ordered[ordered.partition >= before].seq.min()
    old = ordered[ordered.seq < first_new].groupby("key").partition.last()
    new = ordered.groupby("key").partition.last()
    both = old.index.intersection(ordered[ordered.seq >= first_new].key.unique())
    return float((old[both] != new[both]).mean())


def settings_of(options: argparse.Namespace, discovery_s: float) -> Settings:
    """One trial's settings, as a scenario would have them."""
    return Settings(
        workload=Workload(name="clicks", event_bytes=200, keys=Keys(distinct=DISTINCT, zipf=0.0)),
        load=Load(rate_eps=float(options.rate)),
        producer=Producer(),
        topic=Topic(partitions=options.before),
        cluster=Cluster(),
        pipeline=Pipeline(job=JOB, parallelism=2, partition_discovery_s=discovery_s),
        consumers=(),
        faults=(),
        phases=Phases(),
        seed=7,
    )


def alter(bootstrap: str, topic: str, to: int) -> float:
    """Seconds until every partition has a leader."""
    began = time.monotonic()
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_partitions([NewPartitions(topic, to)])[topic].result(30)
    while sum(p.leader >= 0 for p in admin.list_topics(topic, timeout=10).topics[topic].partitions.values()) < to:
        time.sleep(0.01)
    return time.monotonic() - began


def run(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The load, the readers, the alteration in its middle; what came of it."""
    spec = ClusterSpec(broker_heap_mb=768, task_managers=1, slots=4)
    with open_local(spec, run_dir=scratch / "cluster", log_dir=scratch / "logs") as cluster:
        bootstrap, topic = cluster.bootstrap, "growing"
        topics.create(bootstrap, topic, partitions=options.before)
        session = JobSession(cluster, scratch / "logs" / "client.log")
        outputs: dict[str, dict[str, str]] = {}
        try:
            for name, discovery_s in (("job that looks", LOOK_S), ("job that never looks", 0.0)):
                run_name = name.replace(" ", "-")
                outputs[name] = {one: f"{run_name}-{one}" for one in ("billing", "recommend", "archive")}
                for output in outputs[name].values():
                    topics.create(bootstrap, output, partitions=2, config={"message.timestamp.type": "LogAppendTime"})
                settings = settings_of(options, discovery_s)
                session.submit(JOB, job_params(settings, bootstrap, run_name, topic, outputs[name]))
            live = Reader(bootstrap, topic, "live")
            plain = settings_of(options, 0.0).model_dump(mode="json")
            plain["producer"]["client"] = {"topic.metadata.refresh.interval.ms": round(LOOK_S * 1000)}
            drive = start(
                plain, bootstrap=bootstrap, topic=topic, partitions=options.before, duration_s=options.seconds,
                warmup_s=0.0, run_dir=scratch, seed=7, spawn=cluster.spawn,
            )  # fmt: skip
            time.sleep(max(0.0, drive.t0_ns / 1e9 + options.at - time.time()))
            altered_ns = time.time_ns()
            alter_s = alter(bootstrap, topic, options.to)
            sent = drive.wait()
            time.sleep(SETTLE_S)
            table = live.stop()
            replay = Reader(bootstrap, topic, "replay")
            end = time.monotonic() + 60
            while replay.count < sent.acknowledged_events and time.monotonic() < end:
                time.sleep(0.2)
            again = replay.stop()
            readers = {"consumer group": table[table.partition >= options.before].at_ns.min() / 1e9}
            never = {"consumer group": sent.acknowledged_events - len(table)}
            where = again.set_index("seq").partition
            for name, topic_of in outputs.items():
                back = topics.read_topic(bootstrap, topic_of["billing"])
                rows = topics.json_rows(back.values)
                new = where.reindex(rows.seq).to_numpy() >= options.before
                readers[name] = float(back.timestamp_ms[new].min()) / 1e3 if new.any() else float("nan")
                never[name] = sent.acknowledged_events - int(rows.seq.nunique())
        finally:
            session.close()
        wrote_s = again[again.partition >= options.before].seq.min() / options.rate - (altered_ns - drive.t0_ns) / 1e9
        return {
            "partitions": [options.before, options.to], "events": sent.acknowledged_events, "alter_s": alter_s,
            "keys_moved_by_murmur2": moved(again.key, options.before, options.to),
            "keys_moved_as_seen": seen_moving(again, options.before),
            "overtaken_live": overtaken(table), "overtaken_with_backlog": overtaken(again),
            "producer_wrote_after_s": wrote_s,
            "reader_read_after_s": {name: at_s - altered_ns / 1e9 for name, at_s in readers.items()},
            "never_read": never,
        }  # fmt: skip


def main() -> None:
    """One run, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="before", type=int, default=6)
    parser.add_argument("--to", type=int, default=12)
    parser.add_argument("--rate", type=int, default=4_000)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--at", type=float, default=15.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        text = json.dumps(run(options, Path(scratch)), indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
