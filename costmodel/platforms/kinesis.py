"""Amazon Kinesis Data Streams, provisioned and on demand. It sees raw bytes: producers do not compress batches."""

from __future__ import annotations

import math
from decimal import Decimal

from costmodel.platforms import Platform, measured, timed
from costmodel.prices import Catalog
from costmodel.sizing import (
    Binding,
    Charge,
    Check,
    Deployment,
    Fleet,
    Flow,
    Infeasible,
    Part,
    fleet,
    flow,
    over_quota,
    rated,
)
from costmodel.usage import Usage

PAYLOAD_UNIT_BYTES = 25 * 1024
RECORD_STEP_BYTES = 1024
RAW = "raw bytes: batches are not compressed on the way, records not aggregated"


def size_provisioned(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """Shards for the peak; consumers share their read limit, or pay for enhanced fan-out where that is cheaper."""
    f, days = flow(usage), usage.retention.days.value
    too_long = _retention(prices, "kinesis-provisioned", days)
    if too_long:
        return too_long
    month = {name: _month_usd(prices, f"kinesis.{name}", usage.region, f) for name in ("shard", "ext_retention")}
    unit = None if month["shard"] is None else month["shard"] + ((month["ext_retention"] or 0) if days > 1 else 0)
    shared, alone = (_shards(f, prices, unit, share_reads=share) for share in (True, False))
    fan_out = _fan_out(f, alone)
    use_fan_out = unit is not None and _cost(prices, usage.region, fan_out) + alone.count * unit < shared.count * unit
    group = alone if use_fan_out else shared
    units = f.events_month * math.ceil(f.record_bytes / PAYLOAD_UNIT_BYTES) / 1_000_000
    hours = group.count * f.month_hours
    charges = (
        Charge("shard", "compute", hours, "shard-hour", "kinesis.shard", group.idle_share),
        Charge("PUT payload units", "requests", units, "million units", "kinesis.put_units"),
        *(
            (Charge("retention beyond 24 h", "storage", hours, "shard-hour", "kinesis.ext_retention"),)
            if days > 1
            else ()
        ),
        *(_long(f, days, "kinesis.long_retention")),
        *(fan_out if use_fan_out else ()),
    )
    rules = (RAW, "enhanced fan-out for each group" if use_fan_out else "groups share each shard's reads")
    parts = (Part("shard", group.count, group.because),)
    return Deployment("kinesis-provisioned", usage.region, parts, charges, group.bound_by, rules)


def size_on_demand(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """Billed by GB, each record rounded up to 1 KB."""
    f, days = flow(usage), usage.retention.days.value
    most = f.disk_path_mb_s(prices.quota("kinesis.on_demand.in_mb_s"))
    broken = _retention(prices, "kinesis-on-demand", days) or over_quota(
        "kinesis-on-demand", [Check("ingress", f.raw_mb_s * f.peak, most)], f.raw_mb_s
    )
    if broken:
        return broken
    rounded = math.ceil(f.record_bytes / RECORD_STEP_BYTES) * RECORD_STEP_BYTES
    written = f.gb_month(f.raw_mb_s) * rounded / f.record_bytes
    middle = max(min(days, Decimal(7)) - 1, Decimal(0))
    charges = (
        Charge("stream", "fixed", f.month_hours, "stream-hour", "kinesis.ondemand.stream"),
        Charge("data in", "ingress", written, "GB", "kinesis.ondemand.in"),
        Charge("data out", "egress", f.gb_month(f.raw_mb_s) * f.groups, "GB", "kinesis.ondemand.out"),
        Charge("retention of 1 to 7 days", "storage", _kept(f, middle), "GB-month", "kinesis.ondemand.ext_retention"),
        *(_long(f, days, "kinesis.ondemand.long_retention")),
    )
    bound = Binding("none: billed by use", f"ingress quota {most:f} MB/s at peak", Decimal(0))
    rules = (RAW, "each record billed as a multiple of 1 KB on the way in")
    return Deployment(
        "kinesis-on-demand", usage.region, (Part("stream", Decimal(1), "serverless"),), charges, bound, rules
    )


def _shards(f: Flow, prices: Catalog, unit_usd_month: Decimal | None, *, share_reads: bool) -> Fleet:
    quota = prices.quota("kinesis.shard")
    one = f.disk_path_mb_s(quota["in_mb_s"])
    out = f.disk_path_mb_s(quota["out_mb_s"])
    found = [
        rated("bytes in", "MB/s", mean=f.raw_mb_s, peak=f.peak, whole=one),
        rated("records in", "record/s", mean=f.rate_eps, peak=f.peak, whole=quota["in_records_s"]),
    ]
    if share_reads:
        found.append(rated("bytes out", "MB/s", mean=f.raw_mb_s * f.groups, peak=f.peak, whole=out))
    return fleet(found, what="shard", minimum=1, multiple_of=Decimal(1), unit_usd_month=unit_usd_month)


def _fan_out(f: Flow, group: Fleet) -> tuple[Charge, ...]:
    hours = group.count * f.groups * f.month_hours
    return (
        Charge("enhanced fan-out", "compute", hours, "consumer-shard-hour", "kinesis.efo.consumer_shard_hour"),
        Charge("data out, enhanced fan-out", "egress", f.gb_month(f.raw_mb_s) * f.groups, "GB", "kinesis.efo.gb"),
    )


def _cost(prices: Catalog, region: str, charges: tuple[Charge, ...]) -> Decimal:
    """What charges cost, infinite if a price is missing: what is unpriced is never chosen for being cheap."""
    amounts = [(prices.usd(charge.price, region), charge.quantity) for charge in charges]
    return sum((Decimal("Infinity") if usd is None else usd * quantity for usd, quantity in amounts), Decimal(0))


def _month_usd(prices: Catalog, price: str, region: str, f: Flow) -> Decimal | None:
    usd = prices.usd(price, region)
    return None if usd is None else usd * f.month_hours


def _kept(f: Flow, days: Decimal) -> Decimal:
    return f.raw_mb_s * days * 86_400 / f.k


def _long(f: Flow, days: Decimal, price: str) -> tuple[Charge, ...]:
    beyond = max(days - 7, Decimal(0))
    return (Charge("retention beyond 7 days", "storage", _kept(f, beyond), "GB-month", price),)


def _retention(prices: Catalog, platform: str, days: Decimal) -> Infeasible | None:
    most = prices.quota("kinesis.retention_days_max")
    if days <= most:
        return None
    return Infeasible(platform, f"retention: {days:f} days over the quota of {most}", f"retention of {most} days")


PLATFORMS = [
    Platform(
        "kinesis-provisioned",
        "kafka",
        "Amazon Kinesis, provisioned shards",
        size_provisioned,
        {
            "shard": timed("shard", "compute", "kinesis.shard", "shard-hour"),
            "extended-retention": timed("retention beyond 24 h", "storage", "kinesis.ext_retention", "shard-hour"),
            "put-units": measured("PUT payload units", "requests", "kinesis.put_units", "million units", "millions"),
        },
        speaks="Kinesis",
        serverless=True,
        copies=3,  # Kinesis Data Streams FAQ: replicated to three zones before it answers
    ),
    Platform(
        "kinesis-on-demand",
        "kafka",
        "Amazon Kinesis, on demand",
        size_on_demand,
        {
            "stream": timed("stream", "fixed", "kinesis.ondemand.stream", "stream-hour"),
            "data-in": measured("data in", "ingress", "kinesis.ondemand.in", "GB", "gb"),
            "data-out": measured("data out", "egress", "kinesis.ondemand.out", "GB", "gb"),
        },
        speaks="Kinesis",
        serverless=True,
        copies=3,  # Kinesis Data Streams FAQ: replicated to three zones before it answers
    ),
]
