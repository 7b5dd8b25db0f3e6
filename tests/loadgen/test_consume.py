"""The consuming engine and the ceilings, against a mock cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from confluent_kafka import Producer

from bench import ceilings
from bench.loadgen import Read, prefill, start_consumers
from bench.loadgen.ceiling import Ceiling, Question, beyond, measure
from bench.loadgen.consume import flat_out_eps
from bench.loadgen.engine import NativeEngine, Router, client_settings
from bench.loadgen.mock import MockCluster
from bench.scenario import load
from bench.workloads import Knobs, open_workload
from bench.workloads.encoding import Format, seq_bytes, seqs_of, stamps_of

SETTINGS: dict[str, Any] = {
    "workload": {"name": "clicks", "format": "json", "event_bytes": 200, "keys": {"distinct": 200, "zipf": 1.05}},
    "load": {"rate_eps": 5_000.0, "workers": 1},
    "producer": {"linger_ms": 5},
}


def test_every_group_reads_every_record_once(tmp_path: Path) -> None:
    """Fan-out is priced by what groups read: a record missed or read twice would be money, or a false loss."""
    with MockCluster({"t": 4}) as mock:
        common: dict[str, Any] = {"bootstrap": mock.bootstrap, "topic": "t", "run_dir": tmp_path}
        sent = prefill(SETTINGS, 30_000, **common, partitions=4, seed=7, t0_ns=1_790_000_000_000_000_000)
        consuming = start_consumers(
            [{"group": "a", "members": 2}, {"group": "b"}], **common, partitions=4, client={"fetch.wait.max.ms": 5}
        )
        consuming.begin(4)
        assert consuming.wait_for(30_000, 60)
        reads = consuming.stop()
    assert [(r.group, r.members, r.records, r.failures) for r in reads] == [("a", 2, 30_000, ()), ("b", 1, 30_000, ())]
    for read in reads:
        assert read.value_bytes == 30_000 * 200
        assert read.series["records"].iloc[-1] == read.series["position"].iloc[-1] == read.position == 30_000
        t0_ns = sent.t0_ns // 10**9 * 10**9
        assert read.latency_ms(t0_ns, t0_ns + 2 * 10**9).n == pytest.approx(30_000 / 64, rel=0.1)
        assert read.unstamped == 0
        assert read.rebalances_s
    [alone] = reads[1].by_member
    assert alone.flat_out_eps > 1_000


def test_a_speed_counts_from_the_first_batch_to_the_last() -> None:
    """Rows come four times a second: of what is read in one, all runs told the same 400,000 and no interval."""
    one = {"records": 400_000, "first_records": 10_000, "first_ns": 5_000_000_000, "last_ns": 6_200_000_000}
    assert flat_out_eps(one) == pytest.approx(390_000 / 1.2)
    assert np.isnan(flat_out_eps({**one, "last_ns": 5_000_000_000}))  # a single batch has no duration
    assert np.isnan(flat_out_eps({}))  # one that died tells nothing


@pytest.mark.parametrize("every", [1, 7, 4_096])
def test_every_so_manyth_acknowledgement_is_timed_in_however_few_batches_they_come(every: int) -> None:
    """What a stopped broker held up comes back in a few large batches: drawn by batch, 2 s of stall showed as 15 ms."""
    count = 9_000
    due = np.arange(1, count + 1, dtype=np.int64)
    with MockCluster({"t": 3}) as mock:
        settings = client_settings(mock.bootstrap, {"linger_ms": 300})
        engine = NativeEngine(settings, "t", Router("keyed", 3, 900_000), sample_every=every)
        prepared = engine.prepare(open_workload(Knobs("clicks"), 7, 0).encode(0, due), due, np.array([0, count]))
        assert engine.send(prepared, 0, count) == count
        end = time.monotonic() + 30
        while engine.acked < count and time.monotonic() < end:
            engine.poll()
            time.sleep(0.01)
        told, _ = engine.take_acked()
        engine.close()
    assert engine.acked == count
    assert len(set(told.tolist())) == len(told) == -(-count // every)
    assert set(told.tolist()) <= set(due.tolist())


@pytest.mark.parametrize("fmt", ["json", "csv", "avro"])
def test_stamps_are_read_where_they_were_written(fmt: Format) -> None:
    """End-to-end latency is now minus these bytes."""
    workload = open_workload(Knobs("clicks", format=fmt, distinct=9), 7, 0)
    due = np.array([1_790_000_000_123_456_789, 1_790_000_000_123_456_790])
    batch = workload.encode(99_999, due)
    assert [stamps_of(fmt, batch.value(i)) for i in range(2)] == [(99_999, due[0]), (100_000, due[1])]


def test_ceilings_are_measured_and_held_against_a_rate(tmp_path: Path) -> None:
    """A rate that the generator cannot reach would measure the generator; it must be said before the run."""
    question = Question(engines=("native", "produce"), workers=(1,), seconds=2)
    found = list(measure(SETTINGS, question, run_dir=tmp_path))
    assert [(c.sink, c.engine, c.note) for c in found] == [
        ("null", "native", ""), ("mock", "native", ""), ("mock", "produce", ""),
    ]  # fmt: skip
    assert all(c.rate_eps > 1_000 and c.cpu_us_per_event > 0 for c in found)
    ceilings = [Ceiling("mock", "native", 2, 6, 1_000_000, 0.6)]
    args: dict[str, Any] = {"workers": 2, "engine": "native", "partitions": 12}
    assert beyond(700_000, ceilings, **args) == ""
    assert "2,000,000 events/s is beyond 80% of this host's ceiling of 1,000,000" in beyond(2e6, ceilings, **args)
    assert beyond(2e6, [], **args) == ""


@pytest.mark.parametrize("fmt", ["json", "csv", "avro"])
def test_sequence_numbers_are_read_in_bulk_as_one_by_one(fmt: Format) -> None:
    """The independent count rests on them: a digit lost would make one event look lost and another doubled."""
    workload = open_workload(Knobs("clicks", format=fmt, distinct=9), 7, 0)
    seq = np.array([0, 7, 99_999, 100_000, 4_294_967_296, 9_999_999_999])
    batch = workload.encode(seq, np.full(len(seq), 1_790_000_000_123_456_789))
    offset, width = seq_bytes(fmt)
    assert seqs_of(fmt, batch.rows[:, offset : offset + width]).tolist() == seq.tolist()


def test_a_census_finds_the_event_that_was_doubled_and_the_one_that_is_not_there(tmp_path: Path) -> None:
    """Equal totals hide one lost and one doubled."""
    workload = open_workload(Knobs("clicks", distinct=9), 7, 0)
    seq = np.array([0, 1, 2, 2, 4])
    batch = workload.encode(seq, np.full(len(seq), 1_790_000_000_123_456_789))
    with MockCluster({"t": 1}) as mock:
        producer = Producer({"bootstrap.servers": mock.bootstrap})
        for i in range(len(seq)):
            producer.produce("t", batch.value(i), partition=0)
        producer.flush(10)
        consuming = start_consumers(
            [{"group": "census"}], bootstrap=mock.bootstrap, topic="t", partitions=1, run_dir=tmp_path, census=5
        )
        consuming.begin(1)
        assert consuming.wait_for(5, 30)
        [read] = consuming.stop()
    assert read.census is not None
    assert read.census.tolist() == [1, 1, 2, 0, 1]
    assert (read.records, read.position, read.unstamped) == (5, 5, 0)


def test_kept_ceilings_speak_only_for_the_same_events(tmp_path: Path) -> None:
    """A ceiling of 100-byte events held against 10,000-byte ones would promise what nobody measured."""
    path = tmp_path / "big.yaml"
    path.write_text("schema: 1\nquestion: How?\nworkload: {name: clicks}\nload: {rate_eps: 900_000}\n")
    scenario = load(path)
    [(_, settings)] = scenario.cells(scenario.plans["load"])
    trials = scenario.trials(backend="local", workload_version=1, measurement_version=1, host_class="h")
    assert ceilings.said_before(trials, tmp_path) == []
    ceilings.keep([Ceiling("broker", "native", 1, 6, 2_000_000, 0.5)], settings, tmp_path)
    ceilings.keep([Ceiling("broker", "native", 1, 6, 1_000_000, 0.6)], settings, tmp_path)  # the newer one counts
    [said] = ceilings.said_before(trials, tmp_path)
    assert "900,000 events/s is beyond 80% of this host's ceiling of 1,000,000" in said
    other = settings.model_copy(update={"workload": settings.workload.model_copy(update={"event_bytes": 5_000})})
    assert ceilings.recall(other, tmp_path) == []


def test_a_rebalance_that_gave_nothing_has_no_time() -> None:
    """0 seconds would be the best of all."""
    read = Read(
        group="a", members=3, records=0, value_bytes=0, position=0, series=pd.DataFrame(), errors={}, unstamped=0,
        rebalances_s=(1.0, 10.5, 11.0, 21.0), cpu_s=0.0, rss_peak_bytes=0, failures=(), latency_by_due_s={},
        joined_s=(10.0,), left_s=(20.0, 30.0),
    )  # fmt: skip
    assert read.rebalance_s(read.joined_s) == 1.0  # the last of both, and not what came after the next step
    assert read.rebalance_s((20.0,)) == 1.0
    assert np.isnan(read.rebalance_s(read.left_s))
    assert np.isnan(read.rebalance_s(()))
