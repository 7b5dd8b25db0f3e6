"""Deployment + prices -> `Bill`: line items of fixed kinds in Decimal, each quantity x unit price with its source.

A line without a price has no amount and makes the total "at least". The lines always sum to the total.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from bench.errors import ScenarioError
from costmodel.prices import Catalog, MissingPrice
from costmodel.sizing import Charge, flow
from costmodel.usage import Units, Usage

KINDS = (
    "compute",
    "storage",
    "cross-zone",
    "requests",
    "ingress",
    "egress",
    "partitions",
    "fixed",
    "processing",
    "sinks",
    "idle",
    "operations",
)
BASELINE_KINDS = frozenset(
    {"compute", "processing", "idle", "partitions", "fixed", "operations"}
)  # due at zero load too
CENT = Decimal("0.01")


@dataclass(frozen=True)
class LineItem:
    """`quantity` x `unit_price` (after `discount`) = `usd_month`; both None where the price is missing."""

    item: str
    kind: str
    quantity: Decimal
    unit: str
    unit_price: Decimal | None
    usd_month: Decimal | None
    price_id: str
    region: str
    source: str
    as_of: dt.date | None
    confidence: str  # of Price, or "missing"
    list_unit_price: Decimal | None = None
    discount: Decimal = Decimal(0)
    committable: bool = False


@dataclass(frozen=True)
class Bill:
    """What a month costs."""

    lines: tuple[LineItem, ...]

    @property
    def usd_month(self) -> Decimal:
        return sum((line.usd_month for line in self.lines if line.usd_month is not None), Decimal(0))

    @property
    def at_least(self) -> bool:
        return any(line.usd_month is None for line in self.lines)

    @property
    def baseline_usd_month(self) -> Decimal:
        """What is due whether or not anything flows; the rest follows usage."""
        return self.of(*BASELINE_KINDS)

    def of(self, *kinds: str) -> Decimal:
        return sum((line.usd_month or Decimal(0) for line in self.lines if line.kind in kinds), Decimal(0))

    @property
    def unverified(self) -> tuple[str, ...]:
        """Ids of unverified prices that the total rests on: to be said beside it."""
        return tuple(
            dict.fromkeys(line.price_id for line in self.lines if line.confidence == "unverified" and line.usd_month)
        )

    @property
    def unpriced(self) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(
                f"{line.item} ({line.price_id}: {line.source})" for line in self.lines if line.usd_month is None
            )
        )


def make(charges: Iterable[Charge], region: str, prices: Catalog, usage: Usage) -> Bill:
    """The bill of sized charges under the usage's discount and environments."""
    times, discount = usage.environments.value, usage.discount.value
    return Bill(
        tuple(
            line
            for charge in charges
            for line in _lines(charge, region, prices, usage.units, times=times, discount=discount)
        )
    )


def standing(charges: Iterable[Charge], region: str, prices: Catalog, units: Units) -> Bill:
    """The bill of parts as they stand."""
    return Bill(tuple(line for charge in charges for line in _lines(charge, region, prices, units)))


def sinks(usage: Usage) -> Sequence[Charge]:
    """Where results go: S3 by GB stored; ClickHouse Cloud by compressed TB, billed again as a backup, and its smallest
    service running all month.
    """
    f, charges = flow(usage), []
    s3, house = usage.sinks.s3_gb_month.value, usage.sinks.clickhouse_gb_month.value
    if s3:
        charges.append(Charge("S3 sink", "sinks", s3, "GB-month", "s3.std.gb"))
    if house:
        charges.append(
            Charge("ClickHouse Cloud storage and backup", "sinks", house / f.k * 2, "TB-month", "clickhouse.storage")
        )
        charges.append(
            Charge(
                "ClickHouse Cloud, smallest service", "sinks", f.month_hours, "unit-hour", "clickhouse.basic.compute"
            )
        )
    return charges


def people(usage: Usage) -> list[LineItem]:
    """People's hours: the same on every option, not multiplied by environments, always assumed."""
    asked = usage.operations
    if asked is None or not asked.hours_month.value:
        return []
    hours, usd = asked.hours_month.value, asked.usd_hour.value
    source = "assumed in usage: operations.usd_hour"
    return [
        LineItem(
            "people",
            "operations",
            hours,
            "hour",
            usd,
            hours * usd,
            "operations.usd_hour",
            usage.region,
            source,
            None,
            "assumed",
            usd,
        )
    ]


def _lines(
    charge: Charge,
    region: str,
    prices: Catalog,
    units: Units,
    *,
    times: Decimal = Decimal(1),
    discount: Decimal = Decimal(0),
) -> list[LineItem]:
    """One line; one a tier; and one for the idle share, at the same price."""
    assert charge.kind in KINDS, charge
    quantity = charge.quantity * times
    if quantity == 0:
        return []
    off = discount if charge.committed else Decimal(0)
    price = prices.price(charge.price, region)
    if isinstance(price, MissingPrice):
        where = f"no price in {price.region}: {price.reason}"
        return [
            LineItem(
                charge.item, charge.kind, quantity, charge.unit, None, None, price.id, region, where, None, "missing"
            )
        ]
    if price.unit != charge.unit:  # a pair check: a quantity in another unit would be a wrong bill that looks right
        raise ScenarioError(f"price {price.id} is per {price.unit}, {charge.item} is counted in {charge.unit}")
    lines = []
    for share, kind, suffix in ((1 - charge.idle_share, charge.kind, ""), (charge.idle_share, "idle", ", idle")):
        for amount, usd, tier in price.parts(quantity * share) if share else ():
            unit_price = usd * (1 - off)
            lines.append(
                LineItem(
                    item=f"{charge.item}{suffix}{f' ({tier})' if tier else ''}",
                    kind=kind,
                    quantity=amount,
                    unit=price.unit,
                    unit_price=unit_price,
                    usd_month=_rounded(amount * unit_price, units),
                    price_id=price.id,
                    region=price.region,
                    source=price.source,
                    as_of=price.as_of,
                    confidence=price.confidence,
                    list_unit_price=usd,
                    discount=off,
                    committable=charge.committed,
                )
            )
    return lines


def _rounded(usd: Decimal, units: Units) -> Decimal:
    return usd.quantize(CENT, ROUND_CEILING) if units.round_lines == "up" else usd
