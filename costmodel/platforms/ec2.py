"""Self-managed Kafka on EC2 with EBS: plain, with fetch from follower, with tiered storage in S3."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial

from bench.errors import ScenarioError
from costmodel import brokers, documents, flink
from costmodel.platforms import Platform, measured, timed
from costmodel.prices import Catalog
from costmodel.sizing import (
    DAY_S,
    GIB,
    Charge,
    Deployment,
    Flow,
    Infeasible,
    Part,
    ScalingUnit,
    cheapest,
    flow,
    processing,
)
from costmodel.usage import Usage

TYPES = (
    "m7g.large",
    "m7g.xlarge",
    "m7g.2xlarge",
    "m7g.4xlarge",
    "r7g.large",
    "r7g.xlarge",
    "r7g.2xlarge",
    "r7g.4xlarge",
)
FLINK_TYPES = ("m7g.large", "m7g.xlarge", "m7g.2xlarge", "m7g.4xlarge")  # 4 GB a core, as a KPU has


def size(
    usage: Usage, prices: Catalog, *, platform: str, follower: bool = False, tiered: bool = False
) -> Deployment | Infeasible:
    """Brokers by baselines, EBS for the retention (or its local part), S3 for the rest; all replication paid."""
    f = flow(usage)
    follower = follower or usage.consumers.fetch_from_follower
    days = usage.retention.days.value
    local_days = min(usage.retention.tiered_local_days.value, days) if tiered else days
    disk_gb = f.kept_gb(local_days) * f.rf / usage.sizing.disk_fill.value
    volume = prices.quota("ebs.volume")
    kind, group = cheapest(
        usage,
        prices,
        _types(usage, prices),
        lambda kind: brokers.constraints(
            usage,
            f,
            prices,
            kind,
            disk_gb=disk_gb,
            max_disk_gib=volume["max_gib"] * volume["per_instance"],
            tiered=tiered,
        ),
        price="ec2.{}",
        what="broker",
        minimum=max(3, int(f.rf)),
        multiple_of=f.zones,
    )
    disk = usage.storage.disk
    cross = f.cross_zone_mb_s(replication=True, fetch_from_follower=follower)
    charges = (
        Charge(
            f"broker {kind}",
            "compute",
            group.count * f.month_hours,
            "hour",
            f"ec2.{kind}",
            group.idle_share,
            committed=True,
        ),
        Charge(f"broker disk {disk}", "storage", disk_gb, "GB-month", f"ebs.{disk}.gb"),
        Charge("traffic between zones", "cross-zone", f.gb_month(cross), "GB moved", "net.cross_az"),
        *(_s3_tier(f, days, prices) if tiered else ()),
    )
    parts = (
        Part(f"broker {kind}", group.count, group.because),
        Part(
            f"GB of {disk}",
            disk_gb,
            f"{local_days:f} days x RF {f.rf:f} of {f.disk_mb_s * DAY_S / f.k:.4g} GB a day, "
            f"{usage.sizing.disk_fill.value:.0%} full; "
            "striped over volumes whose free baselines carry the writes",
        ),
    )
    return Deployment(
        platform, usage.region, parts, charges, group.bound_by, brokers.assumptions(usage, follower=follower)
    )


def size_flink(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """TaskManagers by cores, a JobManager beside them, state on gp3, checkpoints in S3."""
    f, platform = flow(usage), "flink-ec2"
    shapes, job = prices.quota("ec2.shapes"), processing(usage, platform)
    kind, group = cheapest(
        usage,
        prices,
        _flink_types(usage, prices),
        lambda kind: [flink.cores(usage, f, platform, cores_per_unit=shapes[kind]["vcpu"])],
        price="ec2.{}",
        what="TaskManager",
        minimum=1,
        multiple_of=Decimal(1),
    )
    hours, disk_gb = f.month_hours, job.state_gb.value / usage.sizing.disk_fill.value
    manager = FLINK_TYPES[0]
    charges = (
        Charge(
            f"TaskManager {kind}",
            "processing",
            group.count * hours,
            "hour",
            f"ec2.{kind}",
            group.idle_share,
            committed=True,
        ),
        Charge(f"JobManager {manager}", "processing", hours, "hour", f"ec2.{manager}", committed=True),
        Charge("state on gp3", "storage", disk_gb, "GB-month", "ebs.gp3.gb"),
        *flink.checkpoints_in_s3(usage, f, platform),
    )
    parts = (
        Part(f"TaskManager {kind}", group.count, group.because),
        Part(f"JobManager {manager}", Decimal(1), "one a cluster"),
    )
    rules = flink.assumptions(usage, platform, prices)
    return Deployment(platform, usage.region, parts, charges, group.bound_by, rules)


def flink_unit(usage: Usage, prices: Catalog) -> ScalingUnit:
    """The usage's TaskManager, else the smallest: the finest steps at the same price a core. The JobManager stays."""
    kind, manager = _flink_types(usage, prices)[0], f"ec2.{FLINK_TYPES[0]}"
    price, always = f"ec2.{kind}", prices.require(manager, usage.region)
    usd, cores = prices.require(price, usage.region), prices.quota("ec2.shapes")[kind]["vcpu"]
    used = (price, manager)
    return ScalingUnit(f"TaskManager {kind}", cores, usd, used, always_usd_hour=always, committable=True)


