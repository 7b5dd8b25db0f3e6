"""Sizes that published rules and worked numbers pin down: which constraint binds, and what one more unit costs."""

from __future__ import annotations

from typing import Any

import pytest

import costmodel
from costmodel.option import Option
from costmodel.usage import Usage

BASE: dict[str, Any] = {
    "schema": 1,
    "region": "us-east-1",
    "ingest": {"mb_s": 0.1, "record_bytes": 1000},
    "consumers": {"groups": 1},
    "topics": {"partitions": 6},
    "retention": {"days": 1},
}


def sized(platform: str, **changes: Any) -> Option:
    (option,) = costmodel.price(Usage.model_validate({**BASE, **changes}), [platform], draws=0)
    return option


def units_usd(option: Option) -> float:
    assert option.bill is not None
    return float(option.bill.of("compute", "idle"))


def test_consumers_that_read_in_their_own_zone_save_their_crossing_where_brokers_can_be_told_to_let_them() -> None:
    """A bill that is the same either way would say that fetching from followers saves nothing."""
    rates: dict[str, Any] = {"ingest": {"mb_s": 10, "record_bytes": 1000}}
    near = {**rates, "consumers": {"groups": 3, "fetch_from_follower": True}}
    far = {**rates, "consumers": {"groups": 3}}
    gb_month = 10 * 730 * 3600 / 1000

    def crossing(platform: str, usage: dict[str, Any]) -> float:
        bill = sized(platform, **usage).bill
        assert bill is not None
        return float(bill.of("cross-zone")) / 0.02  # USD a GB moved

    for platform in ("self-ec2", "msk-standard"):
        assert crossing(platform, far) - crossing(platform, near) == pytest.approx(3 * 2 / 3 * gb_month)
        assert "a replica in their own zone" in " ".join(sized(platform, **near).assumptions)
    assert crossing("self-ec2", near) == crossing("self-ec2-fff", far)
    assert crossing("msk-serverless", near) == crossing("msk-serverless", far)


@pytest.mark.parametrize(
    ("platform", "partitions", "usd_month"),
    [
        ("msk-standard", 1000, 447),
        ("msk-standard", 5000, 2234),
        ("msk-standard", 20000, 8935),
        ("confluent-standard", 250, 548),
        ("confluent-standard", 1000, 2190),
        ("confluent-standard", 2500, 5475),
    ],
)
def test_partitions_force_units_at_the_published_prices(platform: str, partitions: int, usd_month: float) -> None:
    assert units_usd(sized(platform, topics={"partitions": partitions})) == pytest.approx(usd_month, abs=0.5)


def test_one_more_partition_costs_45_cents_where_partitions_bind_and_nothing_below() -> None:
    bound = sized("msk-standard", topics={"partitions": 5000}).bound_by
    free = sized("msk-standard", topics={"partitions": 60}).bound_by

    assert bound is not None
    assert free is not None
    assert bound.constraint.startswith("partitions")
    assert bound.shadow_of == "partition"
    assert float(bound.shadow_usd_month or 0) == pytest.approx(0.447, abs=0.0005)
    assert free.constraint == "minimum of 3 brokers"
    assert free.shadow_usd_month == 0


@pytest.mark.parametrize("platform", ["msk-serverless", "redpanda-serverless"])
def test_a_partition_month_costs_1_095_where_partitions_are_billed(platform: str) -> None:
    few, many = (sized(platform, topics={"count": 100, "partitions": p}).bill for p in (6, 20))

    assert few is not None
    assert many is not None
    assert float(few.of("partitions")) == pytest.approx(657)
    assert float(many.of("partitions") - few.of("partitions")) == pytest.approx(1400 * 1.095)


def test_a_broken_quota_is_infeasible_with_the_nearest_size_and_never_a_price() -> None:
    option = sized("msk-serverless", topics={"count": 100, "partitions": 50})

    assert option.bill is None
    assert option.infeasible is not None
    assert "partitions: 5000 partitions over the quota of 2400" in option.infeasible.reason
    assert "2400 partitions" in option.infeasible.nearest_feasible


def test_the_nearest_feasible_rate_is_feasible_and_a_little_more_is_not() -> None:
    heavy = {"consumers": {"groups": 3}, "topics": {"partitions": 600}}
    infeasible = sized("msk-serverless", ingest={"mb_s": 100, "record_bytes": 1000}, **heavy).infeasible
    assert infeasible is not None
    rate = float(infeasible.nearest_feasible.split(" ")[0])

    assert sized("msk-serverless", ingest={"mb_s": rate, "record_bytes": 1000}, **heavy).bill is not None
    assert sized("msk-serverless", ingest={"mb_s": rate * 1.001, "record_bytes": 1000}, **heavy).bill is None


