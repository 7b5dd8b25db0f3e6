"""Confluent Cloud: Basic, Standard and Enterprise clusters in eCKUs, and Flink in CFUs."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from costmodel import flink
from costmodel.platforms import Platform, Standing, measured, timed
from costmodel.prices import Catalog
from costmodel.sizing import (
    Charge,
    Check,
    Constraint,
    Deployment,
    Infeasible,
    Part,
    ScalingUnit,
    fleet,
    flow,
    over_quota,
    rated,
)
from costmodel.usage import Usage

COPIES = 3  # every cluster keeps three; storage is billed on all of them
ONE = Decimal(1)


def size(usage: Usage, prices: Catalog, *, tier: str) -> Deployment | Infeasible:
    """As many eCKUs as the peak or the partitions need; the first one of Basic is free."""
    platform, f = f"confluent-{tier}", flow(usage)
    unit = prices.quota("confluent.per_unit")[tier]
    most = unit["max_units"]
    broken = over_quota(
        platform,
        [
            Check("ingress", f.wire_mb_s * f.peak, f.disk_path_mb_s(unit["in_mb_s"]) * most),
            Check("egress", f.egress_mb_s * f.peak, f.disk_path_mb_s(unit["out_mb_s"]) * most),
            Check("partitions", f.partitions, unit["partitions"] * most, "partitions"),
        ],
        f.raw_mb_s,
    )
    if broken:
        return broken
    usd_hour = prices.usd(f"confluent.{tier}.ecku", usage.region)
    units = fleet(
        [
            rated("ingress", "MB/s", mean=f.wire_mb_s, peak=f.peak, whole=f.disk_path_mb_s(unit["in_mb_s"])),
            rated("egress", "MB/s", mean=f.egress_mb_s, peak=f.peak, whole=f.disk_path_mb_s(unit["out_mb_s"])),
            Constraint("partitions", f.partitions, unit["partitions"], "partition"),
        ],
        what="eCKU",
        minimum=1,
        multiple_of=ONE,
        unit_usd_month=None if usd_hour is None else usd_hour * f.month_hours,
    )
    billed = units.count - 1 if tier == "basic" else units.count
    gb, kept = f"confluent.{tier}.gb", f.kept_gb(usage.retention.days.value) * COPIES
    charges = (
        Charge("eCKU", "compute", billed * f.month_hours, "eCKU-hour", f"confluent.{tier}.ecku", units.idle_share),
        Charge("data in", "ingress", f.gb_month(f.wire_mb_s), "GB", gb),
        Charge("data out", "egress", f.gb_month(f.egress_mb_s), "GB", gb),
        Charge("storage, three copies", "storage", kept, "GB-month", "confluent.storage"),
    )
    rules = ("replication factor is fixed at 3; eCKUs held at the peak all month", "no cloud network charges counted")
    parts = (Part("eCKU", units.count, units.because),)
    return Deployment(platform, usage.region, parts, charges, units.bound_by, rules)


def size_flink(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """CFUs by cores. No conversion is published: one core a CFU is an assumption, with a band."""
    f, platform = flow(usage), "flink-confluent"
    per_core = prices.banded("confluent.cfu_per_core")
    usd_hour = prices.usd("confluent.flink.cfu", usage.region)
    units = fleet(
        [flink.cores(usage, f, platform, cores_per_unit=1 / per_core)],
        what="CFU",
        minimum=1,
        multiple_of=ONE,
        unit_usd_month=None if usd_hour is None else usd_hour * f.month_hours,
    )
    hours = units.count * f.month_hours
    charges = (Charge("CFU", "processing", hours, "CFU-hour", "confluent.flink.cfu", units.idle_share),)
    rules = (
        *flink.assumptions(usage, platform, prices),
        f"one core taken as {per_core:f} CFU: unpublished, unverified",
    )
    return Deployment(
        platform, usage.region, (Part("CFU", units.count, units.because),), charges, units.bound_by, rules
    )


def flink_unit(usage: Usage, prices: Catalog) -> ScalingUnit:
    """A CFU: the vendor holds the rest, so that nothing stays."""
    cores = 1 / prices.banded("confluent.cfu_per_core")
    usd = prices.require("confluent.flink.cfu", usage.region)
    return ScalingUnit("CFU", cores, usd, ("confluent.flink.cfu",))


def _parts(tier: str) -> dict[str, Standing]:
    return {
        "ecku": timed("eCKU", "compute", f"confluent.{tier}.ecku", "eCKU-hour"),
        "data-in": measured("data in", "ingress", f"confluent.{tier}.gb", "GB", "gb"),
        "data-out": measured("data out", "egress", f"confluent.{tier}.gb", "GB", "gb"),
        "storage": measured("storage, three copies", "storage", "confluent.storage", "GB-month", "gb"),
    }


PLATFORMS = [
    *(
        Platform(
            f"confluent-{tier}",
            "kafka",
            f"Confluent Cloud, {tier.title()}",
            partial(size, tier=tier),
            _parts(tier),
            serverless=True,
            copies=3,  # as its bill counts storage
        )
        for tier in ("basic", "standard", "enterprise")
    ),
    Platform(
        "flink-confluent",
        "flink",
        "Flink on Confluent Cloud",
        size_flink,
        {"cfu": timed("CFU", "processing", "confluent.flink.cfu", "CFU-hour")},
        flink_unit,
        serverless=True,
    ),
]
