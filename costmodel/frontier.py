"""What a simulation is asked for: how much can be saved at what lag, and how large a stream saves a given sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from costmodel.arrivals import Load
from costmodel.outcomes import Outcome, Saving
from costmodel.policies import Autoscaled
from costmodel.prices import Catalog, built_in
from costmodel.simulate import Plan, compare, unit_of
from costmodel.usage import Usage

TARGETS = tuple(round(0.3 + 0.05 * step, 2) for step in range(14))  # 0.3 to 0.95
FACTORS = (1e-4, 1e6)  # of the load, between which `inverse` looks
PRECISION = 0.01


@dataclass(frozen=True)
class Point:
    """One way to run the fleet; `best`: no other costs less at no more lag."""

    outcome: Outcome
    best: bool


def frontier(plan: Plan, usage: Usage, platform: str, load: Load, *, prices: Catalog | None = None) -> list[Point]:
    """The plan's policies and autoscaling at every target of `TARGETS`, cheapest first, but what cannot keep up.

    The other settings of autoscaling are those of the plan's first autoscaled policy.
    """
    first = next((each for each in plan.policies.values() if isinstance(each, Autoscaled)), None)
    template = first or Autoscaled(kind="autoscaled")
    targets = {f"autoscaled at {target:.0%}": template.model_copy(update={"target": target}) for target in TARGETS}
    asked = plan.model_copy(update={"policies": {**plan.policies, **targets}})
    found = [each for each in compare(asked, usage, platform, load, prices=prices) if each.usd_month is not None]
    found.sort(key=lambda each: (each.usd_month, each.lag.over_limit, each.lag.p99_s))
    return [Point(each, best=not any(_beats(other, each) for other in found)) for each in found]


def _beats(a: Outcome, b: Outcome) -> bool:
    assert a.usd_month is not None
    assert b.usd_month is not None
    less, equal = a.usd_month < b.usd_month, a.usd_month == b.usd_month
    return (less and a.lag.over_limit <= b.lag.over_limit) or (equal and a.lag.over_limit < b.lag.over_limit)


@dataclass(frozen=True)
class Needed:
    """How large the plan's load must be for `policy` to save the sum: its mean, and the fleet of the first policy.

    `saving` is what it then saves, with its lag; None: it saves less at every size looked at.
    """

    policy: str
    mean_eps: float
    mb_s: float
    units: int
    usd_month: Decimal
    saving: Saving | None

    def sentence(self, first: str, usd: float, limit_s: float) -> str:
        """What a reader takes away."""
        if self.saving is None:
            return f"{self.policy} saves {usd:,.0f} USD a month at no size up to {self.mb_s:,.0f} MB/s."
        return (
            f"{self.policy} saves as much from about {self.mb_s:,.0f} MB/s on ({self.mean_eps:,.0f} events/s), of "
            f"{self.usd_month:,.0f} USD for the {self.units:,} units of {first}, and is over {limit_s:g} s behind in "
            f"{self.saving.lag.over_limit:.2%} of the minutes."
        )


def inverse(
    plan: Plan, usage: Usage, platform: str, load: Load, usd_month: Decimal, *, prices: Catalog | None = None
) -> list[Needed]:
    """For every policy but the first: the smallest multiple of the load at which it saves `usd_month`."""
    first, *others = plan.policies
    return [
        _needed(
            plan.model_copy(update={"policies": {each: plan.policies[each] for each in (first, name)}}),
            lambda pair, factor: compare(pair, usage, platform, load.scaled(factor), prices=prices),
            usd_month,
            load.mean_eps,
            usage,
        )
        for name in others
    ]


def _needed(
    pair: Plan, at: Callable[[Plan, float], list[Outcome]], usd_month: Decimal, mean_eps: float, usage: Usage
) -> Needed:
    factor = _smallest(lambda factor: at(pair, factor)[1], usd_month)
    base, other = at(pair, factor or FACTORS[1])
    eps = mean_eps * (factor or FACTORS[1])
    mb_s = eps * float(usage.ingest.record_bytes.value) / 1_000_000
    return Needed(
        policy=other.policy,
        mean_eps=eps,
        mb_s=mb_s,
        units=base.units[2],
        usd_month=base.usd_month or Decimal(0),
        saving=other.saving if factor else None,
    )


def _smallest(at: Callable[[float], Outcome], usd_month: Decimal) -> float | None:
    """The factor, to `PRECISION`, from which on it saves the sum; None: at none of `FACTORS`."""

    def enough(factor: float) -> bool:
        saving = at(factor).saving
        return saving is not None and saving.usd_month >= usd_month

    low, high = FACTORS
    if not enough(high):
        return None
    while high / low > 1 + PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def idle_units(usage: Usage, platforms: Sequence[str], usd_month: Decimal, prices: Catalog | None = None) -> list[str]:
    """As sentences: how many units that never work cost `usd_month` together."""
    found = []
    for platform in platforms:
        unit, _ = unit_of(usage, platform, prices or built_in())
        each = unit.usd_hour * usage.units.month_hours
        found.append(f"{usd_month / each:,.0f} {unit.what} that never work ({each:,.2f} USD a month each)")
    return found
