"""One stream as it grows: what binds each platform at each size, what it costs, and where measured support ends.

    found = growth.grow(usage, ["self-ec2", "msk-express"], low=Decimal(1), high=Decimal(1000))

Bytes and CPU per event stay as the usage has them; the rate grows, and with it the partitions as soon as one would
carry more than is sensible. Everything else is the sizing of any bill: quotas, baselines, minima.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bench.errors import ScenarioError
from costmodel.extrapolation import Support, support
from costmodel.option import Option, described, size
from costmodel.prices import Catalog, built_in
from costmodel.sizing import flow
from costmodel.usage import Usage

PER_DECADE = 20  # sizes looked at: a range's ends are known to an eighth
PARTITION_MB_S = Decimal(10)  # assumed: what one partition carries at peak before there have to be more


@dataclass(frozen=True)
class Size:
    """One platform at one rate. `bound_by`: the kind of constraint, or what forbids it where it cannot be had."""

    mb_s: Decimal
    partitions: Decimal
    option: Option
    bound_by: str
    support: str  # measured, tested or computed

    @property
    def usd_month(self) -> float | None:
        """None where it cannot be had, or is not fully priced."""
        bill = self.option.bill
        return None if bill is None or bill.at_least else float(bill.usd_month)

    @property
    def usd_gb(self) -> float | None:
        """For each GB that comes in."""
        usd = self.option.usd_gb_in
        return None if usd is None or self.usd_month is None else float(usd)


@dataclass(frozen=True)
class Stretch:
    """Neighbouring sizes that are bound by the same, and rest on the same kind of support."""

    first: Size
    last: Size


@dataclass(frozen=True)
class Growth:
    """Every platform over the same rates, lowest first."""

    sizes: dict[str, tuple[Size, ...]]
    support: Support
    partition_mb_s: Decimal

    def stretches(self, platform: str) -> list[Stretch]:
        """What binds it, from size to size."""
        found: list[Stretch] = []
        for each in self.sizes[platform]:
            if found and (found[-1].last.bound_by, found[-1].last.support) == (each.bound_by, each.support):
                found[-1] = Stretch(found[-1].first, each)
            else:
                found.append(Stretch(each, each))
        return found


def grow(
    usage: Usage,
    platforms: Sequence[str] | None = None,
    *,
    low: Decimal,
    high: Decimal,
    partition_mb_s: Decimal = PARTITION_MB_S,
    prices: Catalog | None = None,
    reach: Support | None = None,
) -> Growth:
    """Each platform (None: every one that the usage describes) sized at rates from `low` to `high` MB/s.

    ScenarioError for an unknown platform or a range that is empty.
    """
    if not 0 < low < high:
        raise ScenarioError(f"growth: expected 0 < low < high, got {low} to {high} MB/s")
    if partition_mb_s <= 0:
        raise ScenarioError(f"growth: expected more than 0 MB/s a partition, got {partition_mb_s}")
    catalog = prices or built_in()
    catalog.require_region(usage.region)
    reach = reach or support(usage, None)
    names = list(platforms) if platforms else described(usage)
    usages = [_at(usage, mb_s, partition_mb_s) for mb_s in _rates(low, high, reach)]
    return Growth(
        {name: tuple(_size(one, name, catalog, reach) for one in usages) for name in names}, reach, partition_mb_s
    )


def _rates(low: Decimal, high: Decimal, reach: Support) -> list[Decimal]:
    """Evenly on a log scale, with the ends of what is supported among them."""
    steps = max(2, math.ceil(math.log10(high / low) * PER_DECADE))
    even = [low * Decimal(repr((float(high / low)) ** (step / steps))) for step in range(steps)] + [high]
    ends = (Decimal(repr(end)) for end in (reach.measured_mb_s, reach.tested_mb_s))
    return sorted({*even, *(end for end in ends if low < end < high)})


def _at(usage: Usage, mb_s: Decimal, partition_mb_s: Decimal) -> Usage:
    """The usage at this rate, with as many partitions as its peak then needs, never fewer than it has."""
    moved = usage.with_value("ingest.mb_s", mb_s)
    f = flow(moved)
    needed = math.ceil(f.wire_mb_s * f.peak / partition_mb_s / f.topics)
    return moved if needed <= f.partitions / f.topics else moved.with_value("topics.partitions", Decimal(needed))


def _size(usage: Usage, name: str, prices: Catalog, reach: Support) -> Size:
    option, f = size(usage, name, prices), flow(usage)
    return Size(f.raw_mb_s, f.partitions, option, _bound(option), reach.of(float(f.raw_mb_s), option.role))


def _bound(option: Option) -> str:
    """The kind of constraint without its numbers: "network out", "Kafka: partitions; Flink: CPU"."""
    if option.infeasible is not None:
        return f"cannot be had: {_kind(option.infeasible.reason.split('; ')[0])}"
    if option.bound_by is None:
        return ""
    return "; ".join(_kind(part) for part in option.bound_by.constraint.split("; "))


def _kind(constraint: str) -> str:
    words = constraint.split(": ")
    return ": ".join(words[:2] if words[0] in ("Kafka", "Flink") else words[:1])


def to_json(found: Growth) -> dict[str, Any]:
    """The document of `simulate growth --json`."""
    return {
        "schema": 1,
        "support": {
            "measured_mb_s": found.support.measured_mb_s,
            "tested_mb_s": found.support.tested_mb_s,
            "sentences": list(found.support.sentences),
        },
        "partition_mb_s": float(found.partition_mb_s),
        "platforms": {
            name: {
                "role": sizes[0].option.role,
                "stretches": [
                    {"from": _size_json(one.first), "to": _size_json(one.last)} for one in found.stretches(name)
                ],
                "sizes": [_size_json(one) for one in sizes],
            }
            for name, sizes in found.sizes.items()
        },
    }


def _size_json(one: Size) -> dict[str, Any]:
    return {
        "mb_s": float(one.mb_s),
        "partitions": int(one.partitions),
        "feasible": one.option.infeasible is None,
        "bound_by": one.bound_by,
        "constraint": one.option.bound_by.constraint if one.option.bound_by else one.bound_by,
        "parts": [{"what": part.what, "count": float(part.count)} for part in one.option.parts],
        "usd_month": one.usd_month,
        "usd_gb_in": one.usd_gb,
        "support": one.support,
    }
