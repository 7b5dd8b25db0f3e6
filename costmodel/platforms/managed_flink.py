"""Amazon Managed Service for Apache Flink: KPUs, one more to orchestrate, and 50 GB of allocated storage for each."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from costmodel import flink
from costmodel.platforms import Platform, measured, timed
from costmodel.prices import Catalog, built_in
from costmodel.sizing import Charge, Deployment, Infeasible, Part, ScalingUnit, fleet, flow, processing
from costmodel.usage import StandingPart, Units, Usage

ID = "flink-managed-aws"
KPU = timed("KPU", "processing", "msf.kpu", "KPU-hour")


def size(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """KPUs (1 vCPU, 4 GB, 50 GB) for the peak or the state, and the orchestration KPU every application pays."""
    f, kpu, job = flow(usage), prices.quota("kpu"), processing(usage, ID)
    usd = prices.usd("msf.kpu", usage.region)
    group = fleet(
        [
            flink.cores(usage, f, ID, cores_per_unit=kpu["vcpu"]),
            flink.state(usage, ID, gb_per_unit=kpu["storage_gb"]),
        ],
        what="KPU",
        minimum=1,
        multiple_of=Decimal(1),
        unit_usd_month=None if usd is None else usd * f.month_hours,
    )
    hours = f.month_hours
    charges = (
        Charge("KPU", "processing", group.count * hours, "KPU-hour", "msf.kpu", group.idle_share),
        Charge("orchestration KPU", "processing", kpu["orchestration"] * hours, "KPU-hour", "msf.kpu"),
        Charge("running storage", "storage", kpu["storage_gb"] * group.count, "GB-month", "msf.running_storage"),
        Charge("one durable backup", "storage", job.state_gb.value, "GB-month", "msf.backup"),
    )
    parts = (
        Part("KPU", group.count, group.because),
        Part("orchestration KPU", kpu["orchestration"], "one an application"),
    )
    return Deployment(ID, usage.region, parts, charges, group.bound_by, flink.assumptions(usage, ID, prices))


def unit(usage: Usage, prices: Catalog) -> ScalingUnit:
    """A KPU with its 50 GB; the orchestration KPU runs as long as the application does."""
    kpu, usd = prices.quota("kpu"), prices.require("msf.kpu", usage.region)
    storage = prices.require("msf.running_storage", usage.region) * kpu["storage_gb"] / usage.units.month_hours
    beside, least = kpu["orchestration"] * usd, int(kpu["min_minutes_per_start"])
    used = ("msf.kpu", "msf.running_storage")
    return ScalingUnit("KPU", kpu["vcpu"], usd + storage, used, running_usd_hour=beside, least_paid_min=least)


def _application(part: StandingPart, units: Units) -> Sequence[Charge]:
    """`count` KPUs of one application for `hours` or `minutes`, its orchestration KPU, and the storage they hold."""
    kpu = built_in().quota("kpu")
    running = KPU(part, units)[0]
    hours = running.quantity / part.count
    return [
        running,
        Charge("orchestration KPU", "processing", kpu["orchestration"] * hours, "KPU-hour", "msf.kpu"),
        Charge(
            "running storage",
            "storage",
            part.count * kpu["storage_gb"] * hours / units.month_hours,
            "GB-month",
            "msf.running_storage",
        ),
    ]


PLATFORMS = [
    Platform(
        ID,
        "flink",
        "Amazon Managed Service for Apache Flink",
        size,
        {
            "application": _application,
            "backup": measured("durable backup", "storage", "msf.backup", "GB-month", "gb_month"),
        },
        unit,
        serverless=True,
    )
]
