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
    CPU: the measured CPU-seconds are taken once per replica. Disk path: writes; tail reads come from the page cache.
    """
    shape: Mapping[str, Decimal] = prices.quota("ec2.shapes")[kind]
    fill = usage.sizing
    network, cpu = (zone_fill(share.value, f.zones) for share in (fill.network_fill, fill.cpu_fill))
    wire, peak, rf = f.wire_mb_s, f.peak, f.rf
    cores = f.events_s * usage.broker.cpu_s_per_million_events.value / 1_000_000 * rf / usage.broker.speed_factor.value
    net = f.net_mb_s(shape["net_gbps"])
    limit = prices.quota("msk.std.partitions_per_broker")[kind.split(".")[1]]
    return [
        rated("network out", wire * (rf - 1 + f.groups + (1 if tiered else 0)), peak, net, network, "MB/s"),
        rated("network in", wire * rf, peak, net, network, "MB/s"),
        rated("disk path", f.disk_mb_s * rf, peak, f.disk_path_mb_s(shape["ebs_mb_s"]), network, "MB/s"),
        rated("CPU", cores, peak, shape["vcpu"], cpu, "cores"),
        Constraint("partitions", f.partitions, limit / rf, "partition"),
        Constraint("disk", disk_gb, f.gb_of_gib(max_disk_gib), "GB"),
    ]


def assumptions(usage: Usage, *, follower: bool) -> tuple[str, ...]:
    """The rules that shaped a broker fleet, as they are printed under every bill."""
    s = usage.sizing
    return (
        (f"brokers: baselines, not bursts; at peak network and disk path {s.network_fill.value:.0%}, CPU {s.cpu_fill.value:.0%} full, "
        "and under 100 % with one zone gone; disk "
        f"{s.disk_fill.value:.0%} full; broker CPU counted once per replica"),
        "consumers read from "
        + ("a replica in their own zone where there is one" if follower else "the leader, wherever it is"),
    )
