"""What binds a Kafka broker on a machine with physical baselines: self-managed on EC2, or MSK's Standard brokers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from costmodel.prices import Catalog
from costmodel.sizing import Constraint, Flow, rated, zone_fill
from costmodel.usage import Usage


def constraints(
    usage: Usage, f: Flow, prices: Catalog, kind: str, *, disk_gb: Decimal, max_disk_gib: Decimal, tiered: bool
) -> list[Constraint]:
    """Constraints of one broker of instance type `kind`, which must be among the catalogued shapes.

    Network by direction: each replica's bytes come in; followers, consumer groups and the upload to S3 take them out.
    CPU: the measured CPU-seconds for the leader, a share of them for each follower. Disk path: writes; tail reads come
    from the page cache.
    """
    shape: Mapping[str, Decimal] = prices.quota("ec2.shapes")[kind]
    fill = usage.sizing
    network, cpu = (zone_fill(share.value, f.zones) for share in (fill.network_fill, fill.cpu_fill))
    wire, peak, rf = f.wire_mb_s, f.peak, f.rf
    copies = 1 + (rf - 1) * usage.broker.follower_cpu_share.value
    cores = (
        f.rate_eps * usage.broker.cpu_s_per_million_events.value / 1_000_000 * copies / usage.broker.speed_factor.value
    )
    net = f.net_mb_s(shape["net_gbps"])
    limit = prices.quota("msk.std.partitions_per_broker")[kind.split(".")[1]]
    return [
        rated(
            "network out",
            "MB/s",
            mean=wire * (rf - 1 + f.groups + (1 if tiered else 0)),
            peak=peak,
            whole=net,
            fill=network,
        ),
        rated("network in", "MB/s", mean=wire * rf, peak=peak, whole=net, fill=network),
        rated(
            "disk path",
            "MB/s",
            mean=f.disk_mb_s * rf,
            peak=peak,
            whole=f.disk_path_mb_s(shape["ebs_mb_s"]),
            fill=network,
        ),
        rated("CPU", "cores", mean=cores, peak=peak, whole=shape["vcpu"], fill=cpu),
        Constraint("partitions", f.partitions, limit / rf, "partition"),
        Constraint("disk", disk_gb, f.gb_of_gib(max_disk_gib), "GB"),
    ]


def assumptions(usage: Usage, *, follower: bool) -> tuple[str, ...]:
    """The rules that shaped a broker fleet, as they are printed under every bill."""
    s = usage.sizing
    sized = (
        f"brokers by baselines, not bursts: at peak network and disk path {s.network_fill.value:.0%}, CPU "
        f"{s.cpu_fill.value:.0%} full, under 100 % with one zone gone; disk {s.disk_fill.value:.0%} full; "
        f"a follower takes {usage.broker.follower_cpu_share.value:.0%} of its leader's CPU"
    )
    place = "a replica in their own zone where there is one" if follower else "the leader, in whatever zone it is"
    return sized, f"consumers read from {place}"
