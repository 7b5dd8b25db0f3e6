"""Price catalogues: dated, sourced, Decimal. What is not in them is a `MissingPrice`, never 0.

`prices/*.yaml`, one file per provider: `sources`, `prices` (USD a unit, with tiers, or a band where sources disagree)
and `quotas` (limits and capacities that sizing rests on, with the same provenance).
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bench.errors import ScenarioError
from costmodel import documents
from costmodel.bands import HALF, between

FOLDER = Path(__file__).parent / "prices"
STALE_AFTER_DAYS = 365
ANYWHERE = "any"  # the region of a price that is the same everywhere

Confidence = Literal["vendor", "secondary", "derived", "assumed", "unverified"]


@dataclass(frozen=True)
class Tier:
    """`usd` a unit up to the cumulative quantity `up_to` (None: without end)."""

    up_to: Decimal | None
    usd: Decimal


@dataclass(frozen=True)
class Price:
    """USD per `unit`. `low`..`high` is the band where sources disagree, around `usd`, the best supported of them."""

    id: str
    region: str
    usd: Decimal
    unit: str
    source: str
    as_of: dt.date
    confidence: Confidence
    low: Decimal | None = None
    high: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    note: str = ""

    @property
    def uncertain(self) -> bool:
        return self.low is not None and self.low != self.high

    def at(self, quantile: Decimal) -> Decimal:
        """The price at `quantile` in 0..1 of its band: half the chance below `usd`, half above."""
        return self.usd if self.low is None or self.high is None else between(self.low, self.usd, self.high, quantile)

    def parts(self, quantity: Decimal) -> list[tuple[Decimal, Decimal, str]]:
        """(quantity, USD a unit, tier text) for each tier that `quantity` reaches; continuous at the bounds."""
        if not self.tiers:
            return [(quantity, self.usd, "")]
        found: list[tuple[Decimal, Decimal, str]] = []
        start = Decimal(0)
        for tier in self.tiers:
            if quantity <= start and found:
                break
            end = quantity if tier.up_to is None else min(quantity, tier.up_to)
            text = f"from {start:f}" if tier.up_to is None else f"{start:f} to {tier.up_to:f}"
            found.append((end - start, tier.usd, f"{text} {self.unit}"))
            start = end if tier.up_to is None else tier.up_to
        return found


@dataclass(frozen=True)
class MissingPrice:
    """No price of that id in that region: what rests on it is unpriced, and its total says "at least"."""

    id: str
    region: str
    reason: str


@dataclass(frozen=True)
class Quota:
    """A vendor's limit or a capacity; `value` as the YAML has it, numbers as Decimal."""

    id: str
    value: Any
    source: str
    as_of: dt.date
    confidence: Confidence
    note: str = ""


@dataclass(frozen=True)
class Catalog:
    """All prices and quotas at hand. `draw` moves banded prices to a quantile of their band."""

    prices: Mapping[tuple[str, str], Price]
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    draw: Mapping[str, Decimal] = field(default_factory=dict)
    asked: set[str] | None = None  # collects the quotas a size was made from, if somebody wants to know

    def price(self, price_id: str, region: str) -> Price | MissingPrice:
        """The price in `region`, or the one that holds anywhere."""
        found = self.prices.get((price_id, region)) or self.prices.get((price_id, ANYWHERE))
        if found is None:
            elsewhere = sorted(r for (i, r) in self.prices if i == price_id)
            reason = f"catalogued only in {', '.join(elsewhere)}" if elsewhere else self._unknown(price_id)
            return MissingPrice(price_id, region, reason)
        if found.id in self.draw and found.uncertain:
            return replace(found, usd=found.at(self.draw[found.id]), low=None, high=None)
        return found

    def _unknown(self, price_id: str) -> str:
        close = difflib.get_close_matches(price_id, {known for known, _ in self.prices}, n=1, cutoff=0.8)
        return f"in no catalogue; did you mean {close[0]}?" if close else "in no catalogue"

    def usd(self, price_id: str, region: str) -> Decimal | None:
        """USD a unit for choosing between parts (first tier), or None."""
        found = self.price(price_id, region)
        return found.usd if isinstance(found, Price) else None

    def require(self, price_id: str, region: str) -> Decimal:
        """USD a unit. Raises ScenarioError where it is missing: a simulation has no "at least"."""
        found = self.price(price_id, region)
        if isinstance(found, MissingPrice):
            raise ScenarioError(f"{price_id}: no price in {region}: {found.reason}")
        return found.usd

    def quota(self, quota_id: str) -> Any:
        """A quota's value. Raises ScenarioError if the catalogues lost it: no size can be had without it."""
        if quota_id not in self.quotas:
            raise ScenarioError(f"quota {quota_id!r} is in no catalogue; {documents.nearest(quota_id, self.quotas)}")
        if self.asked is not None:
            self.asked.add(quota_id)
        return self.quotas[quota_id].value

    def banded(self, quota_id: str) -> Decimal:
        """A quota known only as `{value, low, high}`: its value, or where `draw` puts it."""
        band = self.quota(quota_id)
        return between(band["low"], band["value"], band["high"], self.draw.get(quota_id, HALF))

    def uncertain(self) -> list[str]:
        """Ids of prices and quotas that are bands."""
        bands = {price.id for price in self.prices.values() if price.uncertain}
        return sorted(
            bands
            | {q.id for q in self.quotas.values() if isinstance(q.value, dict) and {"low", "high"} <= set(q.value)}
        )

    def regions(self) -> set[str]:
        return {region for _, region in self.prices} - {ANYWHERE}

    def require_region(self, region: str, where: str = "region") -> None:
        """Raises ScenarioError for a region no catalogue knows."""
        if region not in self.regions():
            raise ScenarioError(f"{where}: unknown region {region!r}; {documents.nearest(region, self.regions())}")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Source(_Row):
    what: str = Field(min_length=1, description="who says so")
    as_of: dt.date = Field(description="the date it was true, like 2026-09-11")

    @field_validator("as_of", mode="before")
    @classmethod
    def _partial(cls, given: Any) -> Any:
        return partial_date(given)


