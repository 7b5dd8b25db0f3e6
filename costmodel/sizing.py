"""What every platform sizes with: the flows a usage causes, constraints, and the fleet of units that meets them.

Rules, the same for every option: capacity is sized for the peak; physical baselines (network, disk path, CPU) are
filled to the usage's `sizing` shares, and stay under 100 % with one zone gone; a vendor's quota is used whole.
Arithmetic uses only the usage's own numbers and integers, so a caller may size with floats as well as with Decimal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bench.analysis.crossing import by_formula
from bench.errors import ScenarioError
from costmodel.prices import Catalog
from costmodel.usage import Processing, Usage

DAY_S = 86_400
GBPS_BYTES = 125_000_000  # network speeds are decimal
GIB = 2**30
ROUNDING = 10**12


@dataclass(frozen=True)
class Part:
    """`count` of `what`, and why so many."""

    what: str
    count: Decimal
    because: str


@dataclass(frozen=True)
class Charge:
    """A quantity to be priced: what becomes one line of a bill, or one a tier.

    `idle_share` of it is capacity paid for and unused at the mean load: it becomes a line of its own.
    `committed` marks what a Savings Plan discounts.
    """

    item: str
    kind: str
    quantity: Decimal
    unit: str
    price: str
    idle_share: Decimal = Decimal(0)
    committed: bool = False


@dataclass(frozen=True)
class Binding:
    """The constraint that decided the size, the next one, and what one more unit of the bound demand costs a month.

    `shadow_usd_month` is the price of a unit's capacity spread over it (costs are steps; this is their mean slope), 0
    where no demand binds, None where the price is missing. `shadow_of` is the unit: "partition", "MB/s".
    """

    constraint: str
    next: str | None
    shadow_usd_month: Decimal | None
    shadow_of: str = ""


@dataclass(frozen=True)
class Deployment:
    """What would be run, with the charges it causes. `region` is where its prices are looked up."""

    platform: str
    region: str
    parts: tuple[Part, ...]
    charges: tuple[Charge, ...]
    bound_by: Binding
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScalingUnit:
    """What a fleet grows and shrinks by: one TaskManager, KPU, CFU. USD an hour; `cores` are of a cloud's vCPUs.

    `usd_hour` is of one unit with what is billed beside it, `always_usd_hour` of what stays when none runs too,
    `running_usd_hour` of what is billed once while any runs. `least_paid_min`: a start is billed for at least as long.
    `committable`: a savings plan discounts it. `prices`: ids of those it rests on.
    """

    what: str
    cores: Decimal
    usd_hour: Decimal
    prices: tuple[str, ...]
    always_usd_hour: Decimal = Decimal(0)
    running_usd_hour: Decimal = Decimal(0)
    least_paid_min: int = 1
    committable: bool = False


@dataclass(frozen=True)
class Infeasible:
    """No size carries this: `reason` names the quota, `nearest_feasible` the closest usage that fits.

    Without the latter nothing is said of what a size would carry: `reason` names what is not known.
    """

    platform: str
    reason: str
    nearest_feasible: str


@dataclass(frozen=True)
class Flow:
    """Rates and volumes of a usage. MB, GB follow its `units.gb`; `*_mb_s` are means unless they say peak.

    wire = compressed once; replicated only where the name says so.
    """

    raw_mb_s: Decimal
    wire_mb_s: Decimal
    peak: Decimal
    rate_eps: Decimal
    record_bytes: Decimal
    groups: Decimal
    rf: Decimal
    zones: Decimal
    partitions: Decimal
    topics: Decimal
    disk_mb_s: Decimal  # one copy, as it lands on disk
    month_s: Decimal
    mb_bytes: int
    zone_aware: bool

    @property
    def k(self) -> int:
        """MB in a GB, GB in a TB."""
        return 1000 if self.mb_bytes == 1_000_000 else 1024

    @property
    def month_hours(self) -> Decimal:
        return self.month_s / 3600

    @property
    def egress_mb_s(self) -> Decimal:
        return self.wire_mb_s * self.groups

    @property
    def events_month(self) -> Decimal:
        return self.rate_eps * self.month_s

    def gb_month(self, mb_s: Decimal) -> Decimal:
        """GB a month at a mean rate."""
        return mb_s * self.month_s / self.k

    def gib(self, gb: Decimal) -> Decimal:
        """GB of this usage's units as GiB."""
        return gb * self.k * self.mb_bytes / GIB

    def gb_of_gib(self, gib: Decimal) -> Decimal:
        return gib * GIB / (self.k * self.mb_bytes)

    def kept_gb(self, days: Decimal) -> Decimal:
        """GB that `days` of retention hold, one copy."""
        return self.disk_mb_s * days * DAY_S / self.k

    def net_mb_s(self, gbps: Decimal) -> Decimal:
        return gbps * GBPS_BYTES / self.mb_bytes

    def disk_path_mb_s(self, mb_s: Decimal) -> Decimal:
        """A decimal MB/s rating in this usage's MB."""
        return mb_s * 1_000_000 / self.mb_bytes

    def cross_zone_mb_s(self, *, replication: bool, fetch_from_follower: bool) -> Decimal:
        """MB/s between zones: producers' share, followers', consumers', by the formula that runs are held against."""
        crossing = by_formula(
            self.zones, self.rf, self.groups, zone_aware=self.zone_aware, fetch_from_follower=fetch_from_follower
        )
        replicate = crossing.replicate if replication else 0
        return self.wire_mb_s * (crossing.produce + replicate + crossing.consume)


