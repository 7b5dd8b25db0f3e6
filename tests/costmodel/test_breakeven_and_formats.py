"""Comparisons that people act on: where two options cross, what changed between two, what a FinOps table joins on."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import pytest

import costmodel
from costmodel import formats
from costmodel.breakeven import break_even, break_even_hours
from costmodel.prices import built_in
from costmodel.usage import Usage
from reports import billing


def usage(**changes: Any) -> Usage:
    data: dict[str, Any] = {
        "schema": 1,
        "region": "us-east-1",
        "ingest": {"mb_s": 10, "record_bytes": 1000},
        "consumers": {"groups": 2},
        "topics": {"partitions": 30},
        "retention": {"days": 7},
    }
    return Usage.model_validate({**data, **changes})


def total(rate: Decimal, platform: str) -> Decimal:
    (option,) = costmodel.price(usage(ingest={"mb_s": rate, "record_bytes": 1000}), [platform], draws=0)
    assert option.usd_month is not None
    return option.usd_month


def test_a_break_even_is_an_interval_at_whose_ends_the_bills_really_are_on_different_sides() -> None:
    found = break_even(usage(), "pubsub", "msk-standard", axis="rate", low=Decimal("0.1"), high=Decimal(50))

    assert [crossing.below for crossing in found.crossings] == [
        "a",
        "b",
        "a",
        "b",
        "a",
    ]  # MSK's next brokers flip it back
    for crossing in found.crossings:
        cheaper, dearer = ("pubsub", "msk-standard") if crossing.below == "a" else ("msk-standard", "pubsub")
        assert crossing.high - crossing.low <= Decimal("0.002") * crossing.low
        assert total(crossing.low, cheaper) < total(crossing.low, dearer)
        assert total(crossing.high, cheaper) > total(crossing.high, dearer)
    assert found.sentence().startswith("pubsub is cheaper below, msk-standard above")
    assert len(found.points) == 240


def test_partitions_cross_between_neighbouring_whole_numbers() -> None:
    """Redpanda bills each partition, MSK only in steps of brokers: few partitions favour one, many the other."""
    found = break_even(
        usage(ingest={"mb_s": 0.1, "record_bytes": 1000}),
        "redpanda-serverless",
        "msk-standard",
        axis="partitions",
        low=Decimal(1),
        high=Decimal(2000),
    )

    assert [(c.below, c.above) for c in found.crossings] == [("a", "b")]
    assert found.crossings[0].high - found.crossings[0].low == 1


def test_an_infeasible_or_unpriced_option_never_wins() -> None:
    found = break_even(usage(), "msk-serverless", "self-ec2", axis="rate", low=Decimal(100), high=Decimal(300))
    holes = {key: price for key, price in built_in().prices.items() if key[0] != "gcp.pubsub.storage"}
    unpriced = dataclasses.replace(built_in(), prices=holes)
    cheap = break_even(
        usage(), "pubsub", "msk-standard", axis="rate", low=Decimal("0.1"), high=Decimal(1), prices=unpriced
    )

    assert {point.cheaper for point in found.points} == {"b"}
    assert {point.cheaper for point in cheap.points} == {"b"}


def test_hours_that_a_managed_platform_must_save_are_its_dearer_bill_over_an_hours_price() -> None:
    described = usage(operations={"hours_month": 20, "usd_hour": 100})
    options = costmodel.price(described, ["self-ec2", "msk-standard"], draws=0)
    own, managed = (option.usd_month or Decimal(0) for option in options)

    assert break_even_hours(options, described) == {"msk-standard": float((managed - own) / 100)}
    assert break_even_hours(options, usage()) == {}


def test_hours_compare_a_role_with_its_own_and_never_rest_on_an_incomplete_total() -> None:
    """A managed Flink does not replace one's own brokers, and a price nobody knows saves nobody an hour."""
    job = {"cpu_s_per_million_events": 9}
    described = usage(processing=job, operations={"hours_month": 20, "usd_hour": 100})
    names = ["self-ec2", "flink-ec2", "flink-managed-aws", "self-ec2+flink-ec2", "msk-standard+flink-managed-aws"]
    options = costmodel.price(described, [*names, "msk-standard"], draws=0)
    usd = {option.platform: float(option.usd_month or 0) for option in options}
    stack = usd["msk-standard+flink-managed-aws"] - usd["self-ec2+flink-ec2"]
    holes = {key: price for key, price in built_in().prices.items() if key[0] != "msk.std.storage"}
    partly = costmodel.price(described, ["self-ec2", "msk-standard"], draws=0,
                             prices=dataclasses.replace(built_in(), prices=holes))  # fmt: skip

    assert break_even_hours(options, described) == {
        "flink-managed-aws": pytest.approx((usd["flink-managed-aws"] - usd["flink-ec2"]) / 100),
        "msk-standard+flink-managed-aws": pytest.approx(stack / 100),
        "msk-standard": pytest.approx((usd["msk-standard"] - usd["self-ec2"]) / 100),
    }
    assert break_even_hours(partly, described) == {}