class _Provenance(_Row):
    id: str
    source: str = Field(min_length=1, description="a key of `sources`, or who says so")
    as_of: dt.date | None = None
    confidence: Confidence
    note: str = ""

    @field_validator("as_of", mode="before")
    @classmethod
    def _partial(cls, given: Any) -> Any:
        return partial_date(given)


class _PriceRow(_Provenance):
    region: str = ANYWHERE
    usd: Decimal = Field(ge=0)
    low: Decimal | None = Field(default=None, ge=0)
    high: Decimal | None = Field(default=None, ge=0)
    unit: str = Field(min_length=1)
    tiers: tuple[tuple[Decimal | None, Decimal], ...] = ()
    aws: Mapping[str, str] | None = None  # how `prices refresh` finds it: service code and Price List filters

    @field_validator("usd", "low", "high", mode="before")
    @classmethod
    def _exact(cls, given: Any) -> Any:
        return _exact(given)

    @field_validator("tiers", mode="before")
    @classmethod
    def _exact_tiers(cls, given: Any) -> Any:
        return [[_exact(bound), _exact(usd)] for bound, usd in given]

    @model_validator(mode="after")
    def _sound(self) -> _PriceRow:
        if (self.low is None) != (self.high is None):
            raise ValueError("a band needs both low and high")
        if self.low is not None and self.high is not None and not self.low <= self.usd <= self.high:
            raise ValueError(f"expected low <= usd <= high, got {self.low} <= {self.usd} <= {self.high}")
        bounds = [bound for bound, _ in self.tiers]
        if bounds and (bounds[-1] is not None or None in bounds[:-1] or bounds[:-1] != sorted(bounds[:-1], key=float)):  # type: ignore[arg-type]
            raise ValueError("tiers must rise and end with null (without end)")
        return self


class _QuotaRow(_Provenance):
    value: Any


class _File(_Row):
    schema_: Literal[1] = Field(alias="schema")
    provider: str
    currency: Literal["USD"] = "USD"
    sources: Mapping[str, _Source]
    prices: tuple[_PriceRow, ...] = ()
    quotas: tuple[_QuotaRow, ...] = ()


def load(folder: str | Path = FOLDER) -> Catalog:
    """Every `*.yaml` in `folder`. Raises ScenarioError for a row without source or date, or one that stands twice."""
    files = sorted(Path(folder).glob("*.yaml"))
    if not files:
        raise ScenarioError(f"{folder}: no price catalogue (*.yaml) there")
    prices: dict[tuple[str, str], Price] = {}
    quotas: dict[str, Quota] = {}
    for path in files:
        for row in _rows(path):
            key = (row.id, row.region) if isinstance(row, Price) else row.id
            target: dict[Any, Any] = prices if isinstance(row, Price) else quotas
            if key in target:
                raise ScenarioError(f"{path}: {key} stands twice")
            target[key] = row
    return Catalog(prices, quotas)


@functools.cache
def built_in() -> Catalog:
    """The catalogues of this repository, read once."""
    return load()


def partial_date(given: Any) -> Any:
    """'2026' or '2025-11' as the first day it can mean: a price is never younger than its source says."""
    text = str(given) if isinstance(given, int | str) else ""
    if re.fullmatch(r"\d{4}(-\d{2})?", text):
        return dt.date.fromisoformat((text + "-01-01")[:10])
    return given


def _rows(path: Path) -> Iterable[Price | Quota]:
    file = documents.read(path, _File)
    sections: list[tuple[str, tuple[_PriceRow | _QuotaRow, ...]]] = [("prices", file.prices), ("quotas", file.quotas)]
    for section, rows in sections:
        for index, row in enumerate(rows):
            source = file.sources.get(row.source)
            as_of = row.as_of or (source.as_of if source else None)
            if as_of is None:
                line = documents.line_of(path, (section, index))
                raise ScenarioError(
                    f"{path}:{line}: {row.id}: a row needs a date: `as_of`, or a `source` listed in `sources`; "
                    f"{documents.nearest(row.source, file.sources)}"
                )
            yield _made(row, source.what if source else row.source, as_of)


def _made(row: _PriceRow | _QuotaRow, source: str, as_of: dt.date) -> Price | Quota:
    if isinstance(row, _QuotaRow):
        return Quota(row.id, _deep_decimal(row.value), source, as_of, row.confidence, row.note)
    return Price(
        row.id,
        row.region,
        row.usd,
        row.unit,
        source,
        as_of,
        row.confidence,
        row.low,
        row.high,
        tuple(Tier(bound, usd) for bound, usd in row.tiers),
        row.note,
    )


def _exact(given: Any) -> Any:
    return Decimal(str(given)) if isinstance(given, int | float) and not isinstance(given, bool) else given


def _deep_decimal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _deep_decimal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_deep_decimal(item) for item in value]
    return _exact(value)
