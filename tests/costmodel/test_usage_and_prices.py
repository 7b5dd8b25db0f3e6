"""What goes in: files that are wrong are refused with line and expectation, and runs become usage with intervals."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

import costmodel
from bench.errors import ScenarioError
from costmodel import prices
from costmodel.usage import Usage

GOOD = """\
schema: 1
region: us-east-1
ingest: {mb_s: 100, record_bytes: 1000}
consumers: {groups: 3}
retention:
  days: 7
"""
PRICING = {
    "region": "us-east-1",
    "retention_days": 7,
    "replication_factor": 3,
    "zones": 3,
    "groups": 3,
    "scale_to_mb_s": 100,
}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("retention:\n  days: 7\n", "", 1, "retention: missing; expected a section with days"),
        ("  days: 7\n", "  {}\n", 5, "retention.days: missing; expected a number of days"),
        ("mb_s: 100", "mb_s: -5", 3, "ingest.mb_s: expected more than 0, got -5"),
        ("mb_s: 100", "mb_s: {low: 3, value: 2, high: 4}", 3, "expected low <= value <= high"),
        ("groups: 3", "groups: 2.5", 4, "consumers.groups: expected a whole number, got 2.5"),
        ("groups: 3", "grops: 3", 4, "consumers.grops: unknown key; did you mean groups?"),
        ("region: us-east-1", "region: us-east-1\ncurrency: EUR", 3, "currency: Input should be 'USD', got 'EUR'"),
        ("mb_s: 100", "mb_s: lots", 3, "ingest.mb_s: expected a number, got 'lots'"),
    ],
)
def test_a_usage_that_cannot_be_right_is_refused_where_it_stands(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert old in GOOD
    file = tmp_path / "usage.yaml"
    file.write_text(GOOD.replace(old, new), "utf-8")

    with pytest.raises(ScenarioError) as refused:
        costmodel.load(file)
    assert said in str(refused.value)
    assert f"usage.yaml:{line}: " in str(refused.value)
    assert refused.value.exit_code == 2


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "usage.yaml"
    file.write_text(GOOD.replace("mb_s: 100", "mb_s: -5").replace("groups: 3", "groups: -1"), "utf-8")

    with pytest.raises(ScenarioError) as refused:
        costmodel.load(file)
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("region", "platforms", "said"),
    [
        ("us-esat-1", None, "unknown region 'us-esat-1'; did you mean us-east-1?"),
        ("us-east-1", ["msk-standart"], "unknown platform 'msk-standart'; did you mean msk-standard?"),
        ("us-east-1", ["flink-ec2"], "usage has no `processing` section, from which flink-ec2 is sized"),
        ("us-east-1", ["self-ec2+msk-standard"], "expected one Kafka and one Flink"),
    ],
)
def test_a_wrong_word_gets_the_nearest_right_one(region: str, platforms: list[str] | None, said: str) -> None:
    data = {"schema": 1, "region": region, "ingest": {"mb_s": 1, "record_bytes": 100}, "retention": {"days": 1}}

    with pytest.raises(ScenarioError) as refused:
        costmodel.price(Usage.model_validate(data), platforms)
    assert said in str(refused.value)


CATALOGUE = """\
schema: 1
provider: test
sources:
  shop: {what: the shop's page, as_of: '2026-05'}
prices:
- {id: a, usd: 0.1, unit: hour, source: shop, confidence: vendor}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source: shop, ", "", "prices.0.source: missing; expected a key of `sources`, or who says so"),
        (
            "source: shop",
            "source: shp",
            "a row needs a date: `as_of`, or a `source` listed in `sources`; did you mean shop?",
        ),
        (", as_of: '2026-05'", "", "sources.shop.as_of: missing; expected the date it was true"),
        ("usd: 0.1", "usd: -0.1", "prices.0.usd: Input should be greater than or equal to 0"),
        ("usd: 0.1", "usd: 0.1, low: 0.2, high: 0.3", "expected low <= usd <= high"),
        ("unit: hour", "unit: hour, tiers: [[10, 0.2], [5, 0.1], [null, 0.1]]", "tiers must rise"),
        ("usd: 0.1", "euro: 0.1", "prices.0.euro: unknown key"),
        ("provider: test", "provider: test\ncurrency: CNY", "currency: Input should be 'USD', got 'CNY'"),
    ],
)
def test_a_price_without_source_date_or_sense_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CATALOGUE
    (tmp_path / "test.yaml").write_text(CATALOGUE.replace(old, new), "utf-8")

    with pytest.raises(ScenarioError) as refused:
        prices.load(tmp_path)
    assert said in str(refused.value)
    assert "test.yaml:" in str(refused.value)


