"""How many of what a rate needs, against figures worked out by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.errors import ScenarioError
from bench.manifests.evidence import measured
from bench.manifests.sizing import own, settings_at, size
from bench.manifests.skew import busiest_share
from tests.manifests.scene import MEASURED, RULES, settings

STUDIES = Path(__file__).parents[2] / "studies"


def test_a_million_a_second_worked_out_by_hand() -> None:
    """Too few of one part and the others measure that."""
    found = size("x", 1_000_000.0, settings(), MEASURED, RULES)
    # 3.5 / 0.7 = 5 workers; 4 x 2 (copies) / (2/3) (a zone gone) = 12 cores on 3; 10 / 0.7 = 14.3, 2 each
    assert (found.workers, found.brokers, found.broker_cpus, found.task_managers) == (5, 3, 4, 8)
    assert found.partitions == 16
    assert found.carried == 10
    assert found.racks == ("a", "b", "c")
    assert len(found.because) == 4


def test_a_zone_that_is_gone_counts_where_it_is_worse_than_the_fill() -> None:
    """Two thirds of the brokers carry it all for an hour."""
    idle = dataclasses.replace(RULES, cpu_fill=0.3)
    full = dataclasses.replace(RULES, cpu_fill=0.9)
    cpus = {rules.cpu_fill: size("x", 1_000_000.0, settings(), MEASURED, rules).broker_cpus for rules in (idle, full)}
    assert cpus == {0.3: 9, 0.9: 4}  # 8 / 0.3 / 3 and 8 / (2/3) / 3


def test_the_size_becomes_the_scenario() -> None:
    """What is asked stays the same question: only counts, rate and copies change."""
    one = settings()
    sized = size("x", 1_000_000.0, one, MEASURED, RULES)
    found = settings_at(one, sized)
    assert found.pipeline
    assert one.pipeline
    assert (found.load.rate_eps, found.load.workers, found.cluster.brokers) == (1_000_000.0, 5, 3)
    assert (found.topic.partitions, found.topic.replication_factor, found.topic.min_insync) == (16, 3, 2)
    assert (found.pipeline.parallelism, found.pipeline.task_managers, found.pipeline.slots_each) == (16, 8, 2)
    assert (found.workload, found.producer, found.phases) == (one.workload, one.producer, one.phases)
    assert found.pipeline.checkpoint == one.pipeline.checkpoint


def test_beyond_the_largest_machine_there_are_more_brokers_as_many_in_each_zone() -> None:
    """Nobody rents a broker of forty cores."""
    found = size("x", 10_000_000.0, settings(), MEASURED, RULES)
    assert (found.brokers, found.broker_cpus) == (9, 14)  # 4 x 2 x 10 / (2/3) = 120 cores, at most 16 each
    assert settings_at(settings(), found).cluster.brokers == 9


def test_what_no_scenario_may_have_is_refused() -> None:
    """Rendered all the same, it would be a load that nobody can repeat."""
    found = size("wanted", 20_000_000.0, settings(), MEASURED, RULES)
    with pytest.raises(ScenarioError, match=r"wanted, 20,000,000 events/s: load.workers would be 100: .*64"):
        settings_at(settings(), found)


def test_a_job_whose_cpu_nobody_measured_has_no_size() -> None:
    """Missing is never zero TaskManagers."""
    unknown = dataclasses.replace(MEASURED, flink=None)
    with pytest.raises(ScenarioError, match="no run measured flink_cpu_s_per_million_events"):
        size("x", 1_000_000.0, settings(), unknown, RULES)


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [
        ("producer.routing=sticky", 1 / 16, 1 / 16),
        ("workload.keys.zipf=0", 1 / 16, 0.075),
        # the busiest of 100,000 keys at Zipf 1.05 has 1 / sum(k ** -1.05) = 10.7 %, its slot a part of the rest too
        ("workload.keys.zipf=1.05", 0.107 + 0.02, 0.107 + 1 / 16 + 0.03),
    ],
)
def test_the_busiest_slot_reads_what_its_keys_bring(change: str, low: float, high: float) -> None:
    """More TaskManagers do not help against one key: a rate that one slot cannot read is not reached."""
    one = settings("quickstart", "steady", change)
    assert low <= busiest_share(one, 16, 16) <= high
    sized = size("x", 1_000_000.0, one, MEASURED, RULES)
    assert sized.busiest_slot_cores == pytest.approx(busiest_share(one, 16, 16) * 10)
    assert sized.is_reached == ("1.05" not in change)


def test_limits_that_the_scenario_sets_are_the_brokers_own() -> None:
    """An axis of broker CPUs must reach the pods."""
    one = settings("quickstart", "steady", "cluster.limits.broker_cpus=2", "cluster.limits.broker_memory_mb=6000")
    found = own(one, MEASURED, RULES)
    assert (found.broker_cpus, found.broker_mb) == (2, 6000)


def test_a_broker_has_room_for_its_heap_whatever_its_cpus() -> None:
    """A limit below the heap is a broker that the kernel ends."""
    one = settings("quickstart", "steady", "cluster.broker_heap_mb=6000")
    assert own(one, MEASURED, RULES).broker_mb > 6000
    assert size("x", 50_000.0, one, MEASURED, RULES).broker_mb > 6000
    assert size("x", 1_000_000.0, one, MEASURED, RULES).broker_mb == 4 * 4096


def test_what_was_measured_is_read_from_the_recorded_runs() -> None:
    """The rate that a size is carried from is the one that was held."""
    found = measured(STUDIES / "ingest-1m", "million", settings("ingest-1m", "million"), RULES)
    assert (found.runs, found.flink) == (5, None)
    assert found.rate_eps == pytest.approx(1_000_000, rel=0.001)
    assert 0.80 <= found.generator <= 0.96  # docs/load.md: 0.80 to 0.96
    assert 0.21 <= found.broker <= 0.31
    job = measured(STUDIES / "sustainable-rate", "steady", settings(), RULES)
    assert job.flink == pytest.approx(9.75, abs=0.01)
    assert job.rate_eps == pytest.approx(85_917, abs=1)


def test_a_folder_without_such_runs_is_answered(tmp_path: Path) -> None:
    """No evidence is no size."""
    with pytest.raises(ScenarioError, match="expected finished runs that measured"):
        measured(tmp_path, "steady", settings(), RULES)