def test_too_few_partitions_for_a_quota_are_told_how_many_would_do() -> None:
    option = sized("msk-serverless", ingest={"mb_s": 50, "record_bytes": 1000}, topics={"partitions": 6})

    assert option.infeasible is not None
    assert option.infeasible.reason.startswith("ingress per partition: 12.5 MB/s at peak over the quota of 5")
    assert option.infeasible.nearest_feasible == "15 partitions"


def test_brokers_are_sized_by_baselines_and_not_by_the_burst_a_short_benchmark_sees() -> None:
    """m7g.large writes 78.75 MB/s to EBS for ever (1,250 in a burst): 80 MB/s, at peak 120, three copies, 60 % full."""
    option = sized("msk-standard", ingest={"mb_s": 80, "record_bytes": 1000}, consumers={"groups": 2})

    assert option.bound_by is not None
    assert option.parts[0].what == "broker m7g.large"
    assert option.parts[0].count == 9
    assert option.parts[0].because == "disk path: 360 MB/s at 47.25 a broker, up to a multiple of 3"
    assert option.bound_by.next == "network out: 480 MB/s at 70.28 a broker"


def test_fetch_from_follower_saves_only_where_the_consumers_zone_has_a_replica() -> None:
    """RF 2 in three zones: every third zone still reads across, a third of all reads."""
    rates = {"ingest": {"mb_s": 30, "record_bytes": 1000}, "consumers": {"groups": 3}}
    full = sized("self-ec2-fff", topics={"partitions": 6, "replication_factor": 3}, **rates).bill
    part = sized("self-ec2-fff", topics={"partitions": 6, "replication_factor": 2}, **rates).bill

    assert full is not None
    assert part is not None
    gb_month = 30 * 3600 * 730 / 1000 * 0.02
    assert float(full.of("cross-zone")) == pytest.approx((2 / 3 + 2) * gb_month)
    assert float(part.of("cross-zone")) == pytest.approx((2 / 3 + 1 + 3 * 1 / 3) * gb_month)


def test_checkpoints_pay_for_their_requests() -> None:
    """32 TaskManagers x 4 files every 60 s: $28 of PUTs a month, every 10 s: $168."""
    job = {"cpu_s_per_million_events": 9, "checkpoint_files": 128}
    for interval_s, usd in ((60, 28), (10, 168)):
        bill = sized("flink-ec2", processing={**job, "checkpoint_interval_s": interval_s}).bill
        assert bill is not None
        assert float(bill.of("requests")) == pytest.approx(usd, abs=0.5)


def test_an_idle_broker_is_its_own_line_and_the_fleet_costs_the_same() -> None:
    bill = sized("msk-standard").bill

    assert bill is not None
    assert float(bill.of("idle") + bill.of("compute")) == pytest.approx(3 * 0.204 * 730)
    assert bill.of("idle") > 50 * bill.of("compute")  # 0.1 MB/s on three brokers


def test_a_stack_is_the_sum_of_its_halves_with_sinks_and_people_once() -> None:
    extra = {
        "processing": {"cpu_s_per_million_events": 9},
        "sinks": {"s3_gb_month": 2000},
        "operations": {"hours_month": 20, "usd_hour": 100},
    }
    both, kafka, flink = (sized(name, **extra).bill for name in ("msk-standard+flink-ec2", "msk-standard", "flink-ec2"))

    assert both is not None
    assert kafka is not None
    assert flink is not None
    assert both.usd_month == kafka.usd_month + flink.usd_month - 2000  # people were on each half's own bill
    assert both.of("operations") == 2000
    assert both.of("sinks") == kafka.of("sinks") > 0
    assert flink.of("sinks") == 0


def test_tiering_saves_three_quarters_of_the_disk_only_after_a_week() -> None:
    """Local disk full, one day of it kept, the rest in S3: the published 75 % begins near 6.5 days."""
    saved = {}
    for days in (5, 7):
        full = {"retention": {"days": days}, "sizing": {"disk_fill": 1.0}, "ingest": {"mb_s": 10, "record_bytes": 1000}}
        local, tiered = (sized(name, **full).bill for name in ("self-ec2", "self-ec2-tiered"))
        assert local is not None
        assert tiered is not None
        saved[days] = 1 - float(tiered.of("storage") / local.of("storage"))

    assert saved[5] < 0.75 < saved[7]


def test_followers_cost_cpu_but_not_as_much_as_leaders_and_how_much_is_a_band() -> None:
    """30 CPU-s per million events, 100,000 events/s, peak 1.5: 4.5 cores for leaders, as many for two followers."""
    heavy = {
        "ingest": {"mb_s": 10, "record_bytes": 100},
        "broker": {"cpu_s_per_million_events": 30, "speed_factor": 1},
    }
    option = sized("self-ec2", **heavy)

    assert option.bound_by is not None
    assert option.bound_by.constraint == "CPU: 9 cores at 1.333 a broker"
    (drawn,) = costmodel.price(Usage.model_validate({**BASE, **heavy}), ["self-ec2"])
    assert drawn.p10 is not None
    assert drawn.p90 is not None
    assert drawn.p10 < drawn.p90