def test_a_price_that_stands_twice_is_refused_instead_of_the_last_one_winning(tmp_path: Path) -> None:
    (tmp_path / "test.yaml").write_text(CATALOGUE + CATALOGUE.splitlines()[-1] + "\n", "utf-8")

    with pytest.raises(ScenarioError, match="stands twice"):
        prices.load(tmp_path)


def test_every_unit_that_a_platform_counts_in_is_the_catalogues_own() -> None:
    """A quantity in one unit times a price in another is a wrong bill that looks right: `price` would raise here."""
    data = {
        "schema": 1,
        "region": "us-east-1",
        "ingest": {"mb_s": 3, "record_bytes": 1000},
        "topics": {"partitions": 20},
        "retention": {"days": 30},
        "processing": {"cpu_s_per_million_events": 9, "state_gb": 1, "checkpoint_gb": 1},
        "sinks": {"s3_gb_month": 1, "clickhouse_gb_month": 1},
    }
    for option in costmodel.price(Usage.model_validate(data), draws=0):
        assert option.infeasible or (option.bill and not option.bill.at_least), option.platform


def measured(**changes: list[float]) -> list[dict[str, Any]]:
    """Three finished runs of 6 and of 96 partitions (and a crashed one), as `bench.record.rows` lays them out."""
    values: dict[str, list[float]] = {
        "payload_bytes_per_event": [200, 200, 200],
        "wire_bytes_per_event": [100, 102, 104],
        "disk_bytes_per_event": [110, 112.2, 114.4],
        "broker_cpu_s_per_million_events": [1.0, 1.1, 1.2],
        "flink_cpu_s_per_million_events": [8, 9, 10],
        "acknowledged_eps": [50_000, 50_000, 50_000],
        "checkpoint_size_bytes": [1e6, 1e6, 1e6],
    }
    values |= changes
    rows = []
    for partitions, factor in ((6, 1.0), (96, 1.5)):
        for metric, series in values.items():
            for repetition, value in enumerate([*series, 1e9]):
                outcome = "finished" if repetition < len(series) else "crashed"
                bytes_grow = factor if metric in ("wire_bytes_per_event", "disk_bytes_per_event") else 1
                about = (
                    "q",
                    "steady",
                    f"t{partitions}",
                    repetition,
                    outcome,
                    "local",
                    metric,
                    "value",
                    value * bytes_grow,
                )
                rows.append((*about, "unit", partitions))
                rows.append((*about[:7], "p99", 1e12, "unit", partitions))
    names = ["scenario", "load", "trial_id", "repetition", "outcome", "backend", "metric", "stat", "value", "unit"]
    return [dict(zip([*names, "topic.partitions"], row, strict=True)) for row in rows]


def test_a_disk_s_checkpoints_are_priced_by_the_files_that_runs_beside_put_into_s3() -> None:
    """Prevents a difference in dollars between 14 files that were counted and 128 that nobody had."""
    rows = [row | {"storage": "local"} for row in measured()]
    alone = costmodel.usage_from_runs(rows, PRICING, {"topic.partitions": 6, "storage": "local"})
    s3 = [row | {"storage": "s3", "trial_id": "s3"} for row in measured(checkpoint_put_requests=[13, 14, 15])]
    beside = costmodel.usage_from_runs([*rows, *s3], PRICING, {"topic.partitions": 6, "storage": "local"})
    assert alone.processing is not None and beside.processing is not None
    assert alone.processing.checkpoint_files.value == 128
    assert beside.processing.checkpoint_files.value == 14
    assert beside.processing.checkpoint_files.basis == "assumed"


def test_measured_bytes_come_with_their_interval_and_crashed_runs_are_no_evidence() -> None:
    usage = costmodel.usage_from_runs(measured(), PRICING, {"topic.partitions": 6})
    ratio = usage.ingest.compression_ratio

    assert (ratio.basis, ratio.n) == ("measured", 3)
    assert float(ratio.value) == pytest.approx((200 / 100 + 200 / 102 + 200 / 104) / 3)
    spread = stdev([200 / 100, 200 / 102, 200 / 104]) / 3**0.5
    assert float(ratio.high or 0) == pytest.approx(float(ratio.value) + 4.302653 * spread)  # t(0.975, 2)
    assert float(usage.broker.disk_bytes_per_wire_byte.value) == pytest.approx(1.1)
    assert usage.broker.disk_bytes_per_wire_byte.high == pytest.approx(Decimal("1.1"))  # the noise in both cancels
    assert usage.retention.days.basis == "assumed"
    assert usage.topics.partitions.value == 6
    assert usage.processing is not None
    assert float(usage.processing.checkpoint_gb.value) == pytest.approx(0.001 * 500_000 / 50_000)


