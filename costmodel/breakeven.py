"""Where one option becomes cheaper than another along a rate, fan-out, retention or partition count.

Costs are step functions: they may cross several times, and each crossing is an interval, not a point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from bench.errors import ScenarioError
from costmodel import documents
from costmodel.option import Option, size
from costmodel.prices import Catalog, built_in
from costmodel.usage import Usage


@dataclass(frozen=True)
class Axis:
    """A number of the usage to walk along; `whole`: in whole steps."""

    path: str
    unit: str
    whole: bool


AXES = {
    "rate": Axis("ingest.mb_s", "MB/s", whole=False),
    "fan-out": Axis("consumers.groups", "consumer groups", whole=True),
    "retention": Axis("retention.days", "days", whole=False),
    "partitions": Axis("topics.partitions", "partitions a topic", whole=True),
}
OWN = {"kafka": "self-ec2", "flink": "flink-ec2", "stack": "self-ec2+flink-ec2"}  # what one would run oneself


@dataclass(frozen=True)
class Point:
    """Month's totals at `x`; None where an option is infeasible or its total incomplete."""

    x: Decimal
    a_usd_month: Decimal | None
    b_usd_month: Decimal | None

    @property
    def cheaper(self) -> str | None:
        """One of "a", "b", "same"; None: undecided, since neither total is known."""
        if self.a_usd_month is None or self.b_usd_month is None:
            return "b" if self.b_usd_month is not None else "a" if self.a_usd_month is not None else None
        if self.a_usd_month == self.b_usd_month:
            return "same"
        return "a" if self.a_usd_month < self.b_usd_month else "b"


@dataclass(frozen=True)
class Crossing:
    """Somewhere in `low`..`high` the cheaper option changes from `below` to `above` ("a", "b", "same", None)."""

    low: Decimal
    high: Decimal
    below: str | None
    above: str | None


@dataclass(frozen=True)
class BreakEven:
    """Both step curves and every crossing found between them. `points` rise in x, in whole steps if `whole`."""

    a: str
    b: str
    axis: str
    unit: str
    whole: bool
    points: tuple[Point, ...]
    crossings: tuple[Crossing, ...]

    def sentence(self) -> str:
        """What a reader takes away."""
        names = {"a": self.a, "b": self.b}
        low, high = self.points[0].x, self.points[-1].x
        if not self.crossings:
            winner = names.get(self.points[0].cheaper or "", "neither")
            return f"{winner} is cheaper from {_text(low)} to {_text(high)} {self.unit}"
        first, last = self.crossings[0], self.crossings[-1]
        span = f"between {_text(first.low)} and {_text(last.high)} {self.unit}"
        times = f" (crossing {len(self.crossings)} times: costs are steps)" if len(self.crossings) > 1 else ""
        below, above = (names.get(side or "", "neither") for side in (first.below, last.above))
        return f"{below} is cheaper below, {above} above, flipping {span}{times}"


def break_even(
    usage: Usage,
    a: str,
    b: str,
    *,
    axis: str,
    low: Decimal,
    high: Decimal,
    prices: Catalog | None = None,
    points: int = 240,
    precision: Decimal = Decimal("0.002"),
) -> BreakEven:
    """Both options' totals at `points` values from `low` to `high` (geometric), each change of the cheaper one bisected
    to a relative width of `precision` (or to neighbours, on a whole axis). Two changes between neighbouring points stay
    unseen: more points see more. Raises ScenarioError for an unknown axis or an empty range.
    """
    catalog = prices or built_in()
    if axis not in AXES:
        raise ScenarioError(f"unknown axis {axis!r}; {documents.nearest(axis, AXES)}")
    if not 0 < low < high:
        raise ScenarioError(f"{axis}: expected 0 < low < high, got {low} to {high}")
    walk = AXES[axis]

    def at(x: Decimal) -> Point:
        moved = usage.with_value(walk.path, x)
        return Point(x, *(_complete(size(moved, name, catalog)) for name in (a, b)))

    curve = [at(x) for x in _grid(low, high, points, whole=walk.whole)]
    crossings = [
        _bisected(left, right, at, precision, whole=walk.whole)
        for left, right in pairwise(curve)
        if left.cheaper != right.cheaper
    ]
    return BreakEven(a, b, axis, walk.unit, walk.whole, tuple(curve), tuple(crossings))


def break_even_hours(options: Iterable[Option], usage: Usage) -> dict[str, float]:
    """By platform: how many people's hours a month it must save against running the same oneself (`OWN`) to cost as
    much.

    Negative: it is cheaper even if it saves none. An incomplete total has no hours. Empty without `operations` in the
    usage; a role (Kafka, Flink, stack) is left out if its `OWN` is not among the options.
    """
    found = [(option, usd) for option in options if (usd := _complete(option)) is not None]
    own = {option.role: usd for option, usd in found if option.platform == OWN[option.role]}
    if usage.operations is None or not usage.operations.usd_hour.value:
        return {}
    return {
        option.platform: float((usd - own[option.role]) / usage.operations.usd_hour.value)
        for option, usd in found
        if option.role in own and option.platform != OWN[option.role]
    }


def _complete(option: Option) -> Decimal | None:
    return None if option.bill is None or option.bill.at_least else option.bill.usd_month


def _grid(low: Decimal, high: Decimal, points: int, *, whole: bool) -> Sequence[Decimal]:
    ratio = math.log(high / low)
    found = [low * Decimal(repr(math.exp(ratio * step / (points - 1)))) for step in range(points - 1)] + [high]
    return sorted({Decimal(round(x)) for x in found if round(x) >= 1}) if whole else found


def _bisected(
    left: Point, right: Point, at: Callable[[Decimal], Point], precision: Decimal, *, whole: bool
) -> Crossing:
    before, after = left, right
    while right.x - left.x > (1 if whole else precision * left.x):
        middle = at(Decimal((left.x + right.x) // 2) if whole else (left.x + right.x) / 2)
        left, right = (middle, right) if middle.cheaper == before.cheaper else (left, middle)
    return Crossing(left.x, right.x, before.cheaper, after.cheaper)


def _text(x: Decimal) -> str:
    return f"{float(x):.3g}" if x < 1000 else f"{float(x):,.0f}"
