"""The consuming engine and the ceilings, against a mock cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.loadgen import prefill, start_consumers
from bench.loadgen.ceiling import Ceiling, Question, beyond, measure
from bench.loadgen.mock import MockCluster
from bench.workloads import Knobs, open_workload
from bench.workloads.encoding import Format, stamps_of

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
