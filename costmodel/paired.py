"""Options under the same draws: how often one costs less than another, and what to measure next.

Bands that overlap say little: two options share most of what is uncertain, and under one draw of it one of them may
always be cheaper. So totals are compared draw by draw, and a quantity matters by how it moves their difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from costmodel import uncertainty
from costmodel.option import Option, size
from costmodel.prices import Catalog, built_in
from costmodel.usage import Usage

DRAWS = 1000
ENDS = (
    Decimal("0.1"),
    Decimal("0.9"),
)  # a tornado's bar is from P10 to P90 of one quantity, the others in their middle

Totals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """A month's total (USD) of each option in each draw; NaN where it cannot be had or is not fully priced."""

    totals: Mapping[str, Totals]

    @property
    def draws(self) -> int:
        """How many."""
        return len(next(iter(self.totals.values())))

    def quantiles(self, name: str) -> tuple[float, float, float] | None:
        """P10, P50, P90 over the draws in which there is a total; None if there is none in any."""
        known = self.totals[name][np.isfinite(self.totals[name])]
        if not known.size:
            return None
        low, middle, high = np.quantile(known, [0.1, 0.5, 0.9])
        return float(low), float(middle), float(high)

    def known(self, name: str) -> float:
        """The share of draws in which it can be had and is fully priced."""
        return float(np.isfinite(self.totals[name]).mean())

    def cheaper(self, a: str, b: str, *, by: float = 0.0) -> float:
        """The share of draws in which `a` costs less than `b`, by at least the share `by` less.

        What cannot be had, or is not fully priced, is dearer than any total; by what share, nobody knows.
        """
        less, more = self.totals[a], self.totals[b]
        known = np.isfinite(less) & np.isfinite(more)
        true = known & (np.where(known, less, 0.0) < np.where(known, more, 0.0) * (1 - by))
        if by == 0:
            true |= np.isfinite(less) & ~np.isfinite(more)
        return float(true.mean())

    def cheapest(self) -> dict[str, float]:
        """The share of draws in which each is the cheapest of all; a tie counts for the first."""
        names = list(self.totals)
        table = np.array([np.where(np.isfinite(self.totals[name]), self.totals[name], np.inf) for name in names])
        best, some = table.argmin(axis=0), np.isfinite(table).any(axis=0)
        return {name: float(((best == at) & some).mean()) for at, name in enumerate(names)}


