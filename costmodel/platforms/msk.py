"""Amazon MSK: Standard brokers, with tiered storage, Express brokers, Serverless. Replication is free of charge."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import partial

from costmodel import brokers
from costmodel.platforms import Platform, measured, timed
from costmodel.prices import Catalog
from costmodel.sizing import (
    Binding,
    Charge,
    Check,
    Constraint,
    Deployment,
    Flow,
    Infeasible,
    Part,
    cheapest,
    flow,
    over_quota,
    rated,
)
from costmodel.usage import Usage

STANDARD_TYPES = ("m7g.large", "m7g.xlarge", "m7g.2xlarge", "m7g.4xlarge")  # t3.small is burstable: not sized with
EXPRESS_TYPES = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")


def size_standard(usage: Usage, prices: Catalog, *, platform: str, tiered: bool = False) -> Deployment | Infeasible:
    """Brokers as on EC2, with MSK's storage limit; traffic between brokers is free."""
    f = flow(usage)
    days = usage.retention.days.value
    least = prices.quota("msk.tiered.min_retention_days")
    if tiered and days < least:
        return Infeasible(
            platform, f"tiered topics keep at least {least} days, {days} asked", f"retention of {least} days"
        )
    local_days = min(usage.retention.tiered_local_days.value, days) if tiered else days
    disk_gb = f.kept_gb(local_days) * f.rf / usage.sizing.disk_fill.value
    max_gib = prices.quota("msk.std.storage_gib_per_broker")["max"]
    kind, group = cheapest(
        usage,
        prices,
        STANDARD_TYPES,
        lambda kind: brokers.constraints(usage, f, prices, kind, disk_gb=disk_gb, max_disk_gib=max_gib, tiered=tiered),
        price="msk.std.{}",
        what="broker",
        minimum=max(3, int(f.rf)),
        multiple_of=f.zones,
    )
    tier = Charge("tiered storage", "storage", f.kept_gb(days), "GB-month", "msk.tiered.storage")
    charges = (
        Charge(
            f"broker {kind}", "compute", group.count * f.month_hours, "broker-hour", f"msk.std.{kind}", group.idle_share
        ),
        Charge("broker storage", "storage", disk_gb, "GB-month", "msk.std.storage"),
        *((tier,) if tiered else ()),
        # AWS describes it for these brokers (Big Data Blog, "Reduce network traffic costs of your Amazon MSK consumers
        # with rack awareness", 2022); of Express and Serverless nothing of the kind is known: they are billed without
        _client_traffic(f, fetch_from_follower=usage.consumers.fetch_from_follower),
    )
    parts = (
        Part(f"broker {kind}", group.count, group.because),
        Part(
            "GB of broker storage",
            disk_gb,
            f"{local_days:f} days x RF {f.rf:f}, {usage.sizing.disk_fill.value:.0%} full",
        ),
    )
    rules = brokers.assumptions(usage, follower=usage.consumers.fetch_from_follower)
    return Deployment(
        platform, usage.region, parts, charges, group.bound_by, (*rules, "replication between brokers is free")
    )