def flow(usage: Usage) -> Flow:
    """The flows of `usage` at its central values."""
    ingest, units = usage.ingest, usage.units
    mb_bytes = 1_000_000 if units.gb == "decimal" else 2**20
    wire = ingest.mb_s.value / ingest.compression_ratio.value
    return Flow(
        raw_mb_s=ingest.mb_s.value,
        wire_mb_s=wire,
        peak=ingest.peak_to_mean.value,
        rate_eps=ingest.mb_s.value * mb_bytes / ingest.record_bytes.value,
        record_bytes=ingest.record_bytes.value,
        groups=usage.consumers.groups.value,
        rf=usage.topics.replication_factor.value,
        zones=usage.zones.value,
        partitions=usage.topics.count.value * usage.topics.partitions.value,
        topics=usage.topics.count.value,
        disk_mb_s=wire * usage.broker.disk_bytes_per_wire_byte.value,
        month_s=units.month_hours * 3600,
        mb_bytes=mb_bytes,
        zone_aware=usage.producers.zone_aware,
    )


@dataclass(frozen=True)
class Constraint:
    """`demand` of which one unit carries `capacity`. `mean` is the demand at mean load, over the unfilled capacity
    `whole`: what idle capacity is counted from (None: says nothing about load).
    """

    name: str
    demand: Decimal
    capacity: Decimal
    unit: str
    mean: Decimal | None = None
    whole: Decimal | None = None

    @property
    def needed(self) -> Decimal:
        return self.demand / self.capacity

    def text(self, what: str) -> str:
        return f"{self.name}: {short(self.demand)} {self.unit} at {short(self.capacity)} a {what}"


@dataclass(frozen=True)
class Fleet:
    """`count` equal units that meet every constraint."""

    count: Decimal
    bound_by: Binding
    idle_share: Decimal
    because: str


def rated(
    name: str, unit: str, *, mean: Decimal, peak: Decimal, whole: Decimal, fill: Decimal = Decimal(1)
) -> Constraint:
    """A constraint on a rate: sized for mean x peak at `fill` of the `whole` capacity of one unit."""
    return Constraint(name, mean * peak, whole * fill, unit, mean, whole)


def zone_fill(fill: Decimal, zones: Decimal) -> Decimal:
    """The fill that also stays within 100 % when one of `zones` is gone and the others carry its load."""
    return min(fill, (zones - 1) / zones) if zones > 1 else fill


def fleet(
    constraints: Sequence[Constraint],
    *,
    what: str,
    minimum: int,
    multiple_of: Decimal,
    unit_usd_month: Decimal | None,
) -> Fleet:
    """The smallest fleet of `what` that meets all constraints: at least `minimum`, a multiple of `multiple_of`."""
    count = _count(constraints, minimum, multiple_of)
    ranked = sorted((c for c in constraints if c.demand > 0), key=lambda c: c.needed, reverse=True)[:2]
    binding = [c for c in ranked if c.needed > minimum]
    floor = f"minimum of {minimum} {what}{'' if minimum == 1 else 's'}"
    names = [*(c.text(what) for c in binding), floor, *(c.text(what) for c in ranked if c.needed <= minimum)]
    shadow: Decimal | None = Decimal(0)
    if binding:
        shadow = None if unit_usd_month is None else unit_usd_month / binding[0].capacity
    bound = Binding(names[0], names[1] if len(names) > 1 else None, shadow, binding[0].unit if binding else "")
    used = [c.mean / (c.whole * count) for c in constraints if c.mean is not None and c.whole]
    idle = max(1 - max(used), Decimal(0)) if used else Decimal(0)
    needed = max([minimum, *(_up(c.needed) for c in ranked[:1])])
    return Fleet(count, bound, idle, names[0] + (f", up to a multiple of {multiple_of:f}" if count != needed else ""))


