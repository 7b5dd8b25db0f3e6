"""`usage --bootstrap` on a real broker: what it says of a running cluster goes into a bill."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer

import bench.cli.live
import bench.cli.money
import bench.cli.validating  # noqa: F401 -- both register their commands
from bench import topics
from bench.backends import ClusterSpec, open_cluster
from bench.cli import cli

pytestmark = pytest.mark.platform

RECORD_BYTES = 500  # and some more in a log: headers of small batches
# offsets and log directories are asked one after the other: what is written between is in one of them only, a few
# hundredths of a window of seconds on a busy host, either way
ASKED_APART = 0.95
WINDOW_S = 6


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    """A broker with one topic that somebody else keeps writing to."""
    spec = ClusterSpec(broker_heap_mb=512)
    with open_cluster("local", spec, run_dir=tmp_path / "run", log_dir=tmp_path / "logs") as cluster:
        topics.create(cluster.bootstrap, "theirs", partitions=3, config={"retention.ms": str(86_400_000 * 2)})
        stop = threading.Event()
        writer = threading.Thread(target=_write, args=(cluster.bootstrap, stop))
        writer.start()
        try:
            yield cluster.bootstrap
        finally:
            stop.set()
            writer.join()


def _write(bootstrap: str, stop: threading.Event) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    while not stop.is_set():
        for _ in range(20):
            producer.produce("theirs", bytes(RECORD_BYTES))
        producer.poll(0)
        time.sleep(0.02)
    producer.flush()


def test_a_live_cluster_is_read_and_priced_without_touching_it(bootstrap: str, tmp_path: Path) -> None:
    """A sizing from guessed retention, partitions or record sizes would be about another cluster."""
    before = topics.end_offsets(bootstrap, "theirs")
    words = ["usage", "--bootstrap", bootstrap, "--region", "us-east-1", "--window", str(WINDOW_S)]
    said = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert said.exit_code == 0
    file = tmp_path / "usage.yaml"
    file.write_text(said.stdout, encoding="utf-8")

    import costmodel

    usage = costmodel.load(file)
    assert isinstance(usage, costmodel.Usage)
    assert float(usage.retention.days.value) == 2
    assert float(usage.topics.partitions.value) == 3
    assert ASKED_APART * RECORD_BYTES <= float(usage.ingest.record_bytes.value) < RECORD_BYTES * 1.2
    assert sum(topics.end_offsets(bootstrap, "theirs").values()) > sum(before.values())  # theirs, not ours

    priced = CliRunner().invoke(cli, ["cost", str(file), "--platform", "msk-standard"], catch_exceptions=False)
    assert priced.exit_code == 0
    assert "msk-standard" in priced.stdout


def test_a_live_cluster_is_judged_topic_by_topic(bootstrap: str) -> None:
    """What a person would ask of their own cluster: who reads, how much comes, is that number of partitions right."""
    topics.create(bootstrap, "sprawling", partitions=24)
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "theirs", "auto.commit.interval.ms": 500})
    reader.subscribe(["theirs"])
    stop = threading.Event()
    reading = threading.Thread(target=_read, args=(reader, stop))
    reading.start()
    try:
        time.sleep(5)  # until the group is stable
        words = ["validate", "partitions", "--bootstrap", bootstrap, "--window", str(WINDOW_S), "--json"]
        found = CliRunner().invoke(cli, [*words, "--fail-on", "over"], catch_exceptions=False)
    finally:
        stop.set()
        reading.join()
    assert found.exit_code == 1  # for the one that sprawls
    document = json.loads(found.stdout)
    assert document["unseen"] == []
    by_name = {row["topic"]: row for row in document["topics"]}
    theirs = by_name["theirs"]
    assert theirs["verdict"] == "well"
    assert theirs["consumers"] == 1
    assert ASKED_APART * RECORD_BYTES <= theirs["record_bytes"] < RECORD_BYTES * 1.2
    assert 0.1 < theirs["mb_s"] < 1  # 20 records of 500 bytes every 20 ms or a little more
    assert (by_name["sprawling"]["verdict"], by_name["sprawling"]["advised"]) == ("over", 1)


def _read(reader: Consumer, stop: threading.Event) -> None:
    while not stop.is_set():
        reader.poll(0.1)
    reader.close()
