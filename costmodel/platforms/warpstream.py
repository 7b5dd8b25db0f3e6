"""WarpStream: agents on your own EC2, data in your own S3, and a fee on uncompressed bytes."""

from __future__ import annotations

from decimal import Decimal

from costmodel.platforms import Platform
from costmodel.prices import Catalog
from costmodel.sizing import (
    GIB,
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
    zone_fill,
)
from costmodel.usage import Usage

AGENT_TYPES = ("m7g.large", "m7g.xlarge", "m7g.2xlarge", "m7g.4xlarge")
TIERS = ("fundamentals", "pro")


def size(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """The cheapest tier that takes the partitions; agents by network and CPU; no traffic between zones."""
    f, limits = flow(usage), prices.quota("warpstream.partitions")
    broken = over_quota("warpstream", [Check("partitions", f.partitions, limits[TIERS[-1]], "partitions")], f.raw_mb_s)
    if broken:
        return broken
    tier = next(name for name in TIERS if f.partitions <= limits[name])
    kind, agents = cheapest(
        usage,
        prices,
        AGENT_TYPES,
        lambda kind: _constraints(usage, f, prices, kind),
        price="ec2.{}",
        what="agent",
        minimum=3,
        multiple_of=f.zones,
        beside=lambda count: _requests_usd(usage, f, prices, count),
    )
    days = usage.retention.days.value
    raw_kept_gib = f.gib(f.raw_mb_s * days * 86_400 / f.k)
    puts, gets = _requests(f, prices, agents.count)
    charges = (
        Charge(f"cluster, {tier}", "fixed", Decimal(1), "month", f"warpstream.cluster.{tier}"),
        Charge("uncompressed data written", "ingress", f.gib(f.gb_month(f.raw_mb_s)), "GiB", "warpstream.write"),
        Charge("uncompressed data stored", "storage", raw_kept_gib, "GiB-month", "warpstream.storage"),
        Charge(
            f"agent {kind}",
            "compute",
            agents.count * f.month_hours,
            "hour",
            f"ec2.{kind}",
            agents.idle_share,
            committed=True,
        ),
        Charge("data in S3", "storage", f.kept_gb(days), "GB-month", "s3.std.gb"),
        Charge("S3 PUT", "requests", puts / 1000, "1000 requests", "s3.put_1k"),
        Charge("S3 GET", "requests", gets / 1000, "1000 requests", "s3.get_1k"),
    )
    rules = (
        "an agent writes an object every 250 ms or 4 MiB, read once a zone, and compaction doubles both (unverified)",
        "clients talk to agents in their own zone",
    )
    parts = (
        Part(f"agent {kind}", agents.count, agents.because),
        Part("cluster", Decimal(1), f"{tier}: up to {limits[tier]:,} partitions"),
    )
    return Deployment("warpstream", usage.region, parts, charges, agents.bound_by, rules)


def _constraints(usage: Usage, f: Flow, prices: Catalog, kind: str) -> list[Constraint]:
    shape = prices.quota("ec2.shapes")[kind]
    network, cpu = (zone_fill(fill.value, f.zones) for fill in (usage.sizing.network_fill, usage.sizing.cpu_fill))
    net, wire = f.net_mb_s(shape["net_gbps"]), f.wire_mb_s
    cores = f.rate_eps * usage.broker.cpu_s_per_million_events.value / 1_000_000 / usage.broker.speed_factor.value
    return [
        rated("network out", "MB/s", mean=wire * (1 + f.groups), peak=f.peak, whole=net, fill=network),
        rated("network in", "MB/s", mean=wire * (1 + f.zones), peak=f.peak, whole=net, fill=network),
        rated("CPU", "core", mean=cores, peak=f.peak, whole=shape["vcpu"], fill=cpu),
    ]


def _requests(f: Flow, prices: Catalog, agents: Decimal) -> tuple[Decimal, Decimal]:
    flush = prices.quota("warpstream.flush")
    by_size = f.wire_mb_s * f.mb_bytes / (flush["object_mib"] * GIB / 1024)
    puts = max(by_size, agents * flush["objects_s_per_agent"]) * f.month_s
    return puts * 2, puts * 2 * flush["gets_per_put"]


def _requests_usd(usage: Usage, f: Flow, prices: Catalog, agents: Decimal) -> Decimal:
    """USD an hour of S3 requests: more, smaller agents write more, smaller objects."""
    thousands = zip(("s3.put_1k", "s3.get_1k"), _requests(f, prices, agents), strict=True)
    month = sum(((prices.usd(name, usage.region) or Decimal(0)) * n / 1000 for name, n in thousands), Decimal(0))
    return month / f.month_hours


PLATFORMS = [
    # S3's storage classes: Standard keeps an object in three zones or more
    Platform("warpstream", "kafka", "WarpStream on your own EC2 and S3", size, copies=3)
]
