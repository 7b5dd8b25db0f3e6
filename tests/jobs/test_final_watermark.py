"""Where the watermark must have come to: it says which windows were due, and so which of them were lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.jobs import Output
from bench.scenario import Settings, load
from bench.verify import final_watermark_ms, until
from bench.workloads import Workload, open_workload
from bench.workloads.draws import murmur2, partition_of

T0_NS = 1_790_000_000_000_000_000
QUICKSTART = Path(__file__).resolve().parents[2] / "scenarios" / "quickstart.yaml"


def case(*options: str, partitions: int = 6, **routing: Any) -> tuple[pd.DataFrame, Workload, Settings]:
    """The truth of 20,000 events at 10,000/s, and the settings they were sent with."""
    scenario = load(QUICKSTART, overrides=(f"topic.partitions={partitions}", "workload.keys.distinct=500", *options))
    _, settings = scenario.cells(next(iter(scenario.plans.values())))[0]
    settings = settings.model_copy(update={"producer": settings.producer.model_copy(update=routing)})
    workload, seq = open_workload(settings.workload, 7, T0_NS), np.arange(20_000)
    return workload.columns(seq, T0_NS + seq * 100_000), workload, settings


def slowest_ms(truth: pd.DataFrame, partitions: int) -> int:
    """One by one: the newest readable event of each partition, the oldest of these, minus two seconds of disorder."""
    newest: dict[int, int] = {}
    for row in truth[~truth["malformed"]].itertuples():
        key = np.frombuffer(str(row.user).encode(), dtype=np.uint8).reshape(1, -1)
        partition = int(partition_of(murmur2(key), partitions)[0])
        newest[partition] = max(newest.get(partition, 0), int(str(row.ts)))
    assert len(newest) == partitions
    return min(newest.values()) - 2_000


def test_the_slowest_partition_decides() -> None:
    """A window counted as due that Flink rightly holds open would make a right job wrong."""
    truth, workload, settings = case()
    assert final_watermark_ms(truth, workload, settings, 0.0) == slowest_ms(truth, 6)


def test_an_event_that_cannot_be_read_carries_no_watermark() -> None:
    """Flink never sees its time: counting it would call windows due that the job cannot have closed."""
    truth, workload, settings = case("workload.malformed=0.5", partitions=48)
    assert final_watermark_ms(truth, workload, settings, 0.0) == slowest_ms(truth, 48)


def test_a_partition_without_events_holds_every_window_open() -> None:
    """The over-partitioned topic's own failure: calling its windows lost would blame Flink for what Kafka was asked."""
    truth, workload, settings = case(partitions=6)
    wide = settings.model_copy(update={"topic": settings.topic.model_copy(update={"partitions": 20_000})})
    assert final_watermark_ms(truth, workload, wide, 0.0) == -1


def test_a_silent_partition_that_counts_as_idle_holds_nothing_back() -> None:
    """What is due then is what the others say; what a later watermark closed is left out, for nobody knows how far."""
    truth, workload, settings = case("pipeline.idle_timeout_s=1", partitions=6)
    wide = settings.model_copy(update={"topic": settings.topic.model_copy(update={"partitions": 20_000})})
    assert final_watermark_ms(truth, workload, wide, 0.0) > 0
    assert final_watermark_ms(truth, workload, settings, 0.0) == slowest_ms(truth, 6)
    rows = pd.DataFrame({"window_end_ms": [1_000, 2_000, 3_001], "n": [1, 2, 3]})
    left = until(Output(rows, np.array([7, 8, 9])), 1_999)
    assert (left.rows["n"].tolist(), left.append_ms.tolist()) == ([1, 2], [7, 8])
    other = Output(rows[["n"]], np.array([7, 8, 9]))
    assert until(other, 0) is other


def test_without_keyed_routing_flinks_own_word_counts() -> None:
    """Sticky routing doesn't say which event went where: guessing would make the oracle wrong at random."""
    truth, workload, settings = case(routing="sticky")
    assert final_watermark_ms(truth, workload, settings, 123.0) == 123
    assert final_watermark_ms(truth, workload, settings, float("nan")) == -1
