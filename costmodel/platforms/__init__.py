"""The platforms, one file per vendor. A file is found by lying here: it offers `PLATFORMS`, ids as rows."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.errors import ScenarioError
from costmodel import documents
from costmodel.prices import Catalog
from costmodel.sizing import Charge, Deployment, Infeasible, ScalingUnit
from costmodel.usage import StandingPart, Units, Usage

Size = Callable[[Usage, Catalog], Deployment | Infeasible]
Standing = Callable[[StandingPart, Units], Sequence[Charge]]


@dataclass(frozen=True)
class Platform:
    """One id: how it is sized from a usage, which parts a deployment.yaml may list for it, and what it scales by."""

    id: str
    role: Literal["kafka", "flink"]
    summary: str
    size: Size
    parts: Mapping[str, Standing] = field(default_factory=dict)
    unit: Callable[[Usage, Catalog], ScalingUnit] | None = None  # of a fleet that can follow its load: Flink's
    speaks: str = ""  # the protocol of its clients; empty: Kafka's, or Flink's jobs
    cloud: str = "aws"  # whose network its data leaves
    serverless: bool = False  # nobody chooses how many machines it has
    copies: int | None = None  # of each record, that its vendor keeps whatever is asked; None: as many as are asked


@functools.cache
def found() -> Mapping[str, Platform]:
    """Every platform by id, Kafka before Flink, in order of file and row."""
    rows: list[Platform] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda item: item.name):
        rows += importlib.import_module(f"{__name__}.{module.name}").PLATFORMS
    return {row.id: row for role in ("kafka", "flink") for row in rows if row.role == role}


def named(platform_id: str) -> Platform:
    """The platform of that id. Raises ScenarioError with the nearest one."""
    if platform_id not in found():
        raise ScenarioError(f"unknown platform {platform_id!r}; {documents.nearest(platform_id, found())}")
    return found()[platform_id]


def timed(item: str, kind: str, price: str, unit: str) -> Standing:
    """A standing part paid by the hour: `count` for `hours` (or `minutes`; default: a month)."""

    def charges(part: StandingPart, units: Units) -> Sequence[Charge]:
        hours = (
            part.hours
            if part.hours is not None
            else part.minutes / 60
            if part.minutes is not None
            else units.month_hours
        )
        named_price = price.format(type=part.type)
        return [Charge(f"{item} {part.type}".strip(), kind, part.count * hours, unit, named_price)]

    return charges


def measured(
    item: str, kind: str, price: str, unit: str, measure: Literal["gb", "gb_month", "gib", "tib", "millions"]
) -> Standing:
    """A standing part paid by quantity: `count` x `measure`, which the part must state."""

    def charges(part: StandingPart, _: Units) -> Sequence[Charge]:
        quantity = getattr(part, measure)
        if quantity is None:
            raise ScenarioError(f"part {part.what!r}: missing {measure}; expected a quantity in {unit}")
        return [Charge(item, kind, part.count * quantity, unit, price.format(type=part.type))]

    return charges
