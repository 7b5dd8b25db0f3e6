"""Real worker processes against librdkafka's mock cluster: what arrives is exactly what was promised."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition

from bench.errors import StreamgaugeError
from bench.loadgen import Sent, drive, prefill, start, validity
from bench.loadgen.drive import Master
from bench.loadgen.mock import MockCluster
from bench.workloads import Knobs, open_workload
from bench.workloads.draws import murmur2, partition_of


@pytest.fixture
def mock() -> Iterator[Callable[[], MockCluster]]:
    """Makes mock clusters with a topic `t` of six partitions."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(MockCluster({"t": 6}))


Cluster = Callable[[], MockCluster]
Record = tuple[int, bytes | None, bytes]


def read(mock: MockCluster) -> list[Record]:
    """(partition, key, value) of every record, partitions in order of offsets."""
    consumer = Consumer({
        "bootstrap.servers": mock.bootstrap, "group.id": "check", "enable.auto.commit": False, "fetch.wait.max.ms": 5,
    })  # fmt: skip
    partitions = [TopicPartition("t", p, 0) for p in range(6)]
    total = sum(consumer.get_watermark_offsets(tp, timeout=10)[1] for tp in partitions)
    consumer.assign(partitions)
    found: list[tuple[int, Record]] = []
    while len(found) < total:
        messages = consumer.consume(10_000, 1.0)
        assert messages, f"{len(found)} of {total} records"
        found += [(m.offset() or 0, (m.partition() or 0, m.key(), m.value() or b"")) for m in messages]
    consumer.close()
    return [record for _, record in sorted(found, key=lambda f: (f[1][0], f[0]))]


def settings(**load: Any) -> dict[str, Any]:
    return {
        "workload": {"name": "clicks", "format": "json", "event_bytes": 200, "keys": {"distinct": 200, "zipf": 1.05}},
        "load": {"rate_eps": 5_000.0, "workers": 1, **load},
        "producer": {"linger_ms": 5, "compression": "lz4"},
    }


def run(mock: MockCluster, folder: Path, trial: dict[str, Any], seconds: float = 2.0, **more: Any) -> Sent:
    return drive(
        trial, bootstrap=mock.bootstrap, topic="t", partitions=6, duration_s=seconds, warmup_s=0.0,
        run_dir=folder, seed=7, **more,
    )  # fmt: skip


def test_two_workers_send_exactly_the_schedule(mock: Cluster, tmp_path: Path) -> None:
    """A lost, doubled, altered or misrouted event in the instrument would be read as Kafka's."""
    cluster = mock()
    sent = run(cluster, tmp_path, settings(workers=2))
    records = read(cluster)
    events = [json.loads(value) for _, _, value in records]
    assert sorted(e["seq"] for e in events) == list(range(10_000)) == sent.seqs().tolist()
    assert sent.offered_events == sent.acknowledged_events == 10_000
    assert (sent.failed, sent.without_report, sent.worker_failures) == ({}, 0, ())
    knobs = Knobs("clicks", distinct=200, zipf=1.05)
    workload = open_workload(knobs, 7, sent.t0_ns, sent.schedule)
    truth = workload.encode(sent.seqs(), sent.schedule.due_ns(sent.seqs()))
    by_seq = {e["seq"]: (p, key, value) for (p, key, value), e in zip(records, events, strict=True)}
    partitions = partition_of(murmur2(truth.keys.view("u1").reshape(-1, 8)), 6)
    assert all(by_seq[i] == (partitions[i], truth.key(i), truth.value(i)) for i in range(10_000))
    order: dict[tuple[bytes | None, int], int] = {}
    for (_, key, _), event in zip(records, events, strict=True):  # of one worker, a key's events keep their order
        assert order.get((key, event["seq"] % 2), -1) < event["seq"]
        order[key, event["seq"] % 2] = event["seq"]


def test_the_seconds_add_up(mock: Cluster, tmp_path: Path) -> None:
    """Bytes and CPU per event are priced: a second left out or counted twice is money."""
    sent = run(mock(), tmp_path, settings(), 3.0)
    totals = sent.seconds.sum()
    assert totals["offered"] == pytest.approx(15_000)
    assert totals["acked"] == pytest.approx(15_000)
    assert totals["target"] == 15_000
    assert totals["tx_messages"] == pytest.approx(15_000)
    assert totals["batch_records"] == pytest.approx(15_000)
    assert totals["offered_bytes"] == pytest.approx(15_000 * 200)
    assert totals["batch_bytes"] < totals["tx_bytes"] < 15_000 * 200
    assert 0 < sent.in_window("cpu_s") <= sent.cpu_s
    assert sent.produce_latency_ms.n > 50
    assert sent.lateness_ms.n == 15_000


@pytest.mark.parametrize("engine", ["produce_batch", "produce"])
def test_the_other_engines_send_the_same_events(engine: str, mock: Cluster, tmp_path: Path) -> None:
    """Their difference in speed says nothing if they send something else."""
    cluster, trial = mock(), settings(rate_eps=2_000.0)
    trial["producer"]["engine"] = engine
    sent = run(cluster, tmp_path, trial)
    workload = open_workload(Knobs("clicks", distinct=200, zipf=1.05), 7, sent.t0_ns, sent.schedule)
    truth = workload.encode(sent.seqs(), sent.schedule.due_ns(sent.seqs()))
    assert sorted(value for _, _, value in read(cluster)) == sorted(truth.value(i) for i in range(4_000))
    assert sent.acknowledged_events == 4_000


