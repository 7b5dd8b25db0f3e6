"""What must hold of every bill, whatever the workload: properties over generated usages, on every platform found."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import costmodel
from costmodel import platforms as registry
from costmodel.option import Option
from costmodel.prices import Catalog, Price, built_in
from costmodel.usage import Usage

KAFKA = [row.id for row in registry.found().values() if row.role == "kafka"]
EVERY = list(registry.found())
BY_USE = ["redpanda-serverless", "kinesis-on-demand", "msk-serverless"]  # priced linearly in what flows
CALM = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    rate = draw(st.floats(0.05, 400).map(lambda x: round(x, 3)))
    return {
        "schema": 1,
        "region": "us-east-1",
        "ingest": {
            "mb_s": rate,
            "record_bytes": draw(st.integers(50, 100_000)),
            "peak_to_mean": draw(st.sampled_from([1, 1.5, 3])),
            "compression_ratio": draw(st.sampled_from([1, 2.5])),
        },
        "broker": {"disk_bytes_per_wire_byte": draw(st.sampled_from([1, 1.05]))},
        "consumers": {"groups": draw(st.integers(0, 6))},
        "topics": {"partitions": draw(st.integers(1, 4000)), "replication_factor": draw(st.integers(1, 3))},
        "retention": {"days": draw(st.sampled_from([0.5, 1, 3, 7, 14, 30]))},
        "zones": draw(st.integers(1, 3)),
        "processing": {"cpu_s_per_million_events": 9, "state_gb": draw(st.integers(0, 500)), "checkpoint_gb": 4},
        "sinks": {
            "s3_gb_month": draw(st.sampled_from([0, 2000])),
            "clickhouse_gb_month": draw(st.sampled_from([0, 500])),
        },
        "operations": {"hours_month": 20, "usd_hour": 100},
    }


def options(data: dict[str, Any], names: list[str] = EVERY, prices: Catalog | None = None) -> dict[str, Option]:
    usage = Usage.model_validate(data)
    return {option.platform: option for option in costmodel.price(usage, names, draws=0, prices=prices)}


def changed(data: dict[str, Any], section: str, **fields: Any) -> dict[str, Any]:
    return {**data, section: {**data[section], **fields}}


def assert_not_cheaper(more: dict[str, Option], less: dict[str, Option]) -> None:
    for name, option in more.items():
        before = less[name].bill
        if option.bill is not None and before is not None:
            assert option.bill.usd_month >= before.usd_month - Decimal("1e-12"), name
        # once a quota is passed, more of the same load never fits again
    for name, option in less.items():
        assert option.infeasible is None or more[name].infeasible is not None, name


@CALM
@given(usages(), st.floats(1, 20))
def test_more_load_never_costs_less_so_that_a_forecast_cannot_flatter(data: dict[str, Any], factor: float) -> None:
    heavier = changed(data, "ingest", mb_s=data["ingest"]["mb_s"] * factor)

    assert_not_cheaper(options(heavier), options(data))


@CALM
@given(usages(), st.floats(1, 10))
def test_longer_retention_never_costs_less(data: dict[str, Any], factor: float) -> None:
    assume(data["retention"]["days"] >= 3)  # below it, tiered topics are refused for being too short
    longer = changed(data, "retention", days=data["retention"]["days"] * factor)

    assert_not_cheaper(options(longer), options(data))


@CALM
@given(usages())
def test_more_replicas_never_cost_less(data: dict[str, Any]) -> None:
    """Except fetching from followers while there are fewer replicas than zones: each replica then saves crossings."""
    names = [name for name in KAFKA if name != "self-ec2-fff"]
    ladder = [options(changed(data, "topics", replication_factor=copies), names) for copies in (1, 2, 3)]

    assert_not_cheaper(ladder[1], ladder[0])
    assert_not_cheaper(ladder[2], ladder[1])


@CALM
@given(usages())
def test_fetching_from_the_follower_is_never_dearer_than_from_the_leader(data: dict[str, Any]) -> None:
    found = options(data, ["self-ec2", "self-ec2-fff"])
    plain, follower = found["self-ec2"].bill, found["self-ec2-fff"].bill

    assert plain is not None
    assert follower is not None
    assert follower.usd_month <= plain.usd_month


@CALM
@given(usages(), st.sampled_from([0, 0.3]), st.sampled_from([1, 2]))
def test_lines_sum_to_the_total_that_is_read_aloud(data: dict[str, Any], discount: float, environments: int) -> None:
    found = options({**data, "discount": discount, "environments": environments})

    for option in costmodel.to_json(list(found.values()))["options"]:
        if option["feasible"]:
            lines = option["lines"]
            assert abs(sum(line["usd_month"] for line in lines) - option["usd_month"]["p50"]) < 1e-6
            for line in lines:
                assert abs(line["quantity"] * line["unit_price"] - line["usd_month"]) <= 1e-9 * max(
                    1, line["usd_month"]
                )


@CALM
@given(usages(), st.integers(0, 10_000))
def test_a_missing_price_never_makes_an_option_look_cheaper(data: dict[str, Any], which: int) -> None:
    """Any price taken away: the total says "at least" and ranks after complete ones, or it is not lower."""
    whole = options(data)
    used = sorted({line.price_id for o in whole.values() if o.bill for line in o.bill.lines} - {"operations.usd_hour"})
    missing = used[which % len(used)]
    holes = dataclasses.replace(built_in(), prices={k: v for k, v in built_in().prices.items() if k[0] != missing})
    poorer = options(data, prices=holes)

    for name, option in poorer.items():
        before = whole[name].bill
        if option.bill is not None and before is not None and not option.bill.at_least:
            assert option.bill.usd_month >= before.usd_month, (missing, name)
    carrying = [option for option in poorer.values() if option.role == "kafka"]
    ranked = [row["platform"] for row in costmodel.rows(carrying)]
    complete = [option.platform for option in carrying if option.bill is not None and not option.bill.at_least]
    assert set(ranked[: len(complete)]) == set(complete)


@CALM
@given(st.sampled_from(sorted(built_in().prices.values(), key=lambda p: (p.id, p.region))), st.floats(0.001, 1e7))
def test_tiers_join_without_a_step_so_that_one_more_gigabyte_costs_a_gigabyte(price: Price, quantity: float) -> None:
    def cost(amount: Decimal) -> Decimal:
        return sum((part * usd for part, usd, _ in price.parts(amount)), Decimal(0))

    dearest = max([price.usd, *(tier.usd for tier in price.tiers)])
    bounds = [tier.up_to for tier in price.tiers if tier.up_to is not None]
    for amount in [Decimal(repr(quantity)), *bounds]:
        step = Decimal("0.001")
        assert 0 <= cost(amount + step) - cost(amount) <= dearest * step + Decimal("1e-12")
        assert sum(part for part, _, _ in price.parts(amount)) == amount


@CALM
@given(usages(), st.sampled_from([2, 5]))
def test_what_is_billed_by_use_scales_with_use(data: dict[str, Any], factor: int) -> None:
    data = changed(data, "ingest", mb_s=min(data["ingest"]["mb_s"], 5))
    once, many = options(data, BY_USE), options(changed(data, "ingest", mb_s=data["ingest"]["mb_s"] * factor), BY_USE)
    for name in BY_USE:
        small, large = once[name].bill, many[name].bill
        if small is None or large is None:
            continue
        for kind in ("ingress", "egress", "storage", "cross-zone"):
            assert abs(large.of(kind) - factor * small.of(kind)) < Decimal("1e-9") * max(Decimal(1), large.of(kind))
