"""What it takes to leave a platform, and when that pays: the price of a lock-in.

    found = leaving.leave(usage, "kinesis-on-demand", "msk-standard", leaving.read(leaving.EXAMPLE))

Once: people who change the programs that speak to it, both platforms side by side for a while (the new one's bill
without sinks and people, who are there once, and one more reader of the old one that mirrors the stream), and the bytes
that cross and are on neither bill. Then the difference of two bills
pays it back, or never does. Bills come from the catalogue, everything about people is assumed and printed as such.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from bench.errors import ScenarioError
from costmodel import bill as bills
from costmodel import documents, uncertainty
from costmodel import platforms as registry
from costmodel.option import size
from costmodel.platforms import Platform
from costmodel.prices import Catalog, built_in
from costmodel.sizing import Charge, flow
from costmodel.usage import NotNegative, Positive, ShareOrNone, Sized, Usage

EXAMPLE = Path(__file__).parent / "examples" / "leaving.yaml"
DRAWS = 1000
HORIZONS_MONTHS = (6, 12, 24, 36)
RATES = (Decimal("0.05"), Decimal(1000))  # MB/s between which `break_even` looks
STEPS = 87  # 20 a decade
ONCE_ONLY = ("sinks", "operations")  # kinds of a bill that are there once, however many platforms run side by side


class Case(Sized):
    """leaving.yaml. Days of work are for each application; which of the two counts, the platforms' protocols say."""

    version: Annotated[Literal[1], Field(alias="schema")]
    applications: Positive
    days_same_protocol: NotNegative
    days_other_protocol: NotNegative
    usd_day: NotNegative
    both_run_days: NotNegative
    copied_share: ShareOrNone


@dataclass(frozen=True)
class Once:
    """USD that leaving costs once, by what for. None: a price is missing, and the total is *at least* the rest."""

    rewrite_usd: float
    both_run_usd: float
    mirror_usd: float
    crossing_usd: float | None

    @property
    def usd(self) -> float:
        """All of it that has a price."""
        return self.rewrite_usd + self.both_run_usd + self.mirror_usd + (self.crossing_usd or 0.0)

    @property
    def at_least(self) -> bool:
        """Whether something has none."""
        return self.crossing_usd is None


@dataclass(frozen=True)
class Left:
    """Leaving `old` for `new` under one usage and one case: both bills a month, and what it takes once."""

    old_usd_month: float
    new_usd_month: float
    once: Once

    @property
    def saved_usd_month(self) -> float:
        """Negative: the new one costs more."""
        return self.old_usd_month - self.new_usd_month

    @property
    def months(self) -> float | None:
        """Until it has paid for itself; infinite if it never does, None where only the least it takes is known."""
        if self.saved_usd_month <= 0:
            return math.inf
        return None if self.once.at_least else self.once.usd / self.saved_usd_month


@dataclass(frozen=True)
class Leaving:
    """The central answer, and how often which one comes out over draws of everything uncertain.

    `months`: P10, P50, P90 until it has paid, infinite for never. `within`: months -> the share of draws in which that
    is over by then. `pays_from`: ranges of MB/s, at central values, in which it has within `horizon` months.
    """

    old: str
    new: str
    rewrite: str
    central: Left
    months: tuple[float, float, float] | None
    once_usd: tuple[float, float, float] | None
    saved_usd_month: tuple[float, float, float]
    within: dict[int, float]
    draws: int
    known_in: float
    pays_from: tuple[tuple[float, float], ...]
    horizon: int

    def sentences(self) -> list[str]:
        """What a reader takes away."""
        once, saved = self.central.once, self.central.saved_usd_month
        verb, more = ("saves", "") if saved > 0 else ("costs", " more")
        least = "at least " if once.at_least else ""
        found = [
            (
                f"Leaving {self.old} for {self.new} takes {least}{once.usd:,.0f} USD once, {least}"
                f"{_plain(once.usd / self.central.old_usd_month)} months of the old bill ({self.rewrite}), and {verb} "
                f"{abs(saved):,.0f} USD a month{more}: {_paid(self.central.months)}."
            )
        ]
        if once.at_least:
            return [*found, "What crosses between their clouds has no price here: no time of paying back rests on it."]
        within = ", ".join(f"{months} months in {share:.0%}" for months, share in self.within.items())
        found.append(f"Paid back within {within} of {self.draws:,} draws.")
        if self.pays_from:
            where = ", ".join(f"{_plain(low)} to {_plain(high)} MB/s" for low, high in self.pays_from)
            found.append(f"At central values it pays within {self.horizon} months at {where}.")
        else:
            low, high = RATES
            found.append(
                f"At central values it pays within {self.horizon} months at no size from {low} to {high} MB/s."
            )
        return found