def size_express(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """Brokers by the vendor's sustained rates; storage by use, with no disk to fill."""
    f = flow(usage)
    per_partition = prices.quota("msk.express.mb_s_per_partition")
    broken = over_quota("msk-express", [_per_partition("ingress", f.wire_mb_s * f.peak, f, per_partition)], f.raw_mb_s)
    if broken:
        return broken
    rates, limits = prices.quota("msk.express.mb_s_per_broker"), prices.quota("msk.express.partitions_per_broker")

    def constraints(kind: str) -> list[Constraint]:
        rate_in, rate_out = (f.disk_path_mb_s(rate) for rate in rates[kind])
        return [
            rated("in", "MB/s", mean=f.wire_mb_s, peak=f.peak, whole=rate_in),
            rated("out", "MB/s", mean=f.egress_mb_s, peak=f.peak, whole=rate_out),
            Constraint("partitions", f.partitions, limits[kind] / 3, "partition"),
        ]

    kind, group = cheapest(
        usage,
        prices,
        EXPRESS_TYPES,
        constraints,
        price="msk.express.m7g.{}",
        what="broker",
        minimum=3,
        multiple_of=Decimal(3),
    )
    stored = f.kept_gb(usage.retention.days.value)
    copies = prices.banded("msk.express.storage_copies")
    charges = (
        Charge(
            f"broker m7g.{kind}",
            "compute",
            group.count * f.month_hours,
            "broker-hour",
            f"msk.express.m7g.{kind}",
            group.idle_share,
        ),
        Charge("data written", "ingress", f.gb_month(f.wire_mb_s), "GB", "msk.express.data_in"),
        Charge("storage used", "storage", stored * copies, "GB-month", "msk.express.storage"),
        _client_traffic(f),
    )
    note = "storage counted as one copy; the vendor's text may mean three: the band reaches that far"
    parts = (Part(f"broker m7g.{kind}", group.count, group.because),)
    return Deployment(
        "msk-express",
        usage.region,
        parts,
        charges,
        group.bound_by,
        ("replication factor is fixed at 3, in 3 zones", note),
    )


def size_serverless(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """Nothing to size: quotas are checked, and each partition is billed by the hour."""
    f = flow(usage)
    quota = prices.quota("msk.serverless")
    peak_in, peak_out = f.wire_mb_s * f.peak, f.egress_mb_s * f.peak
    broken = over_quota(
        "msk-serverless",
        [
            Check("ingress", peak_in, quota["ingress_mb_s"]),
            Check("egress", peak_out, quota["egress_mb_s"]),
            _per_partition("ingress", peak_in, f, quota["partition_in_mb_s"]),
            _per_partition("egress", peak_out, f, quota["partition_out_mb_s"]),
            Check("partitions", f.partitions, quota["partitions"], "partitions"),
            Check("consumer groups", f.groups, quota["consumer_groups"], "groups"),
        ],
        f.raw_mb_s,
    )
    if broken:
        return broken
    hours = f.month_hours
    charges = (
        Charge("cluster", "fixed", hours, "cluster-hour", "msk.serverless.cluster"),
        Charge("partitions", "partitions", f.partitions * hours, "partition-hour", "msk.serverless.partition"),
        Charge("data in", "ingress", f.gb_month(f.wire_mb_s), "GB", "msk.serverless.in"),
        Charge("data out", "egress", f.gb_month(f.egress_mb_s), "GB", "msk.serverless.out"),
        Charge("storage", "storage", f.kept_gb(usage.retention.days.value), "GB-month", "msk.serverless.storage"),
        _client_traffic(f),
    )
    shadow = prices.usd("msk.serverless.partition", usage.region)
    bound = Binding(
        "none: billed by use, each partition by the hour",
        f"egress quota {quota['egress_mb_s']} MB/s at peak",
        None if shadow is None else shadow * hours,
        "partition",
    )
    parts = (Part("cluster", Decimal(1), "serverless"), Part("partition", f.partitions, "as described"))
    return Deployment("msk-serverless", usage.region, parts, charges, bound, ("storage counted as one copy",))


def _per_partition(name: str, peak_mb_s: Decimal, f: Flow, quota: Decimal) -> Check:
    enough = math.ceil(peak_mb_s / quota)
    return Check(f"{name} per partition", peak_mb_s / f.partitions, quota, partitions=enough)


def _client_traffic(f: Flow, *, fetch_from_follower: bool = False) -> Charge:
    cross = f.cross_zone_mb_s(replication=False, fetch_from_follower=fetch_from_follower)
    return Charge("client traffic between zones", "cross-zone", f.gb_month(cross), "GB moved", "net.cross_az")


_STANDARD = {
    "broker": timed("broker", "compute", "msk.std.{type}", "broker-hour"),
    "storage": measured("broker storage", "storage", "msk.std.storage", "GB-month", "gb"),
    "tiered-storage": measured("tiered storage", "storage", "msk.tiered.storage", "GB-month", "gb"),
    "cross-zone": measured("client traffic between zones", "cross-zone", "net.cross_az", "GB moved", "gb"),
}
_EXPRESS = {
    "broker": timed("broker", "compute", "msk.express.{type}", "broker-hour"),
    "data-in": measured("data written", "ingress", "msk.express.data_in", "GB", "gb"),
    "storage": measured("storage used", "storage", "msk.express.storage", "GB-month", "gb"),
}
_SERVERLESS = {
    "cluster": timed("cluster", "fixed", "msk.serverless.cluster", "cluster-hour"),
    "partition": timed("partitions", "partitions", "msk.serverless.partition", "partition-hour"),
    "data-in": measured("data in", "ingress", "msk.serverless.in", "GB", "gb"),
    "data-out": measured("data out", "egress", "msk.serverless.out", "GB", "gb"),
    "storage": measured("storage", "storage", "msk.serverless.storage", "GB-month", "gb"),
}
PLATFORMS = [
    Platform(
        "msk-standard",
        "kafka",
        "Amazon MSK, Standard brokers",
        partial(size_standard, platform="msk-standard"),
        _STANDARD,
    ),
    Platform(
        "msk-tiered",
        "kafka",
        "Amazon MSK, Standard brokers with tiered storage",
        partial(size_standard, platform="msk-tiered", tiered=True),
        _STANDARD,
    ),
    # both: "replication factor 3", which cannot be set (MSK developer guide: Express configurations; Serverless topics)
    Platform("msk-express", "kafka", "Amazon MSK, Express brokers", size_express, _EXPRESS, copies=3),
    Platform(
        "msk-serverless", "kafka", "Amazon MSK Serverless", size_serverless, _SERVERLESS, serverless=True, copies=3
    ),
]