def compare(
    usage: Usage,
    names: Sequence[str],
    *,
    prices: Catalog | None = None,
    draws: int = DRAWS,
    seed: int = 7,
    kind: str | None = None,
) -> Paired:
    """Every option (platforms or stacks) sized and billed anew in each draw, by the same `size` as its bill.

    `kind`: the lines of this kind alone, such as storage; None: the whole bill.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    for drawn, catalog in uncertainty.draws(usage, prices or built_in(), draws, seed):
        for name, totals in found.items():
            usd = _usd(size(drawn, name, catalog), kind)
            totals.append(float("nan") if usd is None else float(usd))
    return Paired({name: np.array(totals) for name, totals in found.items()})


@dataclass(frozen=True)
class Swing:
    """What one uncertain quantity does alone, from its P10 to its P90: USD a month of `a`, and of `a` less `b`.

    `basis`: measured, given or assumed for a number of the usage, "price" for one of the catalogue. None: an end at
    which one of them cannot be had or fully priced.
    """

    name: str
    basis: str
    low: Decimal
    high: Decimal
    usd: tuple[float | None, float | None]
    difference: tuple[float | None, float | None]

    @property
    def width(self) -> float:
        """How far it moves the difference; infinite where an end is not known."""
        low, high = self.difference
        return float("inf") if low is None or high is None else abs(high - low)

    @property
    def flips(self) -> bool:
        """Whether it alone decides which of the two is cheaper."""
        low, high = self.difference
        return low is not None and high is not None and (low < 0) != (high < 0)


def tornado(usage: Usage, a: str, b: str | None = None, *, prices: Catalog | None = None) -> list[Swing]:
    """Every uncertain quantity that moves `a` less `b` (or `a` alone), the widest swing first."""
    catalog = prices or built_in()
    found = []
    for path, number in usage.numbers():
        if number.uncertain:
            moved = [_totals(usage.at({path: end}), catalog, a, b) for end in ENDS]
            found.append(_swing(path, number.basis, (number.at(ENDS[0]), number.at(ENDS[1])), moved))
    for name in catalog.uncertain():
        at_ends = [replace(catalog, draw={name: end}) for end in ENDS]
        moved = [_totals(usage, at_end, a, b) for at_end in at_ends]
        low, high = (_value(name, usage.region, *both) for both in zip(at_ends, ENDS, strict=True))
        found.append(_swing(name, "price", (low, high), moved))
    return sorted((swing for swing in found if swing.width > 0), key=lambda swing: -swing.width)


def to_json(paired: Paired, usage: Usage, *, prices: Catalog | None = None, seed: int = 7) -> dict[str, Any]:
    """The document of `cost --odds --json`. The tornado is of the two with the lowest P50, or of the only one."""
    known = {name: found for name in paired.totals if (found := paired.quantiles(name)) is not None}
    ranked = sorted(known, key=lambda name: known[name][1])
    cheapest = paired.cheapest()
    swings = tornado(usage, *ranked[:2], prices=prices) if ranked else []
    return {
        "schema": 1,
        "draws": paired.draws,
        "seed": seed,
        "options": [
            {
                "platform": name,
                "usd_month": dict(zip(("p10", "p50", "p90"), known[name], strict=True)) if name in known else None,
                "known_in": paired.known(name),
                "cheapest_in": cheapest[name],
            }
            for name in [*ranked, *(name for name in paired.totals if name not in known)]
        ],
        "cheaper": {a: {b: paired.cheaper(a, b) for b in paired.totals if b != a} for a in paired.totals},
        "tornado": {
            "of": ranked[:2],
            "measure_next": measure_next(swings, *ranked[:2]) if ranked else "",
            "swings": [_swing_json(swing) for swing in swings],
        },
    }


def _swing_json(swing: Swing) -> dict[str, Any]:
    usd, less = swing.usd, swing.difference
    return {
        "name": swing.name,
        "basis": swing.basis,
        "low": float(swing.low),
        "high": float(swing.high),
        "usd_month": {"low": usd[0], "high": usd[1]},
        "difference_usd_month": {"low": less[0], "high": less[1]},
        "flips": swing.flips,
    }


def measure_next(swings: Sequence[Swing], a: str, b: str | None = None) -> str:
    """One sentence: the quantity whose measurement would narrow the answer most, and whether it could turn it."""
    about = f"{a} less {b}" if b else a
    if not swings:
        return f"Nothing uncertain moves {about}: what is assumed without a band cannot show how much it matters."
    turning = [swing for swing in swings if swing.flips] if b else []
    first = (turning or list(swings))[0]
    verb = "Ask the vendor for" if first.basis == "price" else "Measure"
    told = f"{verb} {first.name} next ({first.basis}, {float(first.low):.3g} to {float(first.high):.3g})"
    low, high = first.difference
    if low is None or high is None:
        return f"{told}: at one end of it {about} has no total."
    moves = f"alone it moves {about} from {low:+,.0f} to {high:+,.0f} USD a month"
    turns = "" if b is None else ", which turns the answer" if first.flips else "; nothing alone turns the answer"
    return f"{told}: {moves}{turns}."


def _usd(option: Option, kind: str | None) -> Decimal | None:
    if option.bill is None or option.bill.at_least:
        return None
    return option.bill.usd_month if kind is None else option.bill.of(kind)


def _totals(usage: Usage, prices: Catalog, a: str, b: str | None) -> tuple[float | None, float | None]:
    """USD of `a`, and of `a` less `b` (0 for no b)."""
    usd = [None if name is None else _usd(size(usage, name, prices), None) for name in (a, b)]
    first, second = (None if one is None else float(one) for one in usd)
    if b is None:
        return first, first
    return first, None if first is None or second is None else first - second


def _swing(
    name: str, basis: str, ends: tuple[Decimal, Decimal], moved: Sequence[tuple[float | None, float | None]]
) -> Swing:
    (usd_low, less_low), (usd_high, less_high) = moved
    return Swing(name, basis, *ends, (usd_low, usd_high), (less_low, less_high))


def _value(name: str, region: str, prices: Catalog, end: Decimal) -> Decimal:
    """The end of a banded price or quota; of a price in several regions that of the usage's, if it has a band there."""
    if name in prices.quotas:
        return prices.banded(name)
    banded = [price for price in prices.prices.values() if price.id == name and price.uncertain]
    return next((price for price in banded if price.region == region), banded[0]).at(end)