def test_three_copies_on_the_measured_disks_are_not_billed_three_times_again() -> None:
    """Disks, logs and CPU are summed over all brokers: the same stream measured with three copies is the same usage."""
    three = {"disk_bytes_per_event": [330, 336.6, 343.2], "broker_cpu_s_per_million_events": [2.0, 2.2, 2.4]}
    runs = [{**row, "topic.replication_factor": 3} for row in measured(**three)]
    alone, copied = (
        costmodel.usage_from_runs(rows, PRICING, {"topic.partitions": 6}).broker for rows in (measured(), runs)
    )

    assert float(copied.disk_bytes_per_wire_byte.value) == pytest.approx(float(alone.disk_bytes_per_wire_byte.value))
    # a follower is assumed to take half of its leader's CPU, in a bill as here
    assert float(copied.cpu_s_per_million_events.value) == pytest.approx(float(alone.cpu_s_per_million_events.value))
    assert "followers are assumed" in copied.cpu_s_per_million_events.note


def test_runs_whose_groups_all_read_from_followers_are_billed_so() -> None:
    """What was set at the consumers is part of what was run, whether it is an axis or not."""
    near = [{**row, "consumers.fetch_from_follower": True} for row in measured()]
    assert costmodel.usage_from_runs(near, PRICING, {"topic.partitions": 6}).consumers.fetch_from_follower
    assert not costmodel.usage_from_runs(measured(), PRICING, {"topic.partitions": 6}).consumers.fetch_from_follower


def test_ninety_six_partitions_instead_of_six_cost_what_their_bytes_cost() -> None:
    """Half as many bytes again on wire and disk, measured: half as much again for what is billed by bytes."""
    six, many = (
        costmodel.price(costmodel.usage_from_runs(measured(), PRICING, {"topic.partitions": p}), ["self-ec2"], draws=0)[
            0
        ].bill
        for p in (6, 96)
    )

    assert six is not None
    assert many is not None
    for kind in ("storage", "cross-zone"):
        assert float(many.of(kind) / six.of(kind)) == pytest.approx(1.5)


def test_an_option_is_as_uncertain_as_what_was_measured() -> None:
    noisy = measured(wire_bytes_per_event=[80, 102, 124], disk_bytes_per_event=[88, 112.2, 136.4])
    bands = []
    for runs in (measured(), noisy):
        usage = costmodel.usage_from_runs(runs, PRICING, {"topic.partitions": 6})
        (option,) = costmodel.price(usage, ["self-ec2"])
        assert option.p10 is not None
        assert option.p90 is not None
        assert option.p10 < (option.usd_month or 0) < option.p90
        bands.append(option.p90 - option.p10)

    assert bands[1] > 3 * bands[0]


@pytest.mark.parametrize(
    ("cell", "pricing", "runs", "said"),
    [
        ({"topic.partitions": 7}, PRICING, measured(), "no finished run to price for {'topic.partitions': 7}"),
        ({}, PRICING, measured(), "topic.partitions has several values (6, 96)"),
        ({"topic.partitions": 6}, {"region": "us-east-1"}, measured(), "pricing.groups: missing"),
        (
            {"topic.partitions": 6},
            {**PRICING, "zonse": 3},
            measured(),
            "pricing.zonse: unknown key; did you mean zones?",
        ),
        ({"topic.partitions": 6}, PRICING, measured(wire_bytes_per_event=[]), "the runs carry no wire_bytes_per_event"),
        ({"topic.partitions": 6}, PRICING, measured(payload_bytes_per_event=[]), "no record size"),
    ],
)
def test_runs_that_cannot_be_priced_say_what_is_missing(
    cell: dict[str, Any], pricing: dict[str, Any], runs: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        costmodel.usage_from_runs(runs, pricing, cell)
    assert said in str(refused.value)


def test_one_run_has_no_interval_instead_of_a_false_one() -> None:
    one = [row for row in measured() if row["repetition"] in (0, 3)]
    usage = costmodel.usage_from_runs(one, PRICING, {"topic.partitions": 6})

    assert usage.ingest.compression_ratio.n == 1
    assert not usage.ingest.compression_ratio.uncertain
