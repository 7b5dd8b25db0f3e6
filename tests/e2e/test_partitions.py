"""A small study of partitions on a real broker: a topic's bytes, the control, rebalances, a killed broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import command
import pytest

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

SCENARIO = """\
schema: 1
name: partitions
workload: {name: clicks, keys: {distinct: 1000, zipf: 0}}
producer: {linger_ms: 10}
topic: {partitions: 24}
cluster: {broker_heap_mb: 512, prime_s: 8}
consumers: [{group: readers, members: 2}]
phases: {warmup_s: 1, measure_s: 5, settle_s: 20}
repeats: 1
thresholds: [e2e_latency_ms p99 < 60000]   # a generator may be late by a tenth of it: CI machines are busy
loads:
  keyed: {rate_eps: 1000, design: one-at-a-time, axes: {topic.partitions: [2, 24], producer.linger_ms: [10, 120]}}
  rebalance:
    rate_eps: 1000
    faults: [{at_s: 1, do: join, target: consumer}, {at_s: 9, do: leave, target: consumer}]
    phases: {measure_s: 16}
    axes: {topic.partitions: [6], consumers.0.protocol: [classic, consumer]}
  killed:
    shape: {steps: [{rate_eps: 1000, for_s: 3}, {rate_eps: 0, for_s: 20}]}
    consumers: []
    faults: [{at_s: 4, do: kill, target: broker}]
    phases: {measure_s: 20}
    axes: {topic.partitions: [6]}
"""
INDEX_BYTES = 10 << 20  # what Kafka claims for each index in advance, rounded down to whole entries


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> command.Command:
    folder = tmp_path_factory.mktemp("partitions")
    (folder / "partitions.yaml").write_text(SCENARIO)
    return command.run("run", str(folder / "partitions.yaml"), "--json", out=folder / "results")


def run_of(study: command.Command, load: str, **knobs: Any) -> dict[str, Any]:
    wanted = {path.replace("__", "."): value for path, value in knobs.items()}
    [run] = [r for r in study.document["runs"] if r["load"] == load and wanted.items() <= r["knobs"].items()]
    command.assert_ran(run)
    return dict(run)


def value(run: dict[str, Any], name: str) -> float:
    return float(run["metrics"][name]["value"])


@pytest.mark.parametrize("partitions", [2, 24])
def test_a_topics_bytes_are_told_three_ways_that_agree(study: command.Command, partitions: int) -> None:
    """Storage billed by a number that the broker itself would not give is nobody's bill."""
    run = run_of(study, "keyed", topic__partitions=partitions, producer__linger_ms=10)
    checks = {check["name"]: check for check in run["checks"]}
    told = checks["record bytes by DescribeLogDirs"]
    assert told["ok"] and told["expected"] == told["actual"] == value(run, "topic_log_bytes") > 0
    assert checks["record bytes by BytesIn"]["ok"]
    assert value(run, "topic_segments") == partitions
    for kind in ("index", "time_index"):
        assert value(run, f"topic_{kind}_bytes") == pytest.approx(partitions * INDEX_BYTES, rel=1e-4)
        assert value(run, f"topic_{kind}_allocated_bytes") < 20_000 * partitions  # holes
    assert 0 < value(run, "topic_bytes_per_partition") < 100_000
    assert 0 < value(run, "protocol_bytes_per_event") < value(run, "wire_bytes_per_event")
    assert 20e6 < value(run, "broker_live_heap_bytes") < 512 << 20
    assert value(run, "broker_memory_maps") > 2 * partitions
    assert value(run, "broker_open_files") > partitions
    assert 0 < value(run, "topic_create_s") < 30
    assert 0.9 < value(run, "topic_delete_s") < 60  # a broker waits a second before it removes anything


def test_the_longer_linger_makes_batches_equal_and_their_bytes_too(study: command.Command) -> None:
    """Without an equal-batch control nobody can say whether partitions or batches cost."""
    few = run_of(study, "keyed", topic__partitions=2)
    many = run_of(study, "keyed", topic__partitions=24, producer__linger_ms=10)
    control = run_of(study, "keyed", topic__partitions=24, producer__linger_ms=120)
    if max(value(run, "batch_records") for run in (few, many, control)) > 12:
        pytest.skip("this machine was too busy: a queue filled the batches, and not the linger")
    assert value(many, "batch_records") < 0.5 * value(few, "batch_records")
    assert value(control, "batch_records") == pytest.approx(value(few, "batch_records"), rel=0.25)
    assert value(many, "log_bytes_per_event") > 1.2 * value(few, "log_bytes_per_event")
    # batches a quarter apart have framing a third apart: of what more partitions add, the control adds next to nothing
    few_bytes, many_bytes, control_bytes = (value(run, "log_bytes_per_event") for run in (few, many, control))
    assert abs(control_bytes - few_bytes) < 0.25 * (many_bytes - few_bytes)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_members_come_and_go_and_every_event_is_read_once(study: command.Command, protocol: str) -> None:
    """A rebalance that reads events twice, or is timed by a process's start, would be the protocol's fault."""
    run = run_of(study, "rebalance", consumers__0__protocol=protocol)
    assert all(check["ok"] for check in run["checks"]), run["checks"]
    assert 0 < value(run, "rebalance_join_s") < 30
    assert 0 < value(run, "rebalance_leave_s") < 30
    assert value(run, "lost_events") == value(run, "duplicated_events") == 0


def test_a_killed_broker_answers_again_and_has_lost_nothing(study: command.Command) -> None:
    """How long a restart takes by partitions is half of what they cost at rest."""
    run = run_of(study, "killed")
    assert 0.5 < value(run, "broker_ready_s") < 90
    assert "broker_stop_s" not in run["metrics"]  # it did not end, it was killed
    assert value(run, "lost_events") == 0
    assert 0.9 < value(run, "topic_delete_s") < 60  # by a broker that has just begun again
    assert Path(run["bundle"]).is_dir()