def read(path: Path) -> Case:
    """A leaving.yaml. Raises ScenarioError with line, field and expectation."""
    return documents.read(path, Case)


def leave(
    usage: Usage,
    old: str,
    new: str,
    case: Case,
    *,
    prices: Catalog | None = None,
    draws: int = DRAWS,
    seed: int = 7,
    horizon: int = 24,
) -> Leaving:
    """Both platforms under the same draws. ScenarioError where one of them cannot be had at central values."""
    catalog = prices or built_in()
    catalog.require_region(usage.region)
    pair = _pair(old, new)
    central = _left(usage, pair, case, catalog)
    if central is None:
        raise ScenarioError(f"{_lacking(usage, (old, new), catalog)}: no bill to leave for or from")
    of_case = {path: uncertainty.quantiles(f"leaving.{path}", draws, seed) for path, n in case.numbers() if n.uncertain}
    drawn = [
        _left(a_usage, pair, case.at({path: each[at] for path, each in of_case.items()}), a_catalog)
        for at, (a_usage, a_catalog) in enumerate(uncertainty.draws(usage, catalog, draws, seed))
    ]
    known = [one for one in drawn if one is not None]
    months = [one.months for one in known if one.months is not None]
    once = [one.once.usd for one in known if not one.once.at_least]
    return Leaving(
        old=old,
        new=new,
        rewrite=_rewrite(pair),
        central=central,
        months=_quantiles(months),
        once_usd=_quantiles(once),
        saved_usd_month=_quantiles([one.saved_usd_month for one in known]) or (math.nan,) * 3,
        within={each: sum(m <= each for m in months) / draws for each in HORIZONS_MONTHS},
        draws=draws,
        known_in=len(months) / draws,
        pays_from=tuple(_ranges(usage, pair, case, catalog, horizon)),
        horizon=horizon,
    )


def _pair(old: str, new: str) -> tuple[Platform, Platform]:
    found = registry.named(old), registry.named(new)
    if old == new:
        raise ScenarioError(f"{old}: expected another platform to leave it for")
    if found[0].role != found[1].role:
        raise ScenarioError(f"{old} and {new}: expected two that carry a stream, or two that process one")
    return found


def _rewrite(pair: tuple[Platform, Platform]) -> str:
    names = [each.speaks or "Kafka's protocol" if each.role == "kafka" else "Flink" for each in pair]
    return f"from {names[0]} to {names[1]}" if names[0] != names[1] else f"both speak {names[0]}"


def _left(usage: Usage, pair: tuple[Platform, Platform], case: Case, prices: Catalog) -> Left | None:
    """None where one of the two cannot be had, or is not fully priced, under this usage."""
    old, new = (_bill(usage, each, prices) for each in pair)
    mirrored = usage.with_value("consumers.groups", usage.consumers.groups.value + 1)
    with_mirror = _bill(mirrored, pair[0], prices) if pair[0].role == "kafka" else old
    if old is None or new is None or with_mirror is None:
        return None
    days = case.days_same_protocol if pair[0].speaks == pair[1].speaks else case.days_other_protocol
    months = float(case.both_run_days.value) * 24 / float(usage.units.month_hours)
    mirror = with_mirror.usd_month - old.usd_month
    if pair[0].cloud != pair[1].cloud:  # who reads from outside leaves the cloud, and crosses no zone of it
        mirror -= with_mirror.of("cross-zone") - old.of("cross-zone")
    once = Once(
        rewrite_usd=float(case.applications.value * days.value * case.usd_day.value),
        both_run_usd=float(new.usd_month - new.of(*ONCE_ONLY)) * months,
        mirror_usd=float(mirror) * months,
        crossing_usd=_crossing(usage, pair, case, prices, months),
    )
    return Left(float(old.usd_month), float(new.usd_month), once)