def test_a_difference_between_two_usages_is_told_by_kind_and_never_against_an_incomplete_total() -> None:
    before = costmodel.price(usage(), ["self-ec2", "msk-serverless"], draws=0)
    after = costmodel.price(usage(retention={"days": 14}), ["self-ec2", "msk-serverless"], draws=0)
    holes = {key: price for key, price in built_in().prices.items() if key[0] != "net.cross_az"}
    incomplete = costmodel.price(usage(), ["self-ec2"], draws=0, prices=dataclasses.replace(built_in(), prices=holes))
    change = formats.diff(before, after)["options"][0]
    storage = {kind["kind"]: kind for kind in change["kinds"]}["storage"]

    assert storage["b_usd_month"] == 2 * storage["a_usd_month"]
    assert change["difference_usd_month"] == storage["b_usd_month"] - storage["a_usd_month"]
    (against,) = formats.diff(before[:1], incomplete)["options"]
    assert (against["difference_usd_month"], against["reason"]) == (None, "a price is missing")


def test_the_focus_table_sums_to_the_bill_and_shows_the_discount() -> None:
    options = costmodel.price(usage(discount=0.3), ["self-ec2"], draws=0)
    rows = list(csv.DictReader(io.StringIO(formats.focus_csv({"usage": options}))))

    assert sum(Decimal(row["BilledCost"]) for row in rows) == options[0].usd_month
    discounted = {row["SkuPriceId"] for row in rows if row["CommitmentDiscountStatus"] == "Used"}
    assert all(sku.startswith("ec2.") for sku in discounted)
    assert discounted
    for row in rows:
        share = Decimal("0.7") if row["SkuPriceId"] in discounted else Decimal(1)
        assert abs(Decimal(row["ListCost"]) * share - Decimal(row["EffectiveCost"])) < Decimal("1e-9")


def test_lines_of_two_usages_in_one_focus_table_stay_apart() -> None:
    priced = {name: costmodel.price(usage(), ["msk-standard"], draws=0) for name in ("a", "b")}
    rows = list(csv.DictReader(io.StringIO(formats.focus_csv(priced))))
    tags = [json.loads(row["Tags"]) for row in rows]

    assert {tag["usage"] for tag in tags} == {"a", "b"}
    assert len({tuple(tag.values()) for tag in tags}) == len(rows)


def test_a_stack_says_what_binds_its_flink_even_where_nothing_binds_its_kafka() -> None:
    """Else the shadow price of a stack is 0 and more state looks free."""
    described = usage(processing={"cpu_s_per_million_events": 9, "state_gb": 500})
    (stack,) = costmodel.price(described, ["msk-standard+flink-managed-aws"], draws=0)

    assert stack.bound_by is not None
    assert (stack.bound_by.shadow_of, stack.bound_by.shadow_usd_month) == (
        "GB of state",
        Decimal("0.11") * 730 / 50,  # a KPU-hour, 730 of them, over the 50 GB that each holds
    )


def test_a_figure_of_whole_steps_has_no_slope_between_them() -> None:
    """A slope between 20 and 21 consumer groups would show prices of groups that nobody can have."""
    found = break_even(usage(), "self-ec2", "msk-express", axis="fan-out", low=Decimal(1), high=Decimal(5))
    line = billing.break_even(found).rows[0][0].lines[0]

    assert line.t_s == (1, 2, 2, 3, 3, 4, 4, 5, 5)
    assert all(left == right for left, right in zip(line.values[:-1:2], line.values[1::2], strict=True))


def test_savings_plans_do_not_make_msk_kinesis_or_managed_flink_cheaper() -> None:
    names = ["msk-standard", "msk-express", "kinesis-provisioned", "flink-managed-aws"]
    job = {"cpu_s_per_million_events": 9}
    plain = costmodel.price(usage(processing=job), names, draws=0)
    committed = costmodel.price(usage(processing=job, discount=0.5), names, draws=0)

    assert [option.usd_month for option in committed] == [option.usd_month for option in plain]


def test_an_old_price_is_said_aloud() -> None:
    options = costmodel.price(usage(), ["self-ec2"], draws=0)

    (warning,) = formats.warnings(options, dt.date(2030, 1, 1))
    assert "over 365 days old" in warning
    assert formats.warnings(options, dt.date(2024, 7, 2)) == []


def test_an_unverified_price_is_named_beside_the_total_that_rests_on_it() -> None:
    (option,) = costmodel.price(usage(region="eu-west-1"), ["msk-standard"], draws=0)

    assert option.bill is not None
    assert option.bill.unverified == ("msk.std.storage",)
    assert any("unverified" in note for note in costmodel.notes(option))
    assert option.bill.at_least  # the region's MSK brokers of this family are in no catalogue


def test_an_unverified_quota_is_named_beside_the_size_that_rests_on_it() -> None:
    flink = usage(processing={"cpu_s_per_million_events": 9})
    own, confluent = costmodel.price(flink, ["flink-ec2", "flink-confluent"], draws=0)

    assert costmodel.notes(own) == []
    assert costmodel.notes(confluent) == ["sized by unverified quotas: confluent.cfu_per_core"]