def test_prefill_is_repeatable(mock: Cluster, tmp_path: Path) -> None:
    """Same seed and t0, same bytes: two drains read the same topic, and an oracle can be computed beforehand."""
    t0_ns, found = 1_790_000_000_000_000_000, []
    for k in range(2):
        cluster = mock()
        sent = prefill(
            settings(), 20_000, bootstrap=cluster.bootstrap, topic="t", partitions=6, run_dir=tmp_path / str(k),
            seed=7, t0_ns=t0_ns,
        )  # fmt: skip
        assert (sent.acknowledged_events, sent.t0_ns, validity(sent)) == (20_000, t0_ns, [])
        found.append(sorted(read(cluster)))
    assert found[0] == found[1]


def test_a_killed_worker_makes_the_run_invalid(mock: Cluster, tmp_path: Path) -> None:
    """Half the load arriving would otherwise read as a system that is twice as fast as needed."""
    cluster = mock()
    running = start(
        settings(workers=2), bootstrap=cluster.bootstrap, topic="t", partitions=6, duration_s=4.0, warmup_s=0.0,
        run_dir=tmp_path, seed=7,
    )  # fmt: skip
    while running.poll().offered < 2_000:
        time.sleep(0.05)
    os.kill(running.pids[1], signal.SIGKILL)
    reasons = " | ".join(validity(running.wait()))
    assert "load worker 1 died" in reasons
    assert "of the target" in reasons


def test_refused_records_are_counted_by_error(mock: Cluster, tmp_path: Path) -> None:
    trial = settings()
    trial["producer"]["client"] = {"message.max.bytes": 1_000}
    trial["workload"] |= {"event_bytes": 900, "event_bytes_sigma": 0.2}
    sent = run(mock(), tmp_path, trial)
    assert set(sent.failed) == {"MSG_SIZE_TOO_LARGE"}
    assert sent.acknowledged_events + sent.failed["MSG_SIZE_TOO_LARGE"] == sent.offered_events == 10_000
    assert "were not delivered" in " ".join(validity(sent))


def test_a_client_that_cannot_start_says_why(mock: Cluster, tmp_path: Path) -> None:
    trial = settings()
    trial["producer"]["client"] = {"linger.milliseconds": 1}
    with pytest.raises(StreamgaugeError, match=r"linger\.milliseconds"):
        run(mock(), tmp_path, trial)


def test_stopping_keeps_what_was_sent_and_leaves_nobody_behind(mock: Cluster, tmp_path: Path) -> None:
    """Ctrl-C keeps what was measured; an orphan would load the next trial's broker. And nothing listens meanwhile."""
    cluster, stop = mock(), threading.Event()
    seen: list[Any] = []
    before = {c.pid for c in psutil.Process().children(recursive=True)}

    def on_progress(progress: Any) -> None:
        mine = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
        seen.extend(s for c in mine for s in c.net_connections() if s.status == psutil.CONN_LISTEN)
        if progress.offered > 3_000:
            stop.set()

    sent = run(cluster, tmp_path, settings(), 60.0, on_progress=on_progress, stop=stop, every_s=0.2)
    assert 3_000 < sent.acknowledged_events == sent.offered_events < 60_000
    assert len(read(cluster)) == sent.acknowledged_events
    assert sent.stopped
    assert "stopped before" in " ".join(validity(sent))
    assert seen == []
    assert {c.pid for c in psutil.Process().children(recursive=True)} == before


def listening(pids: list[int]) -> set[tuple[str, int]]:
    found = [c for pid in pids for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
    return {(c.laddr.ip, c.laddr.port) for c in found}


def test_a_locust_master_and_two_workers_do_the_same_and_show_it_live(mock: Cluster, tmp_path: Path) -> None:
    """Workers on other machines have only the master's messages; the page is what a person watches meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        web = probe.getsockname()[1]
    cluster = mock()
    running = start(
        settings(workers=2), bootstrap=cluster.bootstrap, topic="t", partitions=6, duration_s=8.0, warmup_s=0.0,
        run_dir=tmp_path, seed=7, web_port=web,
    )  # fmt: skip
    assert len(running.pids) == 3
    seen: dict[str, Any] = {}
    while not (progress := running.poll()).done and progress.t_s < 30:
        if progress.t_s > 5 and not seen:
            assert {ip for ip, _ in listening(running.pids)} == {"127.0.0.1"}
            with urllib.request.urlopen(f"http://127.0.0.1:{web}/stats/requests", timeout=10) as page:
                seen = json.loads(page.read())
        time.sleep(0.2)
    sent = running.wait()
    assert sorted(json.loads(value)["seq"] for _, _, value in read(cluster)) == list(range(40_000))
    assert (sent.acknowledged_events, sent.worker_failures) == (40_000, ())
    assert (seen["user_count"], seen["worker_count"]) == (2, 2)
    [line] = [s for s in seen["stats"] if s["name"] == "produce t"]
    assert line["num_requests"] > 1_000  # Locust merges its workers every three seconds
    assert line["avg_content_length"] == pytest.approx(200, rel=0.05)  # offered bytes over acknowledged events
    assert not any(psutil.pid_exists(pid) for pid in running.pids)


def test_a_worker_that_the_master_loses_makes_the_run_invalid(mock: Cluster, tmp_path: Path) -> None:
    """On another machine nobody sees its process die: only its heartbeat stops."""
    cluster = mock()
    running = start(
        settings(workers=2), bootstrap=cluster.bootstrap, topic="t", partitions=6, duration_s=4.0, warmup_s=0.0,
        run_dir=tmp_path, seed=7, master=Master(),
    )  # fmt: skip
    while running.poll().offered < 2_000:
        time.sleep(0.05)
    victim = next(p for p in running.pids if "--master" in psutil.Process(p).cmdline())
    os.kill(victim, signal.SIGKILL)
    assert "load worker" in " | ".join(validity(running.wait()))