def _up(needed: Decimal) -> int:
    """Rounded up, but not by the last digit of a division: 20,000 at 333.3 is 60 and not 61."""
    return math.ceil(needed - needed / ROUNDING)


def _count(constraints: Sequence[Constraint], minimum: int, multiple_of: Decimal) -> Decimal:
    needed = max([minimum, *(_up(c.needed) for c in constraints)])
    step = int(multiple_of)
    return Decimal(-(-needed // step) * step)


def cheapest(
    usage: Usage,
    prices: Catalog,
    types: Sequence[str],
    constraints: Callable[[str], Sequence[Constraint]],
    *,
    price: str,
    what: str,
    minimum: int,
    multiple_of: Decimal,
    beside: Callable[[Decimal], Decimal] = lambda _: Decimal(0),
) -> tuple[str, Fleet]:
    """(type, fleet) of the type whose fleet costs least; `price` has a place for the type, as in "ec2.{}".

    `beside` is what else an hour costs that depends on the number of units. A type without a price comes last: what is
    unpriced never looks cheap.
    """
    paid = 1 - usage.discount.value

    def rank(order_and_kind: tuple[int, str]) -> tuple[bool, Decimal, Decimal, int]:
        order, kind = order_and_kind
        usd = prices.usd(price.format(kind), usage.region)
        count = _count(constraints(kind), minimum, multiple_of)
        return usd is None, count * (usd * paid if usd is not None else 1) + beside(count), count, order

    _, kind = min(enumerate(types), key=rank)
    usd = prices.usd(price.format(kind), usage.region)
    month = None if usd is None else usd * usage.units.month_hours
    return kind, fleet(constraints(kind), what=what, minimum=minimum, multiple_of=multiple_of, unit_usd_month=month)


def short(number: Decimal) -> str:
    """A number as a sentence carries it: four digits."""
    return f"{float(number):.4g}" if number < 10_000 else f"{float(number):,.0f}"


@dataclass(frozen=True)
class Check:
    """A quota: `demand` must not exceed it. What would fit is said as a rate where the demand grows with the rate
    (`unit` "MB/s"), as `partitions` where more of them help, or as the quota itself.
    """

    name: str
    demand: Decimal
    quota: Decimal
    unit: str = "MB/s"
    partitions: int = 0

    def text(self) -> str:
        unit = "MB/s at peak" if self.unit == "MB/s" else self.unit
        return f"{self.name}: {short(self.demand)} {unit} over the quota of {short(self.quota)}"


def over_quota(platform: str, checks: Sequence[Check], mean_mb_s: Decimal) -> Infeasible | None:
    """Every quota that is broken, with the nearest usage that fits all of them; None if none is."""
    broken = [check for check in checks if check.demand > check.quota]
    if not broken:
        return None
    rates = [mean_mb_s * c.quota / c.demand for c in broken if c.unit == "MB/s" and not c.partitions]
    fits = [f"{_down(min(rates))} MB/s in (mean)"] if rates else []
    fits += [f"{short(c.quota)} {c.unit} ({c.name})" for c in broken if c.unit != "MB/s"]
    more = max(c.partitions for c in broken)
    fits += [f"{more} partitions"] if more else []
    return Infeasible(platform, "; ".join(c.text() for c in broken), ", ".join(fits))


def _down(rate: Decimal) -> str:
    """Four digits, rounded down: what is said to fit must fit."""
    digits = 3 - math.floor(math.log10(rate))
    scale = Decimal(10) ** digits
    return f"{math.floor(rate * scale) / scale:.10g}" if digits > 0 else f"{math.floor(rate)}"


def processing(usage: Usage, platform: str) -> Processing:
    """The usage's `processing`. Raises ScenarioError if a Flink is asked for and the usage does not describe a job."""
    if usage.processing is None:
        raise ScenarioError(f"usage has no `processing` section, from which {platform} is sized")
    return usage.processing