def _crossing(
    usage: Usage, pair: tuple[Platform, Platform], case: Case, prices: Catalog, months: float
) -> float | None:
    """USD for what is copied, between zones, or for all that leaves the cloud; None without a price.

    Within a cloud the mirrored stream crosses zones on both bills already: one more reader of the old one, and what is
    written to the new one.
    """
    if pair[0].role != "kafka":
        return 0.0
    f = flow(usage)
    gb = f.kept_gb(usage.retention.days.value) * case.copied_share.value
    if pair[0].cloud == pair[1].cloud == "aws":
        charge = Charge("between zones", "cross-zone", gb * (f.zones - 1) / f.zones, "GB moved", "net.cross_az")
    elif pair[0].cloud == "aws":
        gb += f.gb_month(f.wire_mb_s) * Decimal(repr(months))
        charge = Charge("out of the cloud", "egress", gb, "GB", "net.internet_out")
    else:
        return None
    made = bills.make([charge], usage.region, prices, usage)
    return None if made.at_least else float(made.usd_month)


def _bill(usage: Usage, platform: Platform, prices: Catalog) -> bills.Bill | None:
    found = size(usage, platform.id, prices).bill
    return None if found is None or found.at_least else found


def _lacking(usage: Usage, names: tuple[str, str], prices: Catalog) -> str:
    for name in names:
        option = size(usage, name, prices)
        if option.infeasible is not None:
            return f"{name}: {option.infeasible.reason}"
        if option.bill is None or option.bill.at_least:
            return f"{name}: a price is missing"
    return f"{names[0]} with one more reader"


def _ranges(
    usage: Usage, pair: tuple[Platform, Platform], case: Case, prices: Catalog, horizon: int
) -> list[tuple[float, float]]:
    """Neighbouring rates (MB/s) at which leaving has paid within the horizon."""
    low, high = (float(end) for end in RATES)
    found: list[tuple[float, float]] = []
    open_ = False
    for step in range(STEPS):
        mb_s = low * (high / low) ** (step / (STEPS - 1))
        left = _left(usage.with_value("ingest.mb_s", Decimal(repr(mb_s))), pair, case, prices)
        months = left.months if left is not None else None
        if months is not None and months <= horizon:
            found = [*found[:-1], (found[-1][0], mb_s)] if open_ else [*found, (mb_s, mb_s)]
            open_ = True
        else:
            open_ = False
    return found


def _quantiles(values: list[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    low, middle, high = np.quantile(
        np.array(values), [0.1, 0.5, 0.9], method="nearest"
    )  # never: infinite, no mean of it
    return float(low), float(middle), float(high)


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def _paid(months: float | None) -> str:
    if months is None:
        return "when that has paid is not known"
    return "it never pays" if math.isinf(months) else f"it has paid after {months:.3g} months"


def to_json(found: Leaving, case: Case) -> dict[str, Any]:
    """The document of `simulate leaving --json`; null for what never comes, with `known_in` beside it."""

    def quantiles(three: tuple[float, float, float] | None) -> dict[str, float | None] | None:
        names = ("p10", "p50", "p90")
        return None if three is None else {n: _finite(v) for n, v in zip(names, three, strict=True)}

    central = found.central
    return {
        "schema": 1,
        "from": found.old,
        "to": found.new,
        "rewrite": found.rewrite,
        "usd_month": {"from": central.old_usd_month, "to": central.new_usd_month, "saved": central.saved_usd_month},
        "once": {**asdict(central.once), "usd": central.once.usd, "at_least": central.once.at_least},
        "once_usd": quantiles(found.once_usd),
        "saved_usd_month": quantiles(found.saved_usd_month),
        "months": {"central": _finite(central.months), "drawn": quantiles(found.months)},
        "paid_within": {str(months): share for months, share in found.within.items()},
        "draws": found.draws,
        "known_in": found.known_in,
        "pays": {"within_months": found.horizon, "mb_s": [list(each) for each in found.pays_from]},
        "assumed": {path: {"value": float(n.value), "low": _float(n.low), "high": _float(n.high)}
                    for path, n in case.numbers()},
        "sentences": found.sentences(),
    }  # fmt: skip


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