def _flink_types(usage: Usage, prices: Catalog) -> Sequence[str]:
    kind = processing(usage, "flink-ec2").task_manager
    if not kind:
        return FLINK_TYPES
    shapes = prices.quota("ec2.shapes")
    if kind not in shapes:
        raise ScenarioError(
            f"processing.task_manager: no shape catalogued for {kind!r}; {documents.nearest(kind, shapes)}"
        )
    return (kind,)


def _types(usage: Usage, prices: Catalog) -> Sequence[str]:
    chosen = usage.sizing.ec2_types or TYPES
    shapes = prices.quota("ec2.shapes")
    for kind in chosen:
        if kind not in shapes:
            raise ScenarioError(
                f"sizing.ec2_types: no baseline catalogued for {kind!r}; {documents.nearest(kind, shapes)}"
            )
    return chosen


def _s3_tier(f: Flow, days: Decimal, prices: Catalog) -> tuple[Charge, ...]:
    """One copy of the whole retention in S3 (segments are uploaded while local copies still exist), and its PUTs.

    Reading history back is not priced: consumers are taken to follow the tail.
    """
    segment = prices.quota("tiered.segment")
    uploads = f.gb_month(f.disk_mb_s) * f.k * f.mb_bytes / (segment["mib"] * GIB / 1024) * segment["objects"]
    return (
        Charge("tiered segments in S3", "storage", f.kept_gb(days), "GB-month", "s3.std.gb"),
        Charge("uploads of segments", "requests", uploads / 1000, "1000 requests", "s3.put_1k"),
    )


_PARTS = {
    "broker": timed("broker", "compute", "ec2.{type}", "hour"),
    "storage": measured("broker disk", "storage", "ebs.{type}.gb", "GB-month", "gb"),
    "cross-zone": measured("traffic between zones", "cross-zone", "net.cross_az", "GB moved", "gb"),
}
PLATFORMS = [
    Platform("self-ec2", "kafka", "your own brokers on EC2", partial(size, platform="self-ec2"), _PARTS),
    Platform(
        "self-ec2-fff",
        "kafka",
        "your own brokers on EC2, consumers fetch from the follower in their zone",
        partial(size, platform="self-ec2-fff", follower=True),
        _PARTS,
    ),
    Platform(
        "self-ec2-tiered",
        "kafka",
        "your own brokers on EC2, old segments in S3",
        partial(size, platform="self-ec2-tiered", tiered=True),
        _PARTS,
    ),
    Platform(
        "flink-ec2",
        "flink",
        "your own Flink on EC2",
        size_flink,
        {
            "task-manager": timed("TaskManager", "processing", "ec2.{type}", "hour"),
            "job-manager": timed("JobManager", "processing", "ec2.{type}", "hour"),
        },
        flink_unit,
    ),
]
