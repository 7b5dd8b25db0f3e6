"""Azure Event Hubs: Standard throughput units, or Premium processing units where Standard does not reach."""

from __future__ import annotations

import math
from decimal import Decimal

from costmodel.platforms import Platform, measured, timed
from costmodel.prices import Catalog
from costmodel.sizing import (
    Charge,
    Check,
    Constraint,
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

NEAREST = {"us-east-1": "eastus"}  # a region named as AWS does -> where Azure's prices are catalogued
ID = "event-hubs"


def size(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """The cheaper of the two tiers that carries it. A missing price is never the cheaper one."""
    found = [_standard(usage, prices), _premium(usage, prices)]
    sized = [option for option in found if not isinstance(option, Infeasible)]
    if not sized:
        return next(option for option in reversed(found) if isinstance(option, Infeasible))
    return min(sized, key=lambda option: _usd(option, prices))


def _standard(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    f, tier = flow(usage), prices.quota("eventhubs.standard")
    broken = _too_much(usage, f, tier) or over_quota(
        ID,
        [Check("events in", f.rate_eps * f.peak, tier["in_events_s"] * tier["max_units"], "events/s")],
        f.raw_mb_s,
    )
    if broken:
        return broken
    events = (
        rated("events in", "event/s", mean=f.rate_eps, peak=f.peak, whole=tier["in_events_s"]),
        rated("events out", "event/s", mean=f.rate_eps * f.groups, peak=f.peak, whole=tier["out_events_s"]),
    )
    price = "azure.eventhubs.standard.tu"
    units = _units(usage, f, prices, tier, price=price, what="throughput unit", more=events)
    million = f.events_month * math.ceil(f.record_bytes / (prices.quota("eventhubs.event_kib") * 1024)) / 1_000_000
    charges = (
        Charge("throughput unit", "compute", units.count * f.month_hours, "TU-hour", price, units.idle_share),
        Charge("ingress events", "requests", million, "million events", "azure.eventhubs.events"),
        *_overage(usage, f, tier, units, "standard"),
    )
    return _deployment(usage, units, charges, "throughput unit")


def _premium(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    f, tier = flow(usage), prices.quota("eventhubs.premium")
    broken = _too_much(usage, f, tier)
    if broken:
        return broken
    price = "azure.eventhubs.premium.pu"
    units = _units(usage, f, prices, tier, price=price, what="processing unit")
    charges = (
        Charge("processing unit", "compute", units.count * f.month_hours, "PU-hour", price, units.idle_share),
        *_overage(usage, f, tier, units, "premium"),
    )
    return _deployment(usage, units, charges, "processing unit")


def _too_much(usage: Usage, f: Flow, tier: dict[str, Decimal]) -> Infeasible | None:
    return over_quota(
        ID,
        [
            Check("ingress", f.wire_mb_s * f.peak, f.disk_path_mb_s(tier["in_mb_s"] * tier["max_units"])),
            Check("egress", f.egress_mb_s * f.peak, f.disk_path_mb_s(tier["out_mb_s"] * tier["max_units"])),
            Check("partitions per hub", f.partitions / f.topics, tier["partitions_per_hub"], "partitions"),
            Check("retention", usage.retention.days.value, tier["retention_days"], "days"),
        ],
        f.raw_mb_s,
    )


def _units(
    usage: Usage,
    f: Flow,
    prices: Catalog,
    tier: dict[str, Decimal],
    *,
    price: str,
    what: str,
    more: tuple[Constraint, ...] = (),
) -> Fleet:
    usd = prices.usd(price, NEAREST.get(usage.region, usage.region))
    rates = [
        rated("ingress", "MB/s", mean=f.wire_mb_s, peak=f.peak, whole=f.disk_path_mb_s(tier["in_mb_s"])),
        rated("egress", "MB/s", mean=f.egress_mb_s, peak=f.peak, whole=f.disk_path_mb_s(tier["out_mb_s"])),
        *more,
    ]
    month = None if usd is None else usd * f.month_hours
    return fleet(rates, what=what, minimum=1, multiple_of=Decimal(1), unit_usd_month=month)


def _overage(usage: Usage, f: Flow, tier: dict[str, Decimal], units: Fleet, name: str) -> tuple[Charge, ...]:
    """Storage beyond what the units include."""
    beyond = f.kept_gb(usage.retention.days.value) - tier["storage_gb_per_unit"] * units.count
    if beyond <= 0:
        return ()
    return (
        Charge("storage beyond the units'", "storage", beyond, "GB-month", f"azure.eventhubs.{name}.extra_storage"),
    )


def _deployment(usage: Usage, units: Fleet, charges: tuple[Charge, ...], what: str) -> Deployment:
    region = NEAREST.get(usage.region, usage.region)
    rules = (f"priced in {region}", "no charge between zones", "units held at the peak all month")
    return Deployment(ID, region, (Part(what, units.count, units.because),), charges, units.bound_by, rules)


def _usd(option: Deployment, prices: Catalog) -> tuple[int, Decimal]:
    amounts = [(prices.usd(charge.price, option.region), charge.quantity) for charge in option.charges]
    missing = sum(usd is None for usd, _ in amounts)
    return missing, sum((usd * quantity for usd, quantity in amounts if usd is not None), Decimal(0))


PLATFORMS = [
    Platform(
        ID,
        "kafka",
        "Azure Event Hubs",
        size,
        {
            "throughput-unit": timed("throughput unit", "compute", "azure.eventhubs.standard.tu", "TU-hour"),
            "processing-unit": timed("processing unit", "compute", "azure.eventhubs.premium.pu", "PU-hour"),
            "events": measured("ingress events", "requests", "azure.eventhubs.events", "million events", "millions"),
        },
        cloud="azure",
        serverless=True,
        copies=3,  # "Reliability in Azure Event Hubs": all data is kept in three storage replicas
    )
]
